/**
 * What plans of one model on one cluster have in common, priced once: passes depend on how a layer
 * is cut and on nothing else of the layout, so of ten thousand plans a few hundred shapes remain.
 *
 *     shape = tp, ep, micro-batch, sequence, precision, recompute, MTP, imbalance
 *     book.shape(plan) ─► costs of its stages ─► passes by the make-up of their stage
 */
import type { ClusterSpec } from '../config/clusterSpec.ts';
import type { PlannedModel } from '../config/gqaModelConfig.ts';
import {
  type RecomputeItems,
  recomputePolicies,
  type TrainingPlan,
} from '../config/parallelPlan.ts';
import type { KernelFactors } from '../simulator/cost/kernelTime.ts';
import { createStageCosts, type PassPrice, type StageCosts } from '../simulator/cost/stageCosts.ts';
import type { TracedSlice } from '../simulator/cost/tracedSlices.ts';
import { createNetworkModel } from '../simulator/network/createNetworkModel.ts';
import type { NetworkModel } from '../simulator/networkModel.ts';
import { expectedImbalance } from './expertImbalance.ts';
import { sliceCosts } from './passPrices.ts';
import type { SliceCosts } from './pipelinePlan.ts';

export interface PriceBookOptions {
  readonly model: PlannedModel;
  readonly cluster: ClusterSpec;
  readonly network?: NetworkModel;
  /** Load of the busiest rank's experts over the mean; 1 is balanced; by default as published. */
  readonly imbalance?: number;
  /** Of the same model on another cluster: what a layer runs does not depend on the hardware. */
  readonly traces?: Map<string, TracedSlice>;
  /** Of a calibration: measured seconds of a class over its price. */
  readonly factors?: KernelFactors;
}

/** Prices of all stages that are cut alike. */
export interface ShapePrices {
  /** Of the shape; equal keys have equal prices. */
  readonly key: string;
  readonly costs: StageCosts;
  /** Passes that were priced, by kind and by the make-up of their stage. */
  readonly passes: Map<string, PassPrice>;
  /** What stages are cut by. */
  slices(plan: TrainingPlan): SliceCosts;
}

export class PriceBook {
  readonly model: PlannedModel;
  readonly cluster: ClusterSpec;
  readonly network: NetworkModel;
  /** Null: as published for such routers. */
  readonly imbalance: number | null;
  readonly traces: Map<string, TracedSlice>;
  readonly factors: KernelFactors;
  readonly #shapes = new Map<string, ShapePrices>();

  constructor(options: PriceBookOptions) {
    const { model, cluster, network, imbalance, traces, factors = {} } = options;
    this.model = model;
    this.cluster = cluster;
    this.network = network ?? createNetworkModel(cluster);
    this.imbalance = imbalance ?? null;
    this.traces = traces ?? new Map();
    this.factors = factors;
  }

  /** @param recompute what the plan's policy comes to; needed where that is `auto` */
  shape(plan: TrainingPlan, recompute?: RecomputeItems): ShapePrices {
    const items = recompute ?? itemsOf(plan);
    const key = shapeKey(plan, items);
    const known = this.#shapes.get(key);
    if (known !== undefined) return known;
    const { model, cluster, network, traces, factors } = this;
    const imbalance = this.imbalance ?? expectedImbalance(model, plan.layout);
    const costs = createStageCosts({
      ...{ model, plan, cluster, network, imbalance, traces, factors },
      recompute: items,
    });
    const slices = new Map<boolean, SliceCosts>();
    const made: ShapePrices = {
      key,
      costs,
      passes: new Map(),
      slices: (of) => {
        const isPaired = hasPairs(of);
        const priced = slices.get(isPaired) ?? sliceCosts({ model, plan: of, costs });
        slices.set(isPaired, priced);
        return priced;
      },
    };
    this.#shapes.set(key, made);
    return made;
  }

  get numShapes(): number {
    return this.#shapes.size;
  }
}

/** Whether forward and backward of two micro-batches run as one. */
export function hasPairs({ schedule }: Pick<TrainingPlan, 'schedule'>): boolean {
  return schedule === 'dualpipe' || schedule === 'dualpipev';
}

function itemsOf({ recompute }: TrainingPlan): RecomputeItems {
  return recomputePolicies[recompute === 'auto' ? 'none' : recompute];
}

function shapeKey(plan: TrainingPlan, items: RecomputeItems): string {
  const { layout, microBatchSize, sequenceLength, precision, mtp } = plan;
  const { norm, mlaUpProjection, swiglu, block } = items;
  const bits = [norm, mlaUpProjection, swiglu, block, mtp].map(Number).join('');
  return `${layout.tp} ${layout.ep} ${microBatchSize} ${sequenceLength} ${precision} ${bits}`;
}
