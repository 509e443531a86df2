/**
 * Memory of a plan: what every rank of the pipeline holds, checked against the GPU and the host. A
 * plan that does not fit is refused with the three cheapest fixes, priced by a rough step each.
 */
import { at } from '../base/assert.ts';
import type { ClusterSpec } from '../config/clusterSpec.ts';
import { withNumGpus } from '../config/clusters/clusters.ts';
import { isValidCluster } from '../config/clusters/validateCluster.ts';
import type { PlannedModel } from '../config/gqaModelConfig.ts';
import { numMicroBatches, type TrainingPlan, worldSize } from '../config/parallelPlan.ts';
import {
  estimateMemory,
  type LayerRecompute,
  type MemoryInput,
  type RankMemory,
} from '../simulator/memory/estimateMemory.ts';
import { createNetworkModel } from '../simulator/network/createNetworkModel.ts';
import {
  type FixInput,
  fitMemory,
  fullest,
  requireHostFit,
  tryFit,
} from './memory/cheapestFixes.ts';
import { remadeSeconds } from './passPrices.ts';
import {
  isMoe,
  type MemoryWeight,
  type PlannedStage,
  planStages,
  type SliceCosts,
  stagesOfRanks,
} from './pipelinePlan.ts';
import { PriceBook } from './priceBook.ts';

export interface PlanMemoryInput {
  readonly plan: TrainingPlan;
  /** Of the model on its cluster. */
  readonly book: PriceBook;
}

export interface PlanMemory {
  readonly ranks: readonly RankMemory[];
  readonly stages: readonly PlannedStage[];
  /** What `auto` came to, layer by layer; undefined under any other policy. */
  readonly recompute: LayerRecompute | undefined;
}

/** Where the fastest split does not fit: splits for which the fullest rank counts for more. */
const MORE_WEIGHT: readonly MemoryWeight[] = [
  { worth: 0.2, head: 1 },
  { worth: 2, head: 2 },
  { worth: 2, head: 4 },
];

/**
 * @throws plan.memory with what is alive on the fullest rank, and three fixes; plan.hostMemory
 */
export function planMemory({ plan, book }: PlanMemoryInput): PlanMemory {
  const { host, gpusPerNode } = book.cluster;
  const found = tryPlanMemory({ plan, book }) ?? refused({ plan, book });
  requireHostFit(found.ranks, {
    memoryBytes: host.memoryBytes,
    gpus: gpusPerNode,
    zeroStage: plan.layout.zeroStage,
  });
  return found;
}

/** Null for a plan that does not fit on its GPUs however its layers are split. */
export function tryPlanMemory({ plan, book }: PlanMemoryInput): PlanMemory | null {
  const { model, cluster } = book;
  const imbalance = book.imbalanceOf(plan);
  const costs = slicesOf(book, plan);
  const fitOf = (weight?: MemoryWeight): PlanMemory | null => {
    const stages = planStages(model, plan, costs, weight);
    const input = memoryInput({ model, plan, cluster, stages, imbalance });
    const fitted = tryFit(
      { ...input, remadeCost: remadeCostOf(book, plan) },
      cluster.gpu.memoryBytes,
    );
    return fitted === null ? null : { ...fitted, stages };
  };
  let found = fitOf();
  for (const weight of MORE_WEIGHT) found ??= fitOf(weight);
  return found;
}

/** @throws plan.memory */
function refused({ plan, book }: PlanMemoryInput): PlanMemory {
  const { model, cluster } = book;
  const stagesOf = (changed: TrainingPlan): readonly PlannedStage[] =>
    planStages(model, changed, slicesOf(book, changed));
  const stages = stagesOf(plan);
  const imbalance = book.imbalanceOf(plan);
  const fitted = fitMemory({
    input: memoryInput({ model, plan, cluster, stages, imbalance }),
    capBytes: cluster.gpu.memoryBytes,
    stagesOf: (changed) => heldByRank(changed, stagesOf(changed)),
    imbalanceOf: (changed) => book.imbalanceOf(changed),
    priceOf: pricing(book),
  });
  return { ...fitted, stages };
}

