/**
 * The report for a terminal, as sections of rows: the command line aligns and prints them, this
 * file only says what stands where.
 */
import { formatBytes, formatCount, formatPercent } from '../base/units.ts';
import { formatLayout, numMicroBatches } from '../config/parallelPlan.ts';
import { errorBar } from '../simulator/estimate.ts';
import { memoryParts } from './memoryParts.ts';
import { phaseNames } from './phaseNames.ts';
import type { Candidate, ExpertLoadStep, PublishedRows, WhatIf } from './planExtras.ts';
import type { PlanReport, RankReport } from './planReport.ts';
import {
  formatChange,
  formatDays,
  formatDerived,
  formatDifference,
  formatDollars,
  formatError,
  formatKilowattHours,
  formatRate,
  formatStep,
  wordsOf,
} from './quantities.ts';

export interface TextSection {
  readonly title: string;
  readonly header?: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Lines beneath the table. */
  readonly notes: readonly string[];
}

export interface TextOptions {
  readonly command: string;
  readonly memoryCapacityBytes: number;
  readonly publishedRows: PublishedRows | null;
  readonly candidates: readonly Candidate[];
  readonly whatIfs: readonly WhatIf[];
  readonly expertLoads?: readonly ExpertLoadStep[];
}

/** So many classes of operations take nearly all of the time. */
const MOST_OPERATIONS = 12;

export function textReport(report: PlanReport, options: TextOptions): readonly TextSection[] {
  return [
    headlineSection(report),
    phasesSection(report, options.publishedRows),
    memorySection(report, options.memoryCapacityBytes),
    operationsSection(report),
    candidatesSection(options.candidates),
    whatIfSection(report, options.whatIfs),
    expertLoadSection(options.expertLoads ?? []),
    sourcesSection(report),
    {
      title: 'Derived',
      rows: Object.entries(report.derived).map(([name, value]) => [
        wordsOf(name),
        formatDerived(name, value),
      ]),
      notes: [],
    },
    { title: 'To get this again', rows: [], notes: [options.command] },
  ].filter(({ rows, notes }) => rows.length + notes.length > 0);
}

function headlineSection(report: PlanReport): TextSection {
  const { plan, overlap } = report;
  const scope = report.totalTokens === null ? 'of one step' : 'of the run';
  const whole =
    report.totalTokens === null
      ? []
      : [['run', formatDays(report.days), `${formatCount(report.totalTokens)} tokens`]];
  const pair =
    overlap === null
      ? []
      : [
          [
            'overlapped pair',
            formatStep(overlap.pairSeconds),
            `${formatPercent(overlap.hiddenShare)} of its communication hidden`,
          ],
        ];
  return {
    title: `${report.model} on ${report.cluster}`,
    rows: [
      [
        'plan',
        `${formatLayout(plan.layout)} ${plan.schedule}`,
        `${numMicroBatches(plan)} micro-batches of ${plan.microBatchSize} × ` +
          `${plan.sequenceLength} tokens, ${plan.precision}, recompute ${plan.recompute}`,
      ],
      [
        'step',
        formatStep(report.stepSeconds),
        `${formatError(errorBar(report.step))}, nine of ten; ${report.step.source}`,
      ],
      [
        'tokens per day',
        formatCount(report.tokensPerDay),
        `${formatCount(report.tokensPerStep)} a step`,
      ],
      [
        'MFU, causal',
        formatPercent(report.mfuCausal, 2),
        `${formatRate(report.tflopsCausal * 1e12, 'FLOP/s')} per GPU, ` +
          `${formatPercent(report.mfuNonCausal, 2)} non-causal`,
      ],
      [
        'bubble',
        formatPercent(report.bubbleSeconds / report.stepSeconds),
        formatStep(report.bubbleSeconds),
      ],
      ...pair,
      ...whole,
      ...otherPrecisionRow(report),
      ['cost', formatDollars(report.dollars), scope],
      ['GPU-hours', formatCount(Math.round(report.gpuHours)), scope],
      ['energy', formatKilowattHours(report.kilowattHours), scope],
    ],
    notes: [],
  };
}

function otherPrecisionRow({ otherPrecision: other, stepSeconds }: PlanReport): string[][] {
  if (other === null) return [];
  const memory = formatBytes(other.peakMemoryBytes);
  const fits = other.isFitting ? `${memory} on the fullest rank` : `${memory}: does not fit`;
  const change = formatChange(other.stepSeconds, stepSeconds);
  return [[`in ${other.precision}`, formatStep(other.stepSeconds), `${change}, ${fits}`]];
}

