/**
 * What layers of a model must compute and move at least, in closed form: FLOPs and bytes of
 * products, attention and expert transfers, and the seconds that data-sheet limits allow.
 *
 * It is the yardstick of `moebius calibrate`: a factor of 1.5 over it means that the class reaches
 * two thirds of the chip's limit. Classes without a product (norms, casts …) have no entry.
 * Legend: `T` tokens of a rank, `S` sequence, `h` hidden, `H` heads, `E` experts, `K` of them for a
 * token, `f` expert width. A product of [rows, k] with [k, n] takes 2 rows k n FLOPs.
 */
import type { ClusterSpec } from '../../config/clusterSpec.ts';
import { type GqaModelConfig, isGqa, type PlannedModel } from '../../config/gqaModelConfig.ts';
import type { ModelConfig } from '../../config/modelConfig.ts';
import type { ParallelPlan, Precision, RecomputeItems } from '../../config/parallelPlan.ts';
import type { PredictedWork } from '../calibrate.ts';
import type { CostClass, PassName } from './costClasses.ts';

export interface LayerWorkOptions {
  readonly model: PlannedModel;
  readonly cluster: ClusterSpec;
  readonly layout: ParallelPlan;
  /** Layers of the model's usual kind: with experts if it has any. */
  readonly layers: number;
  readonly sequenceLength: number;
  readonly microBatchSize: number;
  readonly precision: Precision;
  readonly recompute: RecomputeItems;
}

interface Product {
  readonly rows: number;
  readonly k: number;
  readonly n: number;
  /** Weights that are read: one for each group. */
  readonly groups: number;
  readonly isRecomputed: boolean;
}

const BF16 = 2;
/** A scale of 4 bytes for every 128 values (report, 3.3.2). */
const FP8_ROW = 1 + 4 / 128;

/** Forward, backward and weight gradients of one micro-batch through the layers. */
export function layerWork(options: LayerWorkOptions): readonly PredictedWork[] {
  const { model, layout, layers, precision, sequenceLength, microBatchSize } = options;
  const tokens = microBatchSize * sequenceLength;
  const shape = isGqa(model) ? gqaShape(model) : mlaShape(model);
  const numRouted = model.nRoutedExperts;
  const dense = [
    ...shape.products.map((product) => ({ ...product, rows: tokens, groups: 1 })),
    ...mlp(model.hiddenSize, sharedWidth(model)).map((sizes) => ({ ...sizes, rows: tokens })),
  ];
  const grouped =
    numRouted === 0
      ? []
      : mlp(model.hiddenSize, model.moeIntermediateSize).map((sizes) => ({
          ...sizes,
          rows: tokens * model.numExpertsPerTok,
          groups: numRouted / layout.ep,
        }));
  const isRepeated = options.recompute.mlaUpProjection;
  const again = dense.filter(({ isRecomputed }) => isRecomputed && isRepeated);
  const isFp8 = precision === 'fp8';
  const [one, many, gradient]: readonly [CostClass, CostClass, CostClass] = isFp8
    ? ['fp8Gemm', 'fp8GroupedGemm', 'fp8WeightGradient']
    : ['bf16Gemm', 'bf16Gemm', 'bf16Gemm'];
  const add = (name: CostClass, pass: PassName, sums: Sums): PredictedWork => ({
    class: name,
    pass,
    flops: (sums.flops * layers) / layout.tp,
    bytes: (sums.bytes * layers) / layout.tp,
    seconds: (limit(name, sums, options) * layers) / layout.tp,
  });
  const core = attention(shape, { tokens, sequenceLength });
  const gate = { rows: tokens, k: model.hiddenSize, n: numRouted, groups: 1, isRecomputed: false };
  const gates = numRouted === 0 ? [] : [gate];
  const work = [
    add(one, 'forward', products(dense, isFp8)),
    add(many, 'forward', products(grouped, isFp8)),
    add(one, 'backwardInput', products([...dense, ...again], isFp8)),
    add(many, 'backwardInput', products(grouped, isFp8)),
    add(gradient, 'backwardWeight', products([...dense, ...grouped], isFp8)),
    add('attentionForward', 'forward', core.forward),
    add('attentionBackward', 'backwardInput', core.backward),
    // The gate stays in BF16 in either recipe (report, 3.3.1).
    add('bf16Gemm', 'forward', products(gates, false)),
    add('bf16Gemm', 'backwardInput', products([...gates, ...gates], false)),
    ...transfers(options, tokens / layout.tp),
  ];
  return work.filter(({ flops, bytes }) => flops + bytes > 0);
}

interface Sums {
  readonly flops: number;
  readonly bytes: number;
}

interface AttentionShape {
  readonly products: readonly Omit<Product, 'rows' | 'groups'>[];
  readonly heads: number;
  readonly keyDim: number;
  readonly valueDim: number;
}

/** MLA (V2 report, 2.1); the up-projections are what V3 makes again in backward (3.2.3). */
function mlaShape(model: ModelConfig): AttentionShape {
  const { hiddenSize: h, numAttentionHeads: H, qLoraRank, kvLoraRank } = model;
  const [nope, rope, value] = [model.qkNopeHeadDim, model.qkRopeHeadDim, model.vHeadDim];
  const product = (k: number, n: number) => ({ k, n, isRecomputed: false });
  const query =
    qLoraRank === null
      ? [product(h, H * (nope + rope))]
      : [product(h, qLoraRank), { ...product(qLoraRank, H * (nope + rope)), isRecomputed: true }];
  const products = [
    ...query,
    product(h, kvLoraRank + rope),
    { ...product(kvLoraRank, H * (nope + value)), isRecomputed: true },
    product(H * value, h),
  ];
  return { products, heads: H, keyDim: nope + rope, valueDim: value };
}

