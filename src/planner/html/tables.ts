/**
 * The report's plain tables: what-ifs, sources with their error bars, derived values, plans.
 */
import { formatBytes, formatPercent } from '../../base/units.ts';
import type { ClusterSpec } from '../../config/clusterSpec.ts';
import { describeCluster } from '../../config/clusters/describeCluster.ts';
import { formatLayout } from '../../config/parallelPlan.ts';
import type { EstimateSource } from '../../simulator/estimate.ts';
import type { Candidate, WhatIf } from '../planExtras.ts';
import type { PlanReport } from '../planReport.ts';
import {
  formatChange,
  formatDays,
  formatDerived,
  formatDollars,
  formatError,
  formatStep,
  wordsOf,
} from '../quantities.ts';
import { type Child, element, type Markup } from './markup.ts';

export interface Column {
  readonly head: string;
  readonly kind?: 'number' | 'bar';
}

export interface Row {
  readonly cells: readonly Child[];
  readonly kind?: string;
}

/** A table whose first cells are the rows' names; it scrolls inside itself when it is too wide. */
export function table(label: string, columns: readonly Column[], rows: readonly Row[]): Markup {
  const kindOf = (index: number): string | null => columns[index]?.kind ?? null;
  return element(
    'div',
    { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': label },
    element(
      'table',
      {},
      element(
        'thead',
        {},
        element(
          'tr',
          {},
          ...columns.map(({ head }, index) =>
            element('th', { scope: 'col', class: kindOf(index) }, head),
          ),
        ),
      ),
      element(
        'tbody',
        {},
        ...rows.map(({ cells, kind }) =>
          element(
            'tr',
            { class: kind ?? null },
            ...cells.map((cell, index) =>
              index === 0
                ? element('th', { scope: 'row' }, cell)
                : element('td', { class: kindOf(index) }, cell),
            ),
          ),
        ),
      ),
    ),
  );
}

export function tagOf(source: EstimateSource): Markup {
  return element('span', { class: `tag ${source}` }, source);
}

export function sourceTable({ sources }: PlanReport): Markup {
  return table(
    'Sources',
    [{ head: 'what' }, { head: 'known' }, { head: 'error', kind: 'number' }, { head: 'from' }],
    sources.map(({ what, source, relativeError, from }) => ({
      cells: [wordsOf(what), tagOf(source), formatError(relativeError), from],
    })),
  );
}

export function derivedTable({ derived }: PlanReport, cluster: ClusterSpec): Markup {
  // The cluster's own values know their units better than a name's ending does.
  const known = new Map(describeCluster(cluster).map(({ what, text }) => [what, text]));
  return table(
    'Derived values',
    [{ head: 'value' }, { head: '', kind: 'number' }],
    Object.entries(derived).map(([name, value]) => ({
      cells: [wordsOf(name), known.get(name) ?? formatDerived(name, value)],
    })),
  );
}

export function candidateTable(candidates: readonly Candidate[]): Markup {
  const numbers = ['GPUs', 'step', 'days', 'cost', 'MFU', 'peak memory'];
  return table(
    'Plans',
    [
      { head: 'plan' },
      ...numbers.map((head) => ({ head, kind: 'number' as const })),
      { head: 'why' },
    ],
    candidates.map((candidate) => ({
      ...(candidate.isBest ? { kind: 'best' } : {}),
      cells: [
        candidate.isBest ? `★ ${nameOf(candidate)}` : nameOf(candidate),
        candidate.numGpus.toLocaleString('en'),
        formatStep(candidate.stepSeconds),
        formatDays(candidate.days),
        formatDollars(candidate.dollars),
        formatPercent(candidate.mfuCausal),
        formatBytes(candidate.peakMemoryBytes),
        candidate.reason,
      ],
    })),
  );
}

function nameOf({ label, plan }: Candidate): string {
  return label === '' ? `${formatLayout(plan.layout)} ${plan.schedule}` : label;
}

export function whatIfTable(report: PlanReport, whatIfs: readonly WhatIf[]): Markup {
  const numbers = ['step', 'against today', 'days', 'cost', 'MFU'];
  const today: WhatIf = {
    name: 'today',
    stepSeconds: report.stepSeconds,
    days: report.days,
    dollars: report.dollars,
    mfuCausal: report.mfuCausal,
    note: `${report.cluster} as described`,
  };
  return table(
    'What-ifs',
    [
      { head: 'what if' },
      ...numbers.map((head) => ({ head, kind: 'number' as const })),
      { head: 'what changes' },
    ],
    [today, ...whatIfs].map((each) => ({
      ...(each === today ? { kind: 'best' } : {}),
      cells: [
        each.name,
        formatStep(each.stepSeconds),
        each === today ? '' : changeOf(each.stepSeconds, report.stepSeconds),
        formatDays(each.days),
        formatDollars(each.dollars),
        formatPercent(each.mfuCausal),
        each.note,
      ],
    })),
  );
}

function changeOf(seconds: number, before: number): Markup {
  const words = formatChange(seconds, before);
  const kind = words.endsWith('faster') ? 'good' : words.endsWith('slower') ? 'bad' : null;
  return element('span', { class: kind }, words);
}
