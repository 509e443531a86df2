/**
 * What plans of one model on one cluster have in common, priced once: passes depend on how a layer
 * is cut and on nothing else of the layout, so of ten thousand plans a few hundred shapes remain.
 *
 *     shape = tp, ep, micro-batch, sequence, precision, recompute, MTP, imbalance
 *     book.shape(plan) ─► costs of its stages ─► passes by the make-up of their stage
 */
import { at } from '../base/assert.ts';
import type { ClusterSpec } from '../config/clusterSpec.ts';
import type { PlannedModel } from '../config/gqaModelConfig.ts';
import {
  type RecomputeItems,
  recomputePolicies,
  type TrainingPlan,
} from '../config/parallelPlan.ts';
import { calibratedNetwork, kernelFactors } from '../simulator/applyCalibration.ts';
import type { Calibration } from '../simulator/calibrate.ts';
import type { KernelFactors } from '../simulator/cost/kernelTime.ts';
import {
  type OptimizerPrice,
  optimizerPrice,
  type RankParameters,
  rankParameters,
} from '../simulator/cost/optimizerCosts.ts';
import { createStageCosts, type PassPrice, type StageCosts } from '../simulator/cost/stageCosts.ts';
import type { TracedSlice } from '../simulator/cost/tracedSlices.ts';
import { createNetworkModel } from '../simulator/network/createNetworkModel.ts';
import type { NetworkModel } from '../simulator/networkModel.ts';
import { imbalanceOf } from './expertImbalance.ts';
import { sliceCosts } from './passPrices.ts';
import { isMoe, type PlannedStage, type SliceCosts } from './pipelinePlan.ts';

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
  readonly #parameters = new Map<string, SliceParameters>();

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
    const imbalance = this.imbalanceOf(plan);
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

  /** Load of the busiest rank's experts over the mean. */
  imbalanceOf({ layout }: TrainingPlan): number {
    return imbalanceOf(this.model, layout, this.imbalance);
  }

  /** Trained elements of a rank with these stages: layers of one kind are counted once. */
  parameters(plan: TrainingPlan, stages: readonly PlannedStage[]): RankParameters {
    const { model } = this;
    const count = this.#counts(plan);
    let [experts, others, inFp8] = [0, 0, 0];
    const add = (more: RankParameters): void => {
      experts += more.experts;
      others += more.others;
      inFp8 += more.inFp8;
    };
    for (const { first, last, hasHead } of stages) {
      for (let layer = first; layer < last; layer++) {
        add(isMoe(model, layer) ? count.moe : count.dense);
      }
      if (hasHead) add(count.head);
    }
    // Head and MTP modules may share the embedding that the rank has anyway.
    const needs = stages.some((stage) => stage.hasEmbedding || (stage.hasHead && count.headEmbeds));
    if (needs) add(count.embedding);
    return { experts, others, inFp8 };
  }

  #counts(plan: TrainingPlan): SliceParameters {
    const { tp, ep } = plan.layout;
    const key = `${tp} ${ep} ${plan.mtp}`;
    const known = this.#parameters.get(key) ?? sliceParameters(this.model, plan);
    this.#parameters.set(key, known);
    return known;
  }

  get numShapes(): number {
    return this.#shapes.size;
  }
}

/** A book's network and factors under a calibration. */
export function calibrated(
  cluster: ClusterSpec,
  calibration: Calibration,
): Pick<PriceBookOptions, 'network' | 'factors'> {
  return {
    network: calibratedNetwork(createNetworkModel(cluster), calibration),
    factors: kernelFactors(calibration),
  };
}

/** Of every rank; ranks with as many parameters have one price. */
export function optimizerPrices(
  book: PriceBook,
  args: {
    readonly plan: TrainingPlan;
    readonly stages: readonly PlannedStage[];
    readonly stagesOfRank: readonly (readonly number[])[];
  },
): OptimizerPrice[] {
  const { plan, stages, stagesOfRank } = args;
  const { model, cluster, network } = book;
  const known = new Map<string, OptimizerPrice>();
  return stagesOfRank.map((own) => {
    const held = own.map((stage) => at(stages, stage));
    const parameters = book.parameters(plan, held);
    const { experts, others, inFp8 } = parameters;
    const key = `${experts} ${others} ${inFp8}`;
    const stageCopies = plan.schedule === 'dualpipe' ? 2 : 1;
    const price =
      known.get(key) ??
      optimizerPrice({ model, plan, cluster, network, stages: held, stageCopies, parameters });
    known.set(key, price);
    return price;
  });
}

interface SliceParameters {
  readonly embedding: RankParameters;
  readonly dense: RankParameters;
  readonly moe: RankParameters;
  /** Without the embedding. */
  readonly head: RankParameters;
  /** Whether the head's stage has the embedding too. */
  readonly headEmbeds: boolean;
}

function sliceParameters(model: PlannedModel, plan: TrainingPlan): SliceParameters {
  const { numHiddenLayers: end } = model;
  const of = (stage: Partial<PlannedStage>): RankParameters => {
    const none = { first: end, last: end, hasEmbedding: false, hasHead: false };
    return rankParameters({ model, plan, stages: [{ ...none, ...stage }] });
  };
  const layers = Array.from({ length: end }, (_, layer) => layer);
  const layer = (wanted: boolean): RankParameters => {
    const first = layers.find((each) => isMoe(model, each) === wanted);
    return first === undefined
      ? { experts: 0, others: 0, inFp8: 0 }
      : of({ first, last: first + 1 });
  };
  const embedding = of({ first: 0, last: 0, hasEmbedding: true });
  const head = of({ hasHead: true });
  const both = of({ hasHead: true, hasEmbedding: true });
  const headEmbeds = both.others === head.others;
  return {
    ...{ embedding, dense: layer(false), moe: layer(true), headEmbeds },
    head: headEmbeds ? { ...head, others: head.others - embedding.others } : head,
  };
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
  const { combineFormat = '', engine = {} } = plan;
  const { norm, mlaUpProjection, swiglu, block } = items;
  const bits = [norm, mlaUpProjection, swiglu, block, mtp].map(Number).join('');
  const sizes = `${layout.tp} ${layout.ep} ${microBatchSize} ${sequenceLength}`;
  return `${sizes} ${precision} ${bits}${combineFormat} ${JSON.stringify(engine)}`;
}
