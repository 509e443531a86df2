/**
 * What a reader wants first: the step, the rate, the share of the machine, what it costs; then the
 * plan that was asked for, and its phases beside published ones.
 */
import { formatBytes, formatCount, formatPercent } from '../../base/units.ts';
import { formatLayout, numMicroBatches } from '../../config/parallelPlan.ts';
import { errorBar } from '../../simulator/estimate.ts';
import { phaseNames } from '../phaseNames.ts';
import type { PlanExtras, PublishedRows } from '../planExtras.ts';
import type { PlanReport } from '../planReport.ts';
import {
  formatDays,
  formatDifference,
  formatDollars,
  formatError,
  formatKilowattHours,
  formatRate,
  formatStep,
} from '../quantities.ts';
import { stackedBar } from './chart.ts';
import { element, fragment, type Markup } from './markup.ts';
import { type Row, table, tagOf } from './tables.ts';

export function headline(report: PlanReport, capacityBytes: number): Markup {
  const scope = report.totalTokens === null ? 'of one step' : 'of the run';
  const tokens = report.totalTokens === null ? null : `${formatCount(report.totalTokens)} tokens`;
  const bubble = report.bubbleSeconds / report.stepSeconds;
  const cards: readonly (readonly [string, string, string | null])[] = [
    ['Step', formatStep(report.stepSeconds), formatError(errorBar(report.step))],
    [
      'Tokens per day',
      formatCount(report.tokensPerDay),
      `${formatCount(report.tokensPerStep)} a step`,
    ],
    [
      'MFU, causal',
      formatPercent(report.mfuCausal, 2),
      `${formatPercent(report.mfuNonCausal, 2)} non-causal`,
    ],
    ['Per GPU', formatRate(report.tflopsCausal * 1e12, 'FLOP/s'), 'causal'],
    ['Bubble', formatPercent(bubble), formatStep(report.bubbleSeconds)],
    ['Peak memory', formatBytes(report.peakMemoryBytes), `of ${formatBytes(capacityBytes)}`],
    ...(report.days === null ? [] : [['Duration', formatDays(report.days), tokens] as const]),
    ['Cost', formatDollars(report.dollars), scope],
    ['GPU-hours', formatCount(Math.round(report.gpuHours)), scope],
    ['Energy', formatKilowattHours(report.kilowattHours), scope],
  ];
  return element(
    'dl',
    { class: 'cards' },
    ...cards.map(([name, value, more], index) =>
      element(
        'div',
        { class: index === 0 ? 'first' : null },
        element('dt', {}, name),
        element('dd', {}, value, more === null ? null : element('small', {}, more)),
      ),
    ),
  );
}

export function planSection(report: PlanReport, { command }: PlanExtras): Markup {
  const { plan } = report;
  const facts: Readonly<Record<string, string>> = {
    model: report.model,
    cluster: report.cluster,
    GPUs: report.numGpus.toLocaleString('en'),
    layout: formatLayout(plan.layout),
    'data parallel': String(plan.layout.dp),
    schedule: plan.schedule,
    'chunks per rank': String(plan.chunksPerRank),
    'global batch': `${plan.globalBatch.toLocaleString('en')} sequences`,
    'micro-batches': `${numMicroBatches(plan)} of ${plan.microBatchSize} per pipeline`,
    'sequence length': `${plan.sequenceLength.toLocaleString('en')} tokens`,
    precision: plan.precision.toUpperCase(),
    recompute: plan.recompute,
    MTP: plan.mtp ? 'trained' : 'not trained',
    'FLOPs per token': `${formatRate(report.flopsPerTokenCausal, 'FLOP')} causal`,
    'non-causal': formatRate(report.flopsPerTokenNonCausal, 'FLOP'),
  };
  return fragment(
    element(
      'dl',
      { class: 'facts' },
      ...Object.entries(facts).map(([name, value]) =>
        element('div', {}, element('dt', {}, name), element('dd', {}, value)),
      ),
    ),
    element('p', {}, 'To get this report again:'),
    element('pre', { id: 'command', tabindex: 0 }, command),
    element(
      'p',
      {},
      'The step time is ',
      tagOf(report.step.source),
      ` within ${formatError(errorBar(report.step))} in nine of ten cases.`,
    ),
  );
}

export function phaseSection(report: PlanReport, published: PublishedRows | null): Markup {
  const most = Math.max(...phaseNames.map(({ key }) => report.phases[key]));
  const columns = [
    { head: 'phase' },
    { head: 'share of the step', kind: 'bar' as const },
    { head: 'ours', kind: 'number' as const },
  ];
  const compare = (
    ours: number,
    theirs: number | null | undefined,
  ): readonly (Markup | string)[] => {
    if (published === null) return [];
    if (theirs === null || theirs === undefined) return ['–', ''];
    return [formatStep(theirs), differenceOf(ours, theirs)];
  };
  const rows: readonly Row[] = [
    ...phaseNames.map(({ key, kind, what }) => ({
      cells: [
        fragment(key, element('span', { class: 'muted roomy' }, ` · ${what}`)),
        stackedBar([{ kind, value: report.phases[key], title: what }], { scale: most, mark: null }),
        formatStep(report.phases[key]),
        ...compare(report.phases[key], published?.phases[key]),
      ],
    })),
    {
      kind: 'best',
      cells: [
        'step',
        '',
        formatStep(report.stepSeconds),
        ...compare(report.stepSeconds, published?.stepSeconds),
      ],
    },
  ];
  return fragment(
    element(
      'p',
      {},
      'Of rank 0. ',
      published === null
        ? ''
        : `Published: ${published.from}. It was not used to make the estimate.`,
    ),
    table(
      'Phases of a step',
      published === null
        ? columns
        : [
            ...columns,
            { head: 'published', kind: 'number' },
            { head: 'difference', kind: 'number' },
          ],
      rows,
    ),
  );
}

function differenceOf(ours: number, theirs: number): Markup {
  const isNear = Math.abs(ours / theirs - 1) <= 0.15;
  return element('span', { class: isNear ? 'good' : 'bad' }, formatDifference(ours, theirs));
}
