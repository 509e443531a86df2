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
  type LayerRecompute,
  type MemoryInput,
  type RankMemory,
} from '../../simulator/memory/estimateMemory.ts';
import { autoRecompute } from '../memory/autoRecompute.ts';
import { fullest } from '../memory/cheapestFixes.ts';
import { isPossible } from '../memory/planChanges.ts';
import { remadeSeconds } from '../passPrices.ts';
import { type PlannedStage, stagesOfRanks } from '../pipelinePlan.ts';
import type { PriceBook } from '../priceBook.ts';
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
  /** What `auto` came to; null under a named policy. */
  readonly recompute: LayerRecompute | null;
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
  const { cluster } = cheap.book;
  // Stages come before `auto` is resolved, and are cut as if nothing were made again.
  const memory = memoryOf(cheap.book, plan, cheap.stages(plan));
  const step = cheap.step(plan, memory.inMostLayers ?? undefined);
  const { bubbleSeconds, exposedSeconds, recomputeSeconds, optimizerSeconds } = step;
  return {
    plan,
    numGpus: cluster.numGpus,
    cheapSeconds: step.seconds,
    shares: { bubbleSeconds, exposedSeconds, recomputeSeconds, optimizerSeconds },
    ...memory.fit,
    recompute: memory.recompute,
  };
}

/** With the stages of the full simulation, which may differ by a layer from the cheap model's. */
export function fitOf(
  book: PriceBook,
  plan: TrainingPlan,
  stages: readonly PlannedStage[],
): MemoryFit {
  return memoryOf(book, plan, stages).fit;
}

export type MemoryFit = Pick<
  Evaluated,
  'peakMemoryBytes' | 'fullestRank' | 'overBytes' | 'isHostOver'
>;

function memoryOf(
  book: PriceBook,
  plan: TrainingPlan,
  stages: readonly PlannedStage[],
): FittedMemory & { readonly fit: MemoryFit } {
  const { model, cluster } = book;
  const { gpu, gpusPerNode, host, communicationSms, scaleUp } = cluster;
  const input: MemoryInput = {
    ...{ model, plan, imbalance: book.imbalanceOf(plan) },
    stages: heldStages(plan, stages),
    remadeCost: remadeSeconds({ model, plan, costs: book.shape(plan).costs }),
    device: { communicationSms, domainSize: scaleUp.domainSize },
  };
  const memory = fittedMemory(input, gpu.memoryBytes);
  const { rank, peak } = fullest(memory.ranks);
  const perNode =
    gpusPerNode * Math.max(...memory.ranks.map((each) => each.host.average + each.host.offloaded));
  const over = peak.total - gpu.memoryBytes;
  const hostOver = perNode - host.memoryBytes;
  const isHostOver = over <= 0 && hostOver > 0;
  const overBytes = isHostOver ? hostOver : over;
  const fit = { peakMemoryBytes: peak.total, fullestRank: rank, overBytes, isHostOver };
  return { ...memory, fit };
}

function heldStages(plan: TrainingPlan, stages: readonly PlannedStage[]): PlannedStage[][] {
  return stagesOfRanks(plan).map((own) => own.map((stage) => at(stages, stage)));
}

interface FittedMemory {
  readonly ranks: readonly RankMemory[];
  readonly recompute: LayerRecompute | null;
  readonly inMostLayers: RecomputeItems | null;
}

function fittedMemory(input: MemoryInput, capBytes: number): FittedMemory {
  if (input.plan.recompute !== 'auto') {
    return { ranks: estimateMemory(input), recompute: null, inMostLayers: null };
  }
  const { full } = recomputePolicies;
  const found = autoRecompute(input, capBytes);
  const recompute = found?.recompute ?? ((): RecomputeItems => full);
  const ranks = found?.ranks ?? estimateMemory({ ...input, recompute });
  return { ranks, recompute, inMostLayers: itemsOfMost(input, recompute) };
}

/** The cheap model prices one policy: that of most layers, over all ranks. */
function itemsOfMost({ stages }: MemoryInput, recompute: LayerRecompute): RecomputeItems {
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