function phasesSection(report: PlanReport, published: PublishedRows | null): TextSection {
  const compare = (ours: number, theirs: number | null | undefined): readonly string[] => {
    if (published === null) return [];
    if (theirs === null || theirs === undefined) return ['–', ''];
    return [formatStep(theirs), formatDifference(ours, theirs)];
  };
  return {
    title: 'Phases of rank 0',
    header: ['phase', 'ours', 'share', ...(published === null ? [] : ['published', 'difference'])],
    rows: [
      ...phaseNames.map(({ key }) => [
        key,
        formatStep(report.phases[key]),
        formatPercent(report.phases[key] / report.stepSeconds),
        ...compare(report.phases[key], published?.phases[key]),
      ]),
      [
        'step',
        formatStep(report.stepSeconds),
        '',
        ...compare(report.stepSeconds, published?.stepSeconds),
      ],
    ],
    notes: published === null ? [] : [`Published: ${published.from}; not used for the estimate.`],
  };
}

/** Neighbouring ranks that hold the same are one row. */
function memorySection({ ranks, peakMemoryBytes }: PlanReport, capacity: number): TextSection {
  const groups: RankReport[][] = [];
  for (const rank of ranks) {
    const group = groups.at(-1);
    const isSame =
      group?.[0] !== undefined &&
      memoryParts.every(({ key }) => {
        return formatBytes(group[0]?.memory[key] ?? 0) === formatBytes(rank.memory[key]);
      });
    if (isSame) group.push(rank);
    else groups.push([rank]);
  }
  return {
    title: 'Memory per rank',
    header: ['ranks', 'total', 'of a GPU', ...memoryParts.map(({ short }) => short)],
    rows: groups.flatMap((group) => {
      const [first, last] = [group[0], group.at(-1)];
      if (first === undefined || last === undefined) return [];
      return [
        [
          first === last ? `${first.rank}` : `${first.rank}–${last.rank}`,
          formatBytes(first.memoryBytes),
          formatPercent(first.memoryBytes / capacity, 0),
          ...memoryParts.map(({ key }) => formatBytes(first.memory[key])),
        ],
      ];
    }),
    notes: [`The fullest rank holds ${formatBytes(peakMemoryBytes)} of ${formatBytes(capacity)}.`],
  };
}

function operationsSection({ operations }: PlanReport): TextSection {
  const total = operations.reduce((sum, { seconds }) => sum + seconds, 0);
  const ordered = operations.toSorted((a, b) => b.seconds - a.seconds);
  const rest = ordered.slice(MOST_OPERATIONS).reduce((sum, { seconds }) => sum + seconds, 0);
  return {
    title: 'Operations of rank 0',
    header: ['operation', 'time', 'of all', 'share of limit', 'bound by', 'known'],
    rows: ordered
      .slice(0, MOST_OPERATIONS)
      .map((operation) => [
        operation.name,
        formatStep(operation.seconds),
        formatPercent(operation.seconds / total),
        formatPercent(operation.shareOfLimit),
        operation.bound,
        operation.source,
      ]),
    notes:
      ordered.length > MOST_OPERATIONS
        ? [`${ordered.length - MOST_OPERATIONS} more take ${formatStep(rest)} together.`]
        : [],
  };
}

function candidatesSection(candidates: readonly Candidate[]): TextSection {
  return {
    title: 'Plans',
    header: ['plan', 'GPUs', 'step', 'days', 'cost', 'MFU', 'peak memory', 'why'],
    rows: candidates.map((candidate) => [
      `${candidate.isBest ? '★ ' : ''}${candidate.label}`,
      String(candidate.numGpus),
      formatStep(candidate.stepSeconds),
      formatDays(candidate.days),
      formatDollars(candidate.dollars),
      formatPercent(candidate.mfuCausal),
      formatBytes(candidate.peakMemoryBytes),
      candidate.reason,
    ]),
    notes: [],
  };
}

function whatIfSection(report: PlanReport, whatIfs: readonly WhatIf[]): TextSection {
  return {
    title: 'What if',
    header: ['what if', 'step', 'against today', 'days', 'cost', 'MFU'],
    rows: whatIfs.map((each) => [
      each.name,
      formatStep(each.stepSeconds),
      formatChange(each.stepSeconds, report.stepSeconds),
      formatDays(each.days),
      formatDollars(each.dollars),
      formatPercent(each.mfuCausal),
    ]),
    notes: whatIfs.map(({ name, note }) => `${name}: ${note}`),
  };
}

function expertLoadSection(points: readonly ExpertLoadStep[]): TextSection {
  const even = points[0]?.stepSeconds ?? 0;
  return {
    title: 'Uneven experts',
    header: ['hottest expert', 'its rank', 'step', 'against an even load'],
    rows: points.map(({ hottestExpert, hottestRank, stepSeconds }) => [
      `${hottestExpert} ×`,
      `${hottestRank.toFixed(2)} ×`,
      formatStep(stepSeconds),
      formatChange(stepSeconds, even),
    ]),
    notes: [],
  };
}

function sourcesSection({ sources }: PlanReport): TextSection {
  return {
    title: 'Sources',
    header: ['what', 'known', 'error', 'from'],
    rows: sources.map(({ what, source, relativeError, from }) => [
      what,
      source,
      formatError(relativeError),
      from,
    ]),
    notes: [],
  };
}