function gqaShape(model: GqaModelConfig): AttentionShape {
  const { hiddenSize: h, numAttentionHeads: H, numKeyValueHeads, headDim: d } = model;
  const product = (k: number, n: number) => ({ k, n, isRecomputed: false });
  const products = [product(h, H * d), product(h, 2 * numKeyValueHeads * d), product(H * d, h)];
  return { products, heads: H, keyDim: d, valueDim: d };
}

/** Of a layer with experts the shared ones; of a dense one the MLP. */
function sharedWidth(model: PlannedModel): number {
  const { nRoutedExperts, nSharedExperts, moeIntermediateSize, intermediateSize } = model;
  return nRoutedExperts === 0 ? intermediateSize : nSharedExperts * moeIntermediateSize;
}

/** Gate and up in one, then down. */
function mlp(hidden: number, width: number): Omit<Product, 'rows'>[] {
  if (width === 0) return [];
  const part = { groups: 1, isRecomputed: false };
  return [
    { ...part, k: hidden, n: 2 * width },
    { ...part, k: width, n: hidden },
  ];
}

/** Each operand is read once and the result written in BF16. */
function products(list: readonly Product[], isFp8: boolean): Sums {
  const width = isFp8 ? 1 : BF16;
  let [flops, bytes] = [0, 0];
  for (const { rows, k, n, groups } of list) {
    flops += 2 * rows * k * n;
    bytes += width * (rows * k + groups * k * n) + BF16 * rows * n;
  }
  return { flops, bytes };
}

/**
 * Causal: half of all pairs. Forward has one product over keys and one over values, backward three
 * and two (the scores once more).
 */
function attention(
  { heads, keyDim, valueDim }: AttentionShape,
  { tokens, sequenceLength }: { tokens: number; sequenceLength: number },
): { forward: Sums; backward: Sums } {
  const pairs = (tokens * (sequenceLength + 1)) / 2;
  const rows = tokens * heads * BF16;
  return {
    forward: {
      flops: 2 * pairs * heads * (keyDim + valueDim),
      bytes: rows * 2 * (keyDim + valueDim),
    },
    backward: {
      flops: 2 * pairs * heads * (3 * keyDim + 2 * valueDim),
      bytes: rows * 4 * (keyDim + valueDim),
    },
  };
}

/** Data-sheet limits, with the SMs that communication leaves to computing. */
function limit(name: CostClass, { flops, bytes }: Sums, options: LayerWorkOptions): number {
  const { gpu, communicationSms } = options.cluster;
  const free = options.layout.ep > 1 ? gpu.numSms - communicationSms : gpu.numSms;
  const fp8 = gpu.peakFlops.fp8 ?? gpu.peakFlops.bf16;
  const peak = name.startsWith('fp8') ? fp8 : gpu.peakFlops.bf16;
  return Math.max(flops / ((peak * free) / gpu.numSms), bytes / gpu.memoryBytesPerSecond);
}

/**
 * Rows to experts and back, in both directions of a step. A row goes once to each node that it is
 * routed to, at most `topkGroup` of them (report, 2.1.2), and spreads from there over NVLink; of
 * evenly spread nodes 1 in N is the own one. Bytes are counted as the papers do, the own included.
 */
function transfers(options: LayerWorkOptions, tokens: number): readonly PredictedWork[] {
  const { model, cluster, layout, layers, precision } = options;
  if (model.nRoutedExperts === 0 || layout.ep === 1) return [];
  const { scaleOut, scaleUp, gpusPerNode } = cluster;
  const numNodes = Math.max(1, layout.ep / Math.min(layout.ep, scaleUp.domainSize));
  const topK = model.numExpertsPerTok;
  const nodeLimit = isGqa(model) || model.topkGroup === 0 ? topK : Math.min(topK, model.topkGroup);
  const targets = numNodes === 1 ? Math.min(topK, layout.ep) : Math.min(nodeLimit, numNodes);
  const places = numNodes === 1 ? layout.ep : numNodes;
  const rate =
    numNodes === 1
      ? scaleUp.bytesPerSecond * scaleUp.achievableShare
      : (scaleOut.nicBytesPerSecond * scaleOut.achievableShare * scaleOut.nicsPerNode) /
        gpusPerNode;
  const out = precision === 'fp8' ? FP8_ROW : BF16;
  const one = (name: CostClass, pass: PassName, rowBytes: number): PredictedWork => {
    const bytes = tokens * targets * model.hiddenSize * rowBytes * layers;
    return { class: name, pass, flops: 0, bytes, seconds: (bytes * (1 - 1 / places)) / rate };
  };
  return [
    one('dispatch', 'forward', out),
    one('combine', 'forward', BF16),
    // Backward of combine is a dispatch, backward of dispatch a combine.
    one('dispatch', 'backwardInput', out),
    one('combine', 'backwardInput', BF16),
  ];
}
