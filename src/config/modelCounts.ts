/**
 * What follows from a model's numbers alone: parameters, cache bytes, FLOPs. Pure sums, held to the
 * published figures by tests here and to the meta kernels and the checkpoint's tensors elsewhere.
 *
 * Letters: H hidden, h heads, n nope dim, p rope dim, v value dim, c KV latent, q query latent; in
 * models with grouped queries g key-value heads, d head dim.
 */
import {
  countMoeLayers,
  hasExperts,
  moduleFlops,
  publishedFlops,
  trainingFactor,
} from './flops.ts';
import { type GqaModelConfig, isGqa, type PlannedModel } from './gqaModelConfig.ts';
import type { ModelConfig } from './modelConfig.ts';

export interface ParameterCounts {
  /** The main model: every part below, without MTP and without the router's biases. */
  readonly total: number;
  /** What MTP layers add; their embedding and head are the main model's. */
  readonly mtp: number;
  readonly embedding: number;
  /** 0 when tied to the embedding. */
  readonly head: number;
  /** Projections of every main layer. */
  readonly attention: number;
  readonly denseMlp: number;
  readonly routedExperts: number;
  readonly sharedExperts: number;
  /** Gate matrices. */
  readonly router: number;
  /** Gains: two per layer, one or two latent ones in MLA, and the last. */
  readonly norms: number;
  /** Selection biases of main MoE layers: adjusted, not trained, hence in no other number. */
  readonly routerBias: number;
}

export function countParameters(config: PlannedModel): ParameterCounts {
  const main = range(0, config.numHiddenLayers).map((layer) => countLayer(config, layer));
  const part = (name: keyof LayerCounts): number => sum(main.map((layer) => layer[name]));
  const parts = {
    embedding: config.vocabSize * config.hiddenSize,
    head: config.tieWordEmbeddings ? 0 : config.vocabSize * config.hiddenSize,
    attention: part('attention'),
    denseMlp: part('denseMlp'),
    routedExperts: part('routedExperts'),
    sharedExperts: part('sharedExperts'),
    router: part('router'),
    norms: part('norms') + config.hiddenSize,
  };
  return {
    total: sum(Object.values(parts)),
    mtp: sum(mtpLayers(config).map((layer) => countMtpLayer(config, layer))),
    ...parts,
    routerBias: part('routerBias'),
  };
}

/** Parameters a token passes through, in the three ways they are published (MTP apart). */
export interface ActiveParameters {
  readonly withoutEmbedding: number;
  readonly withHead: number;
  readonly withEmbeddingAndHead: number;
}

export function activeParameters(config: PlannedModel): ActiveParameters {
  const counts = countParameters(config);
  const experts = activeRoutedExperts(config);
  const { attention, denseMlp, sharedExperts, router, norms } = counts;
  const withoutEmbedding = attention + denseMlp + experts + sharedExperts + router + norms;
  // A tied head is the embedding, yet the token passes through it.
  const withHead = withoutEmbedding + config.vocabSize * config.hiddenSize;
  return {
    withoutEmbedding,
    withHead,
    withEmbeddingAndHead: withHead + (config.tieWordEmbeddings ? 0 : counts.embedding),
  };
}

/**
 * Per token, in every main layer: the latent and the rope key (report 2.1.1), or keys and values of
 * the key-value heads.
 */
export function kvBytesPerToken(config: PlannedModel, bytesPerElement = 2): number {
  const perLayer = isGqa(config)
    ? 2 * config.numKeyValueHeads * config.headDim
    : config.kvLoraRank + config.qkRopeHeadDim;
  return config.numHiddenLayers * perLayer * bytesPerElement;
}

/**
 * Per token and layer, MTP's among them, in the types that caches are served from: C + P floats,
 * bf16 numbers, or C bytes, a float per 128 of them and P bf16 numbers (V3: 2304, 1152, 656).
 */
