/**
 * One plan on one cluster, by the cheap model: whether it fits, what a step takes, where its time
 * goes. A thousand of these a second are what a search is made of.
 */
import { at } from '../../base/assert.ts';
import type { ClusterSpec } from '../../config/clusterSpec.ts';
import type { PlannedModel } from '../../config/gqaModelConfig.ts';
import {
  type RecomputeItems,
  recomputePolicies,
  type TrainingPlan,
} from '../../config/parallelPlan.ts';
import { type CutLimits, enumeratePlans } from '../../policy/plan/enumeratePlans.ts';
import {
  estimateMemory,
  type MemoryInput,
  type RankMemory,
} from '../../simulator/memory/estimateMemory.ts';
import { autoRecompute } from '../memory/autoRecompute.ts';
import { fullest } from '../memory/cheapestFixes.ts';
import { isPossible } from '../memory/planChanges.ts';
import { type PlannedStage, stagesOfRanks } from '../pipelinePlan.ts';
import type { CheapModel } from './cheapModel.ts';
import type { SearchRequest, StepShares } from './searchRequest.ts';

export interface Evaluated {
  readonly plan: TrainingPlan;
  readonly numGpus: number;
  readonly cheapSeconds: number;
  readonly shares: StepShares;
  readonly peakMemoryBytes: number;
  readonly fullestRank: number;
  /** Of the GPU's memory or, where that suffices, of the node's. */
  readonly overBytes: number;
  readonly isHostOver: boolean;
  readonly recompute: RecomputeItems | null;
}

/** Every plan of the request on a cluster of this size. */
export function plansOn(request: SearchRequest, cluster: ClusterSpec): TrainingPlan[] {
  const { model, globalBatch, sequenceLength, precision, mtp } = request;
  const { layout = {}, ranges = {}, schedules, microBatchSizes, recomputes } = request;
  const plans = enumeratePlans({
    numGpus: cluster.numGpus,
    limits: cutLimits(model, cluster),
    ...{ globalBatch, sequenceLength, precision, mtp, layout, ranges },
    ...(schedules && { schedules }),
    ...(microBatchSizes && { microBatchSizes }),
    ...(recomputes && { recomputes }),
  });
  return [...plans].filter((plan) => isPossible(model, plan) && dividesWidths(model, plan));
}

function cutLimits(model: PlannedModel, cluster: ClusterSpec): CutLimits {
  return {
    numLayers: model.numHiddenLayers,
    numHeads: model.numAttentionHeads,
    numExperts: model.nRoutedExperts,
    scaleUpSize: cluster.scaleUp.domainSize,
  };
}

function dividesWidths(model: PlannedModel, { layout }: TrainingPlan): boolean {
  return model.intermediateSize % layout.tp === 0;
}

export function evaluatePlan(cheap: CheapModel, plan: TrainingPlan): Evaluated {
  const { model, cluster } = cheap.book;
  const imbalance = cheap.book.imbalanceOf(plan);
  const { gpu, gpusPerNode, host, communicationSms, scaleUp } = cluster;
  // Stages come before `auto` is resolved, and are cut as if nothing were made again.
  const before = cheap.stages(plan);
  const memory = memoryOf(
    {
      ...{ model, plan, imbalance },
      stages: heldStages(plan, before),
      device: { communicationSms, domainSize: scaleUp.domainSize },
    },
    gpu.memoryBytes,
  );
  const { rank, peak } = fullest(memory.ranks);
  const step = cheap.step(plan, memory.recompute ?? undefined);
  const perNode =
    gpusPerNode * Math.max(...memory.ranks.map((each) => each.host.average + each.host.offloaded));
  const over = peak.total - gpu.memoryBytes;
  const hostOver = perNode - host.memoryBytes;
  const isHostOver = over <= 0 && hostOver > 0;
  const { bubbleSeconds, exposedSeconds, recomputeSeconds, optimizerSeconds } = step;
  return {
    plan,
    numGpus: cluster.numGpus,
    cheapSeconds: step.seconds,
    shares: { bubbleSeconds, exposedSeconds, recomputeSeconds, optimizerSeconds },
    peakMemoryBytes: peak.total,
    fullestRank: rank,
    overBytes: isHostOver ? hostOver : over,
    isHostOver,
    recompute: memory.recompute,
  };
}

function heldStages(plan: TrainingPlan, stages: readonly PlannedStage[]): PlannedStage[][] {
  return stagesOfRanks(plan).map((own) => own.map((stage) => at(stages, stage)));
}

interface FittedMemory {
  readonly ranks: readonly RankMemory[];
  readonly recompute: RecomputeItems | null;
}

function memoryOf(input: MemoryInput, capBytes: number): FittedMemory {
  if (input.plan.recompute !== 'auto') return { ranks: estimateMemory(input), recompute: null };
  const found = autoRecompute(input, capBytes);
  if (found !== null)
    return { ranks: found.ranks, recompute: inMostLayers(input, found.recompute) };
  const ranks = estimateMemory({ ...input, recompute: () => recomputePolicies.full });
  return { ranks, recompute: recomputePolicies.full };
}

/** Passes are priced by one policy: that of most layers, over all ranks. */
function inMostLayers(
  { stages }: MemoryInput,
  recompute: NonNullable<MemoryInput['recompute']>,
): RecomputeItems {
  const counts = new Map<string, { items: RecomputeItems; count: number }>();
  for (const [rank, own] of stages.entries()) {
    for (const [stage, { first, last }] of own.entries()) {
      for (let layer = first; layer < last; layer++) {
        const items = recompute({ rank, stage, layer });
        const key = JSON.stringify(items);
        counts.set(key, { items, count: (counts.get(key)?.count ?? 0) + 1 });
      }
    }
  }
  const [most] = [...counts.values()].sort((a, b) => b.count - a.count);
  return most?.items ?? recomputePolicies.none;
}