/** `auto` is resolved by memory, which needs stages first: they are cut as without it. */
function slicesOf(book: PriceBook, plan: TrainingPlan): SliceCosts {
  const named = plan.recompute === 'auto' ? { ...plan, recompute: 'none' as const } : plan;
  return book.shape(named).slices(named);
}

/** By which `auto` chooses what is made again. */
function remadeCostOf(book: PriceBook, plan: TrainingPlan): ReturnType<typeof remadeSeconds> {
  const { model } = book;
  const named = plan.recompute === 'auto' ? { ...plan, recompute: 'none' as const } : plan;
  return remadeSeconds({ model, plan: named, costs: book.shape(named).costs });
}

/** GPU-seconds of a step: twice the GPUs for half the time are no cheaper. */
function pricing(book: PriceBook): FixInput['priceOf'] {
  const { model, cluster, traces, factors, imbalance } = book;
  const books = new Map([[cluster.numGpus, book]]);
  return ({ plan, offloadedBytes }) => {
    const numGpus = worldSize(plan.layout);
    const sized = sizedCluster(cluster, numGpus);
    if (sized === null) return Number.POSITIVE_INFINITY;
    const given = { ...(imbalance === null ? {} : { imbalance }), traces, factors };
    const priced =
      books.get(numGpus) ??
      new PriceBook({ model, cluster: sized, ...given, network: createNetworkModel(sized) });
    books.set(numGpus, priced);
    // What lies in host memory comes and goes once a step.
    const moving = (2 * offloadedBytes) / cluster.host.bytesPerSecond;
    return numGpus * (roughStepSeconds(model, plan, slicesOf(priced, plan)) + moving);
  };
}

/** Null where more GPUs of the kind cannot be connected. */
function sizedCluster(cluster: ClusterSpec, numGpus: number): ClusterSpec | null {
  if (numGpus === cluster.numGpus) return cluster;
  const sized = withNumGpus(cluster, numGpus);
  return isValidCluster(sized) ? sized : null;
}

interface StagedPlan {
  readonly model: PlannedModel;
  readonly plan: TrainingPlan;
  readonly cluster: ClusterSpec;
  readonly stages: readonly PlannedStage[];
  readonly imbalance: number;
}

function memoryInput({ model, plan, cluster, stages, imbalance }: StagedPlan): MemoryInput {
  const { communicationSms, scaleUp } = cluster;
  return {
    ...{ model, plan, imbalance },
    stages: heldByRank(plan, stages),
    device: { communicationSms, domainSize: scaleUp.domainSize },
  };
}

function heldByRank(plan: TrainingPlan, stages: readonly PlannedStage[]): PlannedStage[][] {
  return stagesOfRanks(plan).map((own) => own.map((stage) => at(stages, stage)));
}

/** Of the fullest rank, whether it fits or not; the plan's policy is named, or given by layer. */
export function peakMemoryBytes(
  args: StagedPlan & { readonly recompute?: LayerRecompute },
): number {
  const { recompute } = args;
  const layers = recompute === undefined ? {} : { recompute };
  return fullest(estimateMemory({ ...memoryInput(args), ...layers })).peak.total;
}

/**
 * A step to the nearest tenth: every micro-batch through the busiest rank, and the bubble as the
 * schedule's paper has it. Good enough to rank fixes.
 */
function roughStepSeconds(model: PlannedModel, plan: TrainingPlan, costs: SliceCosts): number {
  const { pp } = plan.layout;
  let work = costs.embedding + costs.head;
  for (let layer = 0; layer < model.numHiddenLayers; layer++) {
    work += isMoe(model, layer) ? costs.moe : costs.dense;
  }
  const perRank = work / pp;
  const isDual = plan.schedule === 'dualpipe' || plan.schedule === 'dualpipev';
  const chunks = plan.schedule === 'interleaved-1f1b' ? plan.chunksPerRank : 1;
  const waiting = isDual ? Math.max(0, pp / 2 - 1) / 2 : (pp - 1) / chunks;
  return (numMicroBatches(plan) + waiting) * perRank;
}