export function latentBytesPerToken(
  { kvLoraRank, qkRopeHeadDim }: Pick<ModelConfig, 'kvLoraRank' | 'qkRopeHeadDim'>,
  dtype: 'f32' | 'bf16' | 'f8e4m3',
): number {
  switch (dtype) {
    case 'f32':
      return 4 * (kvLoraRank + qkRopeHeadDim);
    case 'bf16':
      return 2 * (kvLoraRank + qkRopeHeadDim);
    case 'f8e4m3':
      return kvLoraRank + 4 * Math.ceil(kvLoraRank / 128) + 2 * qkRopeHeadDim;
    default:
      return dtype satisfies never;
  }
}

export interface FlopsOptions {
  /** Tokens per sequence. */
  readonly context: number;
  /** Whether attention is counted over the past only: half the square. */
  readonly causal: boolean;
  /** Whether MTP layers are run too. */
  readonly mtp: boolean;
  /** Forward and backward: three times the forward pass. */
  readonly training: boolean;
}

/**
 * FLOPs per token, mean over a sequence, as the hardware paper counts them (ISCA 2025, table 2 and
 * 4): two per parameter and token in every matrix but the gate's and the embedding, and the two
 * products of attention, of width n + p and v. Norms, softmax and activations are not counted.
 */
export function flopsPerToken(config: PlannedModel, options: FlopsOptions): number {
  const { context: sequenceLength, causal, mtp, training } = options;
  const modules = moduleFlops(config, { sequenceLength, causal });
  return publishedFlops(modules, { mtp }) * (training ? trainingFactor : 1);
}

interface LayerCounts {
  readonly attention: number;
  readonly denseMlp: number;
  readonly routedExperts: number;
  readonly sharedExperts: number;
  readonly router: number;
  readonly norms: number;
  readonly routerBias: number;
}

function countLayer(config: PlannedModel, layer: number): LayerCounts {
  const isMoe = hasExperts(config, layer);
  const H = config.hiddenSize;
  const hasBias = isMoe && !isGqa(config) && config.topkMethod === 'noaux_tc';
  return {
    ...(isGqa(config) ? countGqa(config) : countMla(config)),
    denseMlp: isMoe ? 0 : 3 * H * config.intermediateSize,
    routedExperts: isMoe ? config.nRoutedExperts * expertParameters(config) : 0,
    sharedExperts: isMoe ? config.nSharedExperts * expertParameters(config) : 0,
    router: isMoe ? config.nRoutedExperts * H : 0,
    routerBias: hasBias ? config.nRoutedExperts : 0,
  };
}

type AttentionCounts = Pick<LayerCounts, 'attention' | 'norms'>;

function countMla(config: ModelConfig): AttentionCounts {
  const { hiddenSize: H, numAttentionHeads: h, qLoraRank: q, kvLoraRank: c } = config;
  const { qkNopeHeadDim: n, qkRopeHeadDim: p, vHeadDim: v } = config;
  const query = q === null ? H * h * (n + p) : H * q + q * h * (n + p);
  return {
    attention: query + H * (c + p) + c * h * (n + v) + h * v * H,
    norms: 2 * H + c + (q ?? 0),
  };
}

/** Without biases, which Qwen's projections have (10,240 of 877.7 M per layer of the 72B). */
function countGqa(config: GqaModelConfig): AttentionCounts {
  const { hiddenSize: H, numAttentionHeads: h, numKeyValueHeads: g, headDim: d } = config;
  return { attention: 2 * H * h * d + 2 * H * g * d, norms: 2 * H };
}

/** A block like any other, the projection of two normed inputs, and three norms (report 2.2). */
function countMtpLayer(config: PlannedModel, layer: number): number {
  const { routerBias, ...block } = countLayer(config, layer);
  const H = config.hiddenSize;
  return sum(Object.values(block)) + 2 * H * H + 3 * H;
}

function expertParameters(config: PlannedModel): number {
  return 3 * config.hiddenSize * config.moeIntermediateSize;
}

function activeRoutedExperts(config: PlannedModel): number {
  const numMoe = countMoeLayers(config, { from: 0, to: config.numHiddenLayers });
  return numMoe * config.numExpertsPerTok * expertParameters(config);
}

function mtpLayers(config: PlannedModel): number[] {
  if (isGqa(config)) return [];
  const { numHiddenLayers, numNextnPredictLayers } = config;
  return range(numHiddenLayers, numHiddenLayers + numNextnPredictLayers);
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
