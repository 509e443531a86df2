/**
 * A training run that others measured and published, with everything needed to plan it again. Such
 * rows judge the planner and nothing else: no fit, no efficiency and no overhead may read them.
 *
 * A source gives a step's seconds, tokens per second and GPU, or TFLOP/s and GPU. The last is
 * brought to seconds with the source's own count of FLOPs, which is not ours.
 */

import type { ClusterSpec } from '../../config/clusterSpec.ts';
import { findCluster } from '../../config/clusters/clusters.ts';
import type { EngineTraits } from '../../config/engineTraits.ts';
import { isGqa, type PlannedModel } from '../../config/gqaModelConfig.ts';
import { countParameters } from '../../config/modelCounts.ts';
import {
  type NamedRecompute,
  type Precision,
  parseLayout,
  type TrainingPlan,
  worldSize,
} from '../../config/parallelPlan.ts';

/**
 * How a source counts a token's FLOPs. `causal`: six per weight of every product that a token
 * meets, and half of the attention matrix. `full`: the whole matrix. `gpt`: 72Lh² + 12Lhs + 6Vh,
 * whatever the model's heads and MLP (Narayanan 2021; Korthikanti 2022; NeMo's notes).
 */
export type FlopCount = 'causal' | 'full' | 'gpt';

/** As printed by the source; one of the first three at least. */
export interface Published {
  readonly stepSeconds?: number;
  readonly tokensPerSecondPerGpu?: number;
  readonly teraflopsPerGpu?: number;
  /** Share of the peak of the precision that was used. */
  readonly mfu?: number;
  /** The peak that the share is of, TFLOP/s. */
  readonly peakTeraflops?: number;
}

export interface PublishedRun {
  readonly name: string;
  readonly modelName: string;
  readonly model: PlannedModel;
  readonly cluster: ClusterSpec;
  readonly plan: TrainingPlan;
  /** Tokens are spread evenly over experts, by force or by assumption. */
  readonly isBalanced: boolean;
  readonly published: Published;
  readonly flopCount: FlopCount;
  /** From `published`, by `measuredSeconds`. */
  readonly stepSeconds: number;
  /** How far the source's rounding and the conversion may be off, relative. */
  readonly uncertainty: number;
  /** Paper and table, or repository and file. */
  readonly source: string;
  /** What differs between the run and how it is described here. */
  readonly notes: readonly string[];
  /** What the source does not say and was filled in. */
  readonly assumed: readonly string[];
}

export interface PublishedRow {
  readonly name: string;
  readonly model: readonly [name: string, model: PlannedModel];
  /** A name, or a preset that was adapted. */
  readonly cluster: string | ClusterSpec;
  /** As `parseLayout` reads it. */
  readonly layout: string;
  /** Model chunks on a pipeline rank; 1 unless given. */
  readonly chunks?: number;
  readonly globalBatch: number;
  readonly microBatch: number;
  readonly sequence: number;
  readonly precision: Precision;
  readonly recompute?: NamedRecompute;
  readonly mtp?: true;
  /** What the engine of the source does, as its notes and documents say. */
  readonly engine?: EngineTraits;
  /** Tokens are spread evenly over experts, by force or by assumption. */
  readonly isBalanced?: true;
  readonly published: Published;
  readonly flopCount: FlopCount;
  readonly uncertainty?: number;
  readonly source: string;
  readonly notes?: readonly string[];
  readonly assumed?: readonly string[];
}

/** Table rounding alone: three digits. */
const USUAL_UNCERTAINTY = 0.01;

