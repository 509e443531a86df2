/**
 * Memory of a plan: what every rank of the pipeline holds, checked against the GPU and the host. A
 * plan that does not fit is refused with the three cheapest fixes, priced by a rough step each.
 */
import { at } from '../base/assert.ts';
import type { ClusterSpec } from '../config/clusterSpec.ts';
import type { PlannedModel } from '../config/gqaModelConfig.ts';
import { numMicroBatches, type TrainingPlan } from '../config/parallelPlan.ts';
import { createStageCosts } from '../simulator/cost/stageCosts.ts';
import {
  estimateMemory,
  type LayerRecompute,
  type MemoryInput,
  type RankMemory,
} from '../simulator/memory/estimateMemory.ts';
import { createNetworkModel } from '../simulator/network/createNetworkModel.ts';
import type { NetworkModel } from '../simulator/networkModel.ts';
import { fitMemory, fullest, requireHostFit } from './memory/cheapestFixes.ts';
import { remadeSeconds, sliceCosts } from './passPrices.ts';
import {
  isMoe,
  type PlannedStage,
  planStages,
  type SliceCosts,
  stagesOfRanks,
} from './pipelinePlan.ts';

export interface PlanMemoryInput {
  readonly model: PlannedModel;
  readonly plan: TrainingPlan;
  readonly cluster: ClusterSpec;
  readonly network?: NetworkModel;
  readonly imbalance?: number;
}

export interface PlanMemory {
  readonly ranks: readonly RankMemory[];
  readonly stages: readonly PlannedStage[];
  /** What `auto` came to, layer by layer; undefined under any other policy. */
  readonly recompute: LayerRecompute | undefined;
}

/**
 * @throws plan.memory with what is alive on the fullest rank, and three fixes; plan.hostMemory
 */
export function planMemory(input: PlanMemoryInput): PlanMemory {
  const { model, plan, cluster, imbalance = 1 } = input;
  const network = input.network ?? createNetworkModel(cluster);
  const { gpu, host, gpusPerNode, scaleUp, communicationSms } = cluster;
  const settingOf = (changed: TrainingPlan): Parameters<typeof sliceCosts>[0] => {
    // `auto` is resolved by memory, which needs stages first: they are cut as without it.
    const named =
      changed.recompute === 'auto' ? { ...changed, recompute: 'none' as const } : changed;
    const costs = createStageCosts({ model, plan: named, cluster, network, imbalance });
    return { model, plan: named, costs };
  };
  const costsOf = (changed: TrainingPlan): SliceCosts => sliceCosts(settingOf(changed));
  const stagesOf = (changed: TrainingPlan): PlannedStage[][] => {
    const stages = planStages(model, changed, costsOf(changed));
    return stagesOfRanks(changed).map((own) => own.map((stage) => at(stages, stage)));
  };
  const setting = settingOf(plan);
  const stages = planStages(model, plan, sliceCosts(setting));
  const memory: MemoryInput = {
    ...{ model, plan, imbalance },
    remadeCost: remadeSeconds(setting),
    stages: stagesOfRanks(plan).map((own) => own.map((stage) => at(stages, stage))),
    device: { communicationSms, domainSize: scaleUp.domainSize },
  };
  const { ranks, recompute } = fitMemory({
    input: memory,
    capBytes: gpu.memoryBytes,
    stagesOf,
    priceOf: ({ plan: changed }) => roughStepSeconds(model, changed, costsOf(changed)),
  });
  requireHostFit(ranks, { memoryBytes: host.memoryBytes, gpus: gpusPerNode });
  return { ranks, stages, recompute };
}

/** Of the fullest rank, whether it fits or not; the plan's policy is named, or given by layer. */
export function peakMemoryBytes(
  input: PlanMemoryInput & {
    readonly stages: readonly PlannedStage[];
    readonly recompute?: LayerRecompute;
  },
): number {
  const { model, plan, cluster, stages, recompute, imbalance = 1 } = input;
  const { communicationSms, scaleUp } = cluster;
  const ranks = estimateMemory({
    ...{ model, plan, imbalance },
    ...(recompute === undefined ? {} : { recompute }),
    stages: stagesOfRanks(plan).map((own) => own.map((stage) => at(stages, stage))),
    device: { communicationSms, domainSize: scaleUp.domainSize },
  });
  return fullest(ranks).peak.total;
}

/**
 * A step to the nearest tenth: every micro-batch through the busiest rank, and the bubble as the
 * schedule's paper has it. Good enough to rank fixes.
 */
export function roughStepSeconds(
  model: PlannedModel,
  plan: TrainingPlan,
  costs: SliceCosts,
): number {
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
