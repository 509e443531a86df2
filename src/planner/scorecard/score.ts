/**
 * How far the planner is off: every published run planned again and held to its measurement. The
 * rows judge; nothing is fitted to them. An error bar holds nine of ten truths by its own claim, so
 * nine of ten measurements should lie inside.
 */
import { at } from '../../base/assert.ts';
import { type EstimateSource, errorBar } from '../../simulator/estimate.ts';
import { simulatePlan } from '../simulatePlan.ts';
import type { PublishedRun } from './publishedRun.ts';
import { hasExperts, publishedRuns } from './publishedRuns.ts';

export interface Score {
  readonly run: PublishedRun;
  readonly predictedSeconds: number;
  /** Half of the bar, relative to the prediction. */
  readonly errorBar: number;
  readonly origin: EstimateSource;
  readonly measuredSeconds: number;
  /** Predicted over measured, minus 1. */
  readonly error: number;
  readonly isInside: boolean;
}

let known: readonly Score[] | null = null;

/** All published runs, planned once. */
export function publishedScores(): readonly Score[] {
  known ??= publishedRuns.map(scoreRun);
  return known;
}

function scoreRun(run: PublishedRun): Score {
  const { model, plan, cluster, isBalanced, stepSeconds: measuredSeconds } = run;
  const { step } = simulatePlan({
    ...{ model, plan, cluster },
    ...(isBalanced ? { imbalance: 1 } : {}),
  });
  const bar = errorBar(step);
  return {
    run,
    predictedSeconds: step.seconds,
    errorBar: bar,
    origin: step.source,
    measuredSeconds,
    error: step.seconds / measuredSeconds - 1,
    isInside: Math.abs(measuredSeconds / step.seconds - 1) <= bar,
  };
}

export interface GroupScore {
  readonly group: string;
  readonly count: number;
  /** Of errors without their sign, as the next two. */
  readonly median: number;
  readonly worst: number;
  /** Of errors with their sign: what the group as a whole is off by. */
  readonly bias: number;
  readonly shareInside: number;
}

/** All, by chip, dense or with experts, by number format. */
export function groupScores(scores: readonly Score[]): readonly GroupScore[] {
  const of = (group: string, isIn: (score: Score) => boolean): GroupScore[] => {
    const own = scores.filter(isIn);
    return own.length === 0 ? [] : [groupScore(group, own)];
  };
  const chips = [...new Set(scores.map(chipOf))];
  return [
    ...of('all', () => true),
    ...chips.flatMap((chip) => of(chip, (score) => chipOf(score) === chip)),
    ...of('dense', ({ run }) => !hasExperts(run)),
    ...of('experts', ({ run }) => hasExperts(run)),
    ...of('BF16', ({ run }) => run.plan.precision === 'bf16'),
    ...of('FP8', ({ run }) => run.plan.precision === 'fp8'),
  ];
}

/** `A100 PCIe 40GB` and `A100 SXM 80GB` are both an A100. */
function chipOf({ run }: Score): string {
  return run.cluster.gpu.name.split(' ')[0] ?? '';
}

function groupScore(group: string, scores: readonly Score[]): GroupScore {
  const sizes = scores.map(({ error }) => Math.abs(error));
  return {
    group,
    count: scores.length,
    median: median(sizes),
    worst: Math.max(...sizes),
    bias: median(scores.map(({ error }) => error)),
    shareInside: scores.filter(({ isInside }) => isInside).length / scores.length,
  };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = at(sorted, middle);
  return sorted.length % 2 === 1 ? upper : (at(sorted, middle - 1) + upper) / 2;
}

/** Rows beyond this need a reason in `misses.ts`. */
export const WORST_WANTED = 0.25;