export function publishedRun(row: PublishedRow): PublishedRun {
  const cluster = typeof row.cluster === 'string' ? findCluster(row.cluster) : row.cluster;
  const chunksPerRank = row.chunks ?? 1;
  const plan: TrainingPlan = {
    layout: parseLayout(row.layout, cluster.numGpus),
    schedule: chunksPerRank > 1 ? 'interleaved-1f1b' : '1f1b',
    chunksPerRank,
    globalBatch: row.globalBatch,
    microBatchSize: row.microBatch,
    sequenceLength: row.sequence,
    precision: row.precision,
    recompute: row.recompute ?? 'none',
    mtp: row.mtp ?? false,
    ...(row.engine === undefined ? {} : { engine: row.engine }),
  };
  const [modelName, model] = row.model;
  const { name, published, flopCount, source } = row;
  return {
    name,
    modelName,
    model,
    cluster,
    plan,
    isBalanced: row.isBalanced ?? false,
    published,
    flopCount,
    stepSeconds: measuredSeconds({ model, plan, published, flopCount }),
    uncertainty: row.uncertainty ?? USUAL_UNCERTAINTY,
    source,
    notes: row.notes ?? [],
    assumed: row.assumed ?? [],
  };
}

type Measured = Pick<PublishedRun, 'model' | 'plan' | 'published' | 'flopCount'>;

/** Seconds of a step, from what the source prints most directly. */
export function measuredSeconds({ model, plan, published, flopCount }: Measured): number {
  const tokensPerGpu = (plan.globalBatch * plan.sequenceLength) / worldSize(plan.layout);
  const { stepSeconds, tokensPerSecondPerGpu, teraflopsPerGpu } = published;
  if (stepSeconds !== undefined) return stepSeconds;
  if (tokensPerSecondPerGpu !== undefined) return tokensPerGpu / tokensPerSecondPerGpu;
  const flops = sourceFlopsPerToken(model, plan, flopCount);
  return (tokensPerGpu * flops) / ((teraflopsPerGpu ?? Number.NaN) * 1e12);
}

/** A token's FLOPs, forward and backward, as the source counts them. */
export function sourceFlopsPerToken(
  model: PlannedModel,
  plan: Pick<TrainingPlan, 'sequenceLength' | 'mtp'>,
  count: FlopCount,
): number {
  const { hiddenSize: h, numHiddenLayers: layers, vocabSize } = model;
  const { sequenceLength } = plan;
  switch (count) {
    case 'gpt':
      return 72 * layers * h * h + 12 * layers * h * sequenceLength + 6 * vocabSize * h;
    case 'causal':
    case 'full': {
      const share = count === 'causal' ? 0.5 : 1;
      const numLayers = layers + (plan.mtp ? 1 : 0);
      const attention = 6 * sequenceLength * attentionWidth(model) * numLayers * share;
      return 6 * activeWeights(model, plan) + attention;
    }
    default:
      count satisfies never;
      return Number.NaN;
  }
}

/** Of queries with keys, and of weights with values, over all heads. */
function attentionWidth(model: PlannedModel): number {
  if (isGqa(model)) return model.numAttentionHeads * model.headDim * 2;
  const { qkNopeHeadDim, qkRopeHeadDim, vHeadDim } = model;
  return model.numAttentionHeads * (qkNopeHeadDim + qkRopeHeadDim + vHeadDim);
}

/** Weights of matrices that a token is multiplied with; the embedding is looked up. */
function activeWeights(model: PlannedModel, { mtp }: Pick<TrainingPlan, 'mtp'>): number {
  const { hiddenSize: h, numHiddenLayers: layers, vocabSize } = model;
  const head = vocabSize * h;
  const expert = 3 * h * model.moeIntermediateSize;
  const moe = expert * (model.numExpertsPerTok + model.nSharedExperts) + h * model.nRoutedExperts;
  const numDense = model.nRoutedExperts > 0 ? model.firstKDenseReplace : layers;
  const attention = isGqa(model)
    ? 2 * h * model.headDim * (model.numAttentionHeads + model.numKeyValueHeads)
    : countParameters(model).attention / layers;
  const main =
    layers * attention + numDense * 3 * h * model.intermediateSize + (layers - numDense) * moe;
  // One MTP layer: its block, the projection of two hidden states, the head once more.
  return main + head + (mtp ? attention + moe + 2 * h * h + head : 0);
}
