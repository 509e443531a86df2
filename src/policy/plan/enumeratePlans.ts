/**
 * Every way to run a step that is worth pricing: layouts, schedules, micro-batches, recomputation.
 *
 * What cannot run is left out here by rule (a factor that does not divide, a schedule without
 * enough micro-batches, tensor parallelism past the scale-up domain); what runs badly is left to
 * prices. Whatever a person has fixed stays fixed.
 */
import type {
  ParallelPlan,
  Precision,
  RecomputePolicy,
  ScheduleName,
  TrainingPlan,
} from '../../config/parallelPlan.ts';
import { numMicroBatches, scheduleNames } from '../../config/parallelPlan.ts';
import { isWithin, type LayoutRanges } from './layoutRanges.ts';

/** The sizes of a model that limit how it can be cut. */
export interface CutLimits {
  readonly numLayers: number;
  /** What tensor parallelism divides: heads, or key and value heads where those are fewer. */
  readonly numHeads: number;
  /** Routed experts; 0 in a dense model. */
  readonly numExperts: number;
  /** Past this many ranks tensor parallelism leaves the scale-up domain. */
  readonly scaleUpSize: number;
}

export interface PlanSpace {
  readonly numGpus: number;
  readonly limits: CutLimits;
  readonly globalBatch: number;
  readonly sequenceLength: number;
  readonly precision: Precision;
  readonly mtp: boolean;
  /** What is fixed; a factor that is absent is searched. */
  readonly layout: Partial<ParallelPlan>;
  /** Least and most of factors that are searched. */
  readonly ranges?: LayoutRanges;
  readonly schedules?: readonly ScheduleName[];
  readonly microBatchSizes?: readonly number[];
  readonly recomputes?: readonly RecomputePolicy[];
}

/** Chunks of a rank that interleaved schedules are tried with, where the layers suffice. */
const INTERLEAVED_CHUNKS = [2, 4];

export function* enumeratePlans(space: PlanSpace): Generator<TrainingPlan> {
  for (const layout of layouts(space)) {
    for (const microBatchSize of space.microBatchSizes ?? [1, 2, 4]) {
      for (const schedule of schedulesOf(space, layout)) {
        for (const chunksPerRank of chunksOf(schedule, layout.pp, space.limits.numLayers)) {
          for (const recompute of space.recomputes ?? ['none', 'norm', 'swiglu', 'v3', 'full']) {
            const { globalBatch, sequenceLength, precision, mtp } = space;
            const sizes = { globalBatch, microBatchSize, sequenceLength };
            const plan = { layout, schedule, chunksPerRank, ...sizes, precision, recompute, mtp };
            if (canRun(plan)) yield plan;
          }
        }
      }
    }
  }
}

/** Whether the batch divides and the schedule has the micro-batches it needs. */
export function canRun(plan: TrainingPlan): boolean {
  const { layout, schedule } = plan;
  const count = numMicroBatches(plan);
  if (!Number.isInteger(count) || count < 1) return false;
  switch (schedule) {
    case 'dualpipe':
      return layout.pp % 2 === 0 && count % 2 === 0 && count >= 2 * layout.pp;
    case 'dualpipev':
      return layout.pp > 1 && count >= 2 * layout.pp;
    case 'interleaved-1f1b':
      return layout.pp > 1 && count % layout.pp === 0;
    case 'gpipe':
    case '1f1b':
    case 'zb1p':
      return true;
    default:
      return schedule satisfies never;
  }
}

function* layouts(space: PlanSpace): Generator<ParallelPlan> {
  const { numGpus, limits, layout, ranges = {} } = space;
  const { numLayers, numHeads, numExperts, scaleUpSize } = limits;
  const isStages = (pp: number): boolean => pp <= numLayers && isWithin(pp, ranges.pp);
  for (const pp of wanted(layout.pp, numGpus, isStages)) {
    const isFitting = (tp: number): boolean =>
      tp <= scaleUpSize && numHeads % tp === 0 && isWithin(tp, ranges.tp);
    for (const tp of wanted(layout.tp, numGpus / pp, isFitting)) {
      const dp = numGpus / (pp * tp);
      if (!Number.isInteger(dp) || (layout.dp !== undefined && layout.dp !== dp)) continue;
      if (!isWithin(dp, ranges.dp)) continue;
      const isExperts = (ep: number): boolean => numExperts % ep === 0 && isWithin(ep, ranges.ep);
      const eps = numExperts === 0 ? [layout.ep ?? 1] : wanted(layout.ep, dp * tp, isExperts);
      for (const ep of eps) {
        if ((dp * tp) % ep !== 0) continue;
        const zeros = layout.zeroStage === undefined ? zeroStages(dp) : [layout.zeroStage];
        for (const zeroStage of zeros) yield { dp, pp, ep, tp, zeroStage };
      }
    }
  }
}

/**
 * Stage 0 only where there is nothing to split. Stages 2 and 3 gather or scatter in every
 * micro-batch, which pipelines have many of: worth a price only without one.
 */
function zeroStages(dp: number): readonly ParallelPlan['zeroStage'][] {
  return dp === 1 ? [0] : [1, 3];
}

function wanted(
  fixed: number | undefined,
  of: number,
  isFitting: (factor: number) => boolean,
): readonly number[] {
  if (fixed !== undefined) return of % fixed === 0 ? [fixed] : [];
  const found: number[] = [];
  for (let factor = 1; factor <= of; factor++) {
    if (of % factor === 0 && isFitting(factor)) found.push(factor);
  }
  return found;
}

function schedulesOf(space: PlanSpace, { pp, zeroStage }: ParallelPlan): readonly ScheduleName[] {
  const asked = space.schedules ?? scheduleNames;
  // One stage has no pipeline: all orders are the same, and 1F1B keeps the fewest activations.
  if (pp === 1) return asked.includes('1f1b') ? ['1f1b'] : asked.slice(0, 1);
  if (space.layout.zeroStage === undefined && zeroStage > 1) return [];
  return asked;
}

function chunksOf(schedule: ScheduleName, pp: number, numLayers: number): readonly number[] {
  switch (schedule) {
    case 'dualpipe':
      return [2];
    case 'dualpipev':
      return 2 * pp <= numLayers + 2 ? [2] : [];
    case 'interleaved-1f1b':
      return INTERLEAVED_CHUNKS.filter((chunks) => chunks * pp <= numLayers + 2);
    case 'gpipe':
    case '1f1b':
    case 'zb1p':
      return [1];
    default:
      return schedule satisfies never;
  }
}
