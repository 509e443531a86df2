/** The headline numbers of a plan, each with where it is from. */
import { formatBytes, formatCount, formatPercent } from '../../src/base/units.ts';
import {
  formatDays,
  formatDifference,
  formatDollars,
  formatError,
  formatKilowattHours,
  formatRate,
  formatStep,
} from '../../src/planner/quantities.ts';
import { errorBar } from '../../src/simulator/estimate.ts';
import type { Words } from '../app/language.ts';
import type { PlannerWord } from './messages.ts';
import type { PlanOnCluster } from './planForPage.ts';

export interface Fact {
  readonly name: PlannerWord;
  readonly value: string;
  /** The value as a number, in whatever unit; null where there is none. */
  readonly amount: number | null;
  readonly from: string;
}

export function factsOf(
  { report, cluster }: PlanOnCluster,
  say: Words<PlannerWord>,
): readonly Fact[] {
  const { price, gpu, sources } = cluster;
  const capacity = formatBytes(gpu.memoryBytes);
  const scope =
    report.totalTokens === null
      ? say('fromOneStep')
      : say('fromRun', { tokens: formatCount(report.totalTokens) });
  const noteOf = (path: string): string => sources[path]?.note ?? cluster.name;
  return [
    {
      name: 'step',
      value: formatStep(report.stepSeconds),
      amount: report.stepSeconds,
      from: say('fromStep', {
        source: report.step.source,
        error: formatError(errorBar(report.step)).replace('± ', ''),
      }),
    },
    {
      name: 'mfu',
      value: formatPercent(report.mfuCausal, 2),
      amount: report.mfuCausal,
      from: say('fromMfu', { flops: formatRate(report.flopsPerTokenCausal, 'FLOP') }),
    },
    {
      name: 'tokensPerDay',
      value: formatCount(report.tokensPerDay),
      amount: report.tokensPerDay,
      from: say('fromTokens', { tokens: formatCount(report.tokensPerStep) }),
    },
    {
      name: 'bubble',
      value: formatStep(report.bubbleSeconds),
      amount: report.bubbleSeconds,
      from: say('fromBubble'),
    },
    {
      name: 'peakMemory',
      value: formatBytes(report.peakMemoryBytes),
      amount: report.peakMemoryBytes,
      from: `${say('fromMemory')}; ${say('ofCapacity', { capacity })}`,
    },
    { name: 'days', value: daysOf(report.days, say), amount: report.days, from: scope },
    {
      name: 'cost',
      value: formatDollars(report.dollars),
      amount: report.dollars,
      from: say('fromPrice', {
        dollars: formatDollars(price.dollarsPerGpuHour),
        note: noteOf('price.dollarsPerGpuHour'),
      }),
    },
    {
      name: 'gpuHours',
      value: formatCount(Math.round(report.gpuHours)),
      amount: report.gpuHours,
      from: scope,
    },
    {
      name: 'energy',
      value: formatKilowattHours(report.kilowattHours),
      amount: report.kilowattHours,
      from: say('fromEnergy', {
        watts: price.wattsPerGpu,
        pue: price.pue,
        note: noteOf('price.wattsPerGpu'),
      }),
    },
  ];
}

/** A change in percent with its sign; nothing where there is no number. */
export function changeOf(before: Fact, after: Fact | undefined): string {
  const [from, to] = [before.amount, after?.amount ?? null];
  if (from === null || to === null || from <= 0) return '';
  return Math.abs(to / from - 1) < 5e-4 ? '±0 %' : formatDifference(to, from);
}

/** `formatDays` in the reader's language. */
export function daysOf(days: number | null, say: Words<PlannerWord>): string {
  return formatDays(days).replace('days', say('daysUnit'));
}
