/**
 * What follows from a model's numbers alone: parameters, cache bytes, FLOPs. Pure sums, held to the
 * published figures by tests here and to the meta kernels and the checkpoint's tensors elsewhere.
 *
 * Letters: H hidden, h heads, n nope dim, p rope dim, v value dim, c KV latent, q query latent.
 */
import { isMoeLayer, type ModelConfig } from './modelConfig.ts';

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
  /** Gains: two per layer, one or two latent ones, and the last. */
  readonly norms: number;
  /** Selection biases of main MoE layers: adjusted, not trained, hence in no other number. */
  readonly routerBias: number;
}

export function countParameters(config: ModelConfig): ParameterCounts {
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

export function activeParameters(config: ModelConfig): ActiveParameters {
  const counts = countParameters(config);
  const experts = activeRoutedExperts(config, 0, config.numHiddenLayers);
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

/** The latent and the rope key, per token, in every main layer (report 2.1.1). */
export function kvBytesPerToken(config: ModelConfig, bytesPerElement = 2): number {
  const perLayer = config.kvLoraRank + config.qkRopeHeadDim;
  return config.numHiddenLayers * perLayer * bytesPerElement;
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
export function flopsPerToken(config: ModelConfig, options: FlopsOptions): number {
  const { numHiddenLayers: layers, numAttentionHeads: heads } = config;
  const numMtp = options.mtp ? config.numNextnPredictLayers : 0;
  const counts = countParameters(config);
  const { vocabSize, hiddenSize } = config;
  const headParameters = vocabSize * hiddenSize;
  let matrices = headParameters * (1 + numMtp);
  matrices += counts.attention + counts.denseMlp + counts.sharedExperts;
  matrices += activeRoutedExperts(config, 0, layers + numMtp);
  for (const layer of range(layers, layers + numMtp)) {
    const { attention, denseMlp, sharedExperts } = countLayer(config, layer);
    matrices += attention + denseMlp + sharedExperts + 2 * hiddenSize * hiddenSize;
  }
  const widths = config.qkNopeHeadDim + config.qkRopeHeadDim + config.vHeadDim;
  const seen = options.causal ? options.context / 2 : options.context;
  const attention = seen * heads * widths * (layers + numMtp);
  return 2 * (matrices + attention) * (options.training ? 3 : 1);
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

function countLayer(config: ModelConfig, layer: number): LayerCounts {
  const { hiddenSize: H, numAttentionHeads: h, qLoraRank: q, kvLoraRank: c } = config;
  const { qkNopeHeadDim: n, qkRopeHeadDim: p, vHeadDim: v } = config;
  const query = q === null ? H * h * (n + p) : H * q + q * h * (n + p);
  const isMoe = isMoeLayer(config, layer);
  return {
    attention: query + H * (c + p) + c * h * (n + v) + h * v * H,
    denseMlp: isMoe ? 0 : 3 * H * config.intermediateSize,
    routedExperts: isMoe ? config.nRoutedExperts * expertParameters(config) : 0,
    sharedExperts: isMoe ? config.nSharedExperts * expertParameters(config) : 0,
    router: isMoe ? config.nRoutedExperts * H : 0,
    norms: 2 * H + c + (q ?? 0),
    routerBias: isMoe && config.topkMethod === 'noaux_tc' ? config.nRoutedExperts : 0,
  };
}

/** A block like any other, the projection of two normed inputs, and three norms (report 2.2). */
function countMtpLayer(config: ModelConfig, layer: number): number {
  const { routerBias, ...block } = countLayer(config, layer);
  const H = config.hiddenSize;
  return sum(Object.values(block)) + 2 * H * H + 3 * H;
}

function expertParameters(config: ModelConfig): number {
  return 3 * config.hiddenSize * config.moeIntermediateSize;
}

function activeRoutedExperts(config: ModelConfig, from: number, to: number): number {
  const moeLayers = range(from, to).filter((layer) => isMoeLayer(config, layer)).length;
  return moeLayers * config.numExpertsPerTok * expertParameters(config);
}

function mtpLayers(config: ModelConfig): number[] {
  const { numHiddenLayers, numNextnPredictLayers } = config;
  return range(numHiddenLayers, numHiddenLayers + numNextnPredictLayers);
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
