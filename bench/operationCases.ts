/** What bench/operations.ts measures: operations at the shapes where a step meets them. */
import { Random } from '../src/base/random.ts';
import type {
  F32,
  I32,
  Kernels,
  Operation,
  OperationArgs,
  RoutingRule,
  SamplingRule,
} from '../src/kernels/kernels.ts';
import type { Arena } from '../src/tensor/arena.ts';
import type { DType } from '../src/tensor/dtype.ts';
import { hostArray, numElements, numRows, type Tensor } from '../src/tensor/tensor.ts';

export interface BenchScale {
  readonly arena: Arena;
  readonly kernels: Kernels;
  /** Everything small, but large enough to be split over threads. */
  readonly isTiny: boolean;
}

interface OperationCase<O extends Operation> {
  readonly name: string;
  readonly operation: O;
  readonly lay: (scale: BenchScale) => OperationArgs<O>;
}

type AnyCase = { [O in Operation]: OperationCase<O> }[Operation];

const RULE: RoutingRule = {
  scoring: 'sigmoid',
  numGroups: 4,
  groupsKept: 2,
  groupScore: 'sumOfTopTwo',
  expertsPerToken: 4,
  isNormalised: true,
  scale: 2.5,
};
const V3_RULE: RoutingRule = { ...RULE, numGroups: 8, groupsKept: 4, expertsPerToken: 8 };

/** Lays out tensors of chance numbers for one case. */
class Layout {
  readonly #arena: Arena;
  readonly #random = new Random(1, 'bench');
  readonly sequences: readonly number[];
  readonly tokens: number;
  readonly vocabulary: number;

  constructor({ arena, isTiny }: BenchScale) {
    this.#arena = arena;
    const [count, length] = isTiny ? [4, 150] : [8, 512];
    this.sequences = Array.from({ length: count + 1 }, (_, i) => i * length);
    this.tokens = count * length;
    this.vocabulary = isTiny ? 200 : 8192;
  }

  tensor<D extends DType>(dtype: D, ...shape: readonly number[]): Tensor<D> {
    return this.#arena.allocate(dtype, shape);
  }

  floats(...shape: readonly number[]): F32 {
    const tensor = this.#arena.allocate('f32', shape);
    const values = hostArray(tensor);
    for (let i = 0; i < values.length; i++) values[i] = 2 * this.#random.uniform() - 1;
    return tensor;
  }

  zeros(...shape: readonly number[]): F32 {
    const tensor = this.#arena.allocate('f32', shape);
    hostArray(tensor).fill(0);
    return tensor;
  }

  /** Even over 0 … bound − 1. */
  ints(bound: number, ...shape: readonly number[]): I32 {
    return this.listed(
      Array.from({ length: numElements(shape) }, () => this.#random.integer(bound)),
      shape,
    );
  }

  listed(values: readonly number[], shape: readonly number[] = [values.length]): I32 {
    const tensor = this.#arena.allocate('i32', shape);
    hostArray(tensor).set(values);
    return tensor;
  }

  /** Choices of different experts for every token, sorted: what permutes. */
  sorted(kernels: Kernels): { readonly slot_R: I32; readonly row_TK: I32; readonly ids_TK: I32 } {
    const [experts, perToken] = [16, 4];
    const ids: number[] = [];
    for (let t = 0; t < this.tokens; t++) {
      const all = this.#random.shuffle(Array.from({ length: experts }, (_, e) => e));
      ids.push(...all.slice(0, perToken));
    }
    const ids_TK = this.listed(ids, [this.tokens, perToken]);
    const slot_R = this.tensor('i32', ids.length);
    const row_TK = this.tensor('i32', this.tokens, perToken);
    const offsets = this.tensor('i32', experts + 1);
    kernels.sortByExpert({ offsets, slot_R, row_TK, ids_TK });
    return { slot_R, row_TK, ids_TK };
  }
}

function operationCase<O extends Operation>(
  name: string,
  operation: O,
  lay: (layout: Layout, scale: BenchScale) => OperationArgs<O>,
): OperationCase<O> {
  return { name, operation, lay: (scale) => lay(new Layout(scale), scale) };
}

const attention = (l: Layout, heads = 8, nope = 32, rope = 16, value = 32) => ({
  q_THD: l.floats(l.tokens, heads, nope + rope),
  kv_THD: l.floats(l.tokens, heads, nope + value),
  kPe_TP: l.floats(l.tokens, rope),
  sequences: l.sequences,
  scale: (nope + rope) ** -0.5,
});

const cached = (
  l: Layout,
  args: { rows: number; length: number; heads: number; latent: number; rope: number },
) => {
  const { rows, length, heads, latent, rope } = args;
  const blockSize = 64;
  const perRow = Math.ceil(length / blockSize);
  const blocks = Array.from({ length: rows * perRow }, (_, i) => i);
  return {
    out_THC: l.tensor('f32', rows, heads, latent),
    q_THC: l.floats(rows, heads, latent),
    qPe_THP: l.floats(rows, heads, rope),
    cache: l.floats(rows * perRow, blockSize, latent + rope),
    blockTable: l.listed(blocks, [rows, perRow]),
    sequence_T: l.listed(Array.from({ length: rows }, (_, i) => i)),
    length_T: l.listed(Array.from({ length: rows }, () => length)),
    scale: 0.1,
  };
};

const moments = (l: Layout, dtype: 'f32' | 'bf16', size: number) => {
  const moment = (): Tensor<'f32' | 'bf16'> => {
    const tensor = l.tensor(dtype, size);
    hostArray(tensor).fill(0);
    return tensor;
  };
  return {
    parameter: l.floats(size),
    gradient: l.floats(size),
    firstMoment: moment(),
    secondMoment: moment(),
    learningRate: 1e-4,
    beta1: 0.9,
    beta2: 0.95,
    epsilon: 1e-8,
    weightDecay: 0.1,
    step: 10,
    gradientScale: 1,
  };
};

export const operationCases: readonly AnyCase[] = [
  operationCase('mlaAttention', 'mlaAttention', (l) => ({
    ...attention(l),
    out_THV: l.tensor('f32', l.tokens, 8, 32),
    logSumExp_TH: l.tensor('f32', l.tokens, 8),
  })),
  operationCase('mlaAttentionBackward', 'mlaAttentionBackward', (l, { kernels }) => {
    const args = {
      ...attention(l),
      out_THV: l.tensor('f32', l.tokens, 8, 32),
      logSumExp_TH: l.tensor('f32', l.tokens, 8),
    };
    kernels.mlaAttention(args);
    return {
      ...args,
      dOut_THV: l.floats(l.tokens, 8, 32),
      dQ_THD: l.tensor('f32', l.tokens, 8, 48),
      dKv_THD: l.tensor('f32', l.tokens, 8, 64),
      dKPe_TP: l.tensor('f32', l.tokens, 16),
    };
  }),
  operationCase('mlaAttention V3 head', 'mlaAttention', (l) => ({
    ...attention(l, 2, 128, 64, 128),
    out_THV: l.tensor('f32', l.tokens, 2, 128),
    logSumExp_TH: l.tensor('f32', l.tokens, 2),
  })),
  operationCase('absorbedAttention 1 × 512', 'absorbedAttention', (l, { isTiny }) =>
    cached(l, { rows: 1, length: isTiny ? 70 : 512, heads: 16, latent: 256, rope: 32 }),
  ),
  operationCase('absorbedAttention 8 × 512', 'absorbedAttention', (l, { isTiny }) =>
    cached(l, {
      rows: isTiny ? 2 : 8,
      length: isTiny ? 70 : 512,
      heads: 16,
      latent: 256,
      rope: 32,
    }),
  ),
  operationCase('absorbedAttention V3', 'absorbedAttention', (l, { isTiny }) =>
    cached(l, { rows: 1, length: isTiny ? 70 : 4096, heads: 128, latent: 512, rope: 64 }),
  ),
  operationCase('appendCache', 'appendCache', (l) => ({
    cache: l.tensor('f32', Math.ceil(l.tokens / 64), 64, 288),
    latent_TC: l.floats(l.tokens, 256),
    kPe_TP: l.floats(l.tokens, 32),
    slots_T: l.listed(Array.from({ length: l.tokens }, (_, i) => i)),
  })),
  operationCase('rmsNorm', 'rmsNorm', (l) => ({
    out: l.tensor('f32', l.tokens, 256),
    x: l.floats(l.tokens, 256),
    gain: l.floats(256),
    eps: 1e-6,
    reciprocalRms_T: l.tensor('f32', l.tokens),
  })),
  operationCase('rmsNormBackwardInput', 'rmsNormBackwardInput', (l) => ({
    dX: l.tensor('f32', l.tokens, 256),
    dOut: l.floats(l.tokens, 256),
    x: l.floats(l.tokens, 256),
    gain: l.floats(256),
    reciprocalRms_T: l.floats(l.tokens),
  })),
  operationCase('rmsNormBackwardWeight', 'rmsNormBackwardWeight', (l) => ({
    dGain: l.zeros(256),
    dOut: l.floats(l.tokens, 256),
    x: l.floats(l.tokens, 256),
    reciprocalRms_T: l.floats(l.tokens),
  })),
  operationCase('rope', 'rope', (l) => ({
    x_THP: l.floats(l.tokens, 8, 16),
    positions_T: l.ints(512, l.tokens),
    table: l.floats(512, 8, 2),
    direction: 'forward',
  })),
  operationCase('swiglu', 'swiglu', (l) => ({
    out_TF: l.tensor('f32', 4 * l.tokens, 256),
    gateUp_T2F: l.floats(4 * l.tokens, 512),
  })),
  operationCase('swigluBackward', 'swigluBackward', (l) => ({
    dGateUp_T2F: l.tensor('f32', 4 * l.tokens, 512),
    dOut_TF: l.floats(4 * l.tokens, 256),
    gateUp_T2F: l.floats(4 * l.tokens, 512),
  })),
  ...routing('', RULE, 16),
  ...routing(' V3', V3_RULE, 256),
  operationCase('balanceLoss', 'balanceLoss', (l) => ({
    loss: l.tensor('f32', 1),
    dScores_TE: l.tensor('f32', l.tokens, 16),
    scores_TE: l.floats(l.tokens, 16),
    ids_TK: l.ints(16, l.tokens, 4),
    sequences: l.sequences,
    form: 'paper',
    scoring: 'sigmoid',
    coefficient: 1e-4,
  })),
  operationCase('sortByExpert', 'sortByExpert', (l, { kernels }) => ({
    ...l.sorted(kernels),
    offsets: l.tensor('i32', 17),
  })),
  operationCase('permute', 'permute', (l, { kernels }) => ({
    out_RD: l.tensor('f32', 4 * l.tokens, 256),
    x_TD: l.floats(l.tokens, 256),
    slot_R: l.sorted(kernels).slot_R,
    expertsPerToken: 4,
  })),
  operationCase('unpermute', 'unpermute', (l, { kernels }) => ({
    out_TD: l.tensor('f32', l.tokens, 256),
    x_RD: l.floats(4 * l.tokens, 256),
    row_TK: l.sorted(kernels).row_TK,
    weights_TK: l.floats(l.tokens, 4),
  })),
  operationCase('unpermuteBackwardInput', 'unpermuteBackwardInput', (l, { kernels }) => ({
    dX_RD: l.tensor('f32', 4 * l.tokens, 256),
    dOut_TD: l.floats(l.tokens, 256),
    slot_R: l.sorted(kernels).slot_R,
    weights_TK: l.floats(l.tokens, 4),
  })),
  operationCase('unpermuteBackwardWeights', 'unpermuteBackwardWeights', (l, { kernels }) => ({
    dWeights_TK: l.tensor('f32', l.tokens, 4),
    dOut_TD: l.floats(l.tokens, 256),
    x_RD: l.floats(4 * l.tokens, 256),
    row_TK: l.sorted(kernels).row_TK,
  })),
  operationCase('embedding', 'embedding', (l) => ({
    out_TD: l.tensor('f32', l.tokens, 256),
    table_VD: { values: l.floats(l.vocabulary, 256) },
    ids_T: l.ints(l.vocabulary, l.tokens),
  })),
  operationCase('embeddingBackward', 'embeddingBackward', (l) => ({
    dTable_VD: l.zeros(l.vocabulary, 256),
    dOut_TD: l.floats(l.tokens, 256),
    ids_T: l.ints(l.vocabulary, l.tokens),
  })),
  operationCase('headCrossEntropy', 'headCrossEntropy', (l) => ({
    losses_T: l.tensor('f32', l.tokens),
    h_TD: l.floats(l.tokens, 256),
    head_VD: { values: l.floats(l.vocabulary, 256) },
    targets_T: l.ints(l.vocabulary, l.tokens),
    gradients: {
      dH_TD: l.tensor('f32', l.tokens, 256),
      dHead_VD: l.zeros(l.vocabulary, 256),
      gradientScale: 1 / l.tokens,
    },
  })),
  operationCase('headCrossEntropy, loss only', 'headCrossEntropy', (l) => ({
    losses_T: l.tensor('f32', l.tokens),
    h_TD: l.floats(l.tokens, 256),
    head_VD: { values: l.floats(l.vocabulary, 256) },
    targets_T: l.ints(l.vocabulary, l.tokens),
  })),
  ...sampling('greedy', { temperature: 0, topP: 1, topK: 0 }),
  ...sampling('temperature', { temperature: 0.8, topP: 1, topK: 0 }),
  ...sampling('top-k', { temperature: 0.8, topP: 1, topK: 50 }),
  ...sampling('top-p', { temperature: 0.8, topP: 0.95, topK: 0 }),
  ...adjusting(),
  ...likeliest('one token', 0),
  ...likeliest('20 tokens', 20),
  operationCase('adamw', 'adamw', (l, { isTiny }) => moments(l, 'f32', isTiny ? 20_000 : 1 << 24)),
  operationCase('adamw, bf16 moments', 'adamw', (l, { isTiny }) =>
    moments(l, 'bf16', isTiny ? 20_000 : 1 << 24),
  ),
  operationCase('quantizeFp8 1x128', 'quantizeFp8', (l) => ({
    codes: l.tensor('f8e4m3', l.tokens, 1024),
    scales: l.tensor('f32', l.tokens, 8),
    x: l.floats(l.tokens, 1024),
    tile: '1x128',
    scaleFormat: 'f32',
  })),
  operationCase('quantizeFp8 128x128', 'quantizeFp8', (l) => ({
    codes: l.tensor('f8e4m3', l.tokens, 1024),
    scales: l.tensor('f32', Math.ceil(l.tokens / 128), 8),
    x: l.floats(l.tokens, 1024),
    tile: '128x128',
    scaleFormat: 'ue8m0',
  })),
  operationCase('dequantizeFp8 128x128', 'dequantizeFp8', (l) => {
    const codes = l.tensor('f8e4m3', l.tokens, 1024);
    hostArray(codes).fill(0x38);
    return {
      out: l.tensor('f32', l.tokens, 1024),
      codes,
      scales: l.floats(Math.ceil(l.tokens / 128), 8),
      tile: '128x128',
    };
  }),
];

/** One row at a vocabulary of 32,768, of logits as wide as a trained model's. */
function sampling(
  suffix: string,
  rule: Pick<SamplingRule, 'temperature' | 'topK' | 'topP'>,
): AnyCase[] {
  const lay = (l: Layout, { kernels, isTiny }: BenchScale): OperationArgs<'sampleTokens'> => {
    const logits_TV = l.floats(isTiny ? 3 : 1, isTiny ? 9000 : 32_768);
    kernels.scale({ x: logits_TV, factor: 8 });
    const rows = numRows(logits_TV);
    return {
      ids_T: l.tensor('i32', rows),
      logProbabilities_T: l.tensor('f32', rows),
      logits_TV,
      rules: Array.from({ length: rows }, () => ({ ...rule, minP: 0, seed: 1 })),
      positions: Array.from({ length: rows }, (_, row) => row),
    };
  };
  return [operationCase(`sampleTokens, ${suffix}`, 'sampleTokens', lay)];
}

/** A grammar's mask and penalties of 200 tokens on one row. */
function adjusting(): AnyCase[] {
  const lay = (l: Layout, { kernels, isTiny }: BenchScale): OperationArgs<'adjustLogits'> => {
    const vocabulary = isTiny ? 9000 : 32_768;
    const numChanges = 200;
    const words = Math.ceil(vocabulary / 32);
    const allowed_TW = l.tensor('i32', 1, words);
    kernels.write(allowed_TW, new Int32Array(words).fill(0x55555555));
    const ids_N = l.tensor('i32', numChanges);
    kernels.write(
      ids_N,
      Int32Array.from({ length: numChanges }, (_, i) => i * 40),
    );
    const factors_N = l.tensor('f32', numChanges);
    kernels.fill({ out: factors_N, value: 1.1 });
    return {
      out_TV: l.tensor('f32', 1, vocabulary),
      logits_TV: l.floats(1, vocabulary),
      allowed_TW,
      ids_N,
      factors_N,
      addends_N: l.zeros(numChanges),
      offsets: [0, numChanges],
    };
  };
  return [operationCase('adjustLogits, a mask and 200 penalties', 'adjustLogits', lay)];
}

function likeliest(suffix: string, count: number): AnyCase[] {
  const lay = (l: Layout, { kernels, isTiny }: BenchScale): OperationArgs<'topTokens'> => {
    const logits_TV = l.floats(1, isTiny ? 9000 : 32_768);
    kernels.scale({ x: logits_TV, factor: 8 });
    return {
      ids_TN: l.tensor('i32', 1, count),
      logProbabilities_TN: l.tensor('f32', 1, count),
      chosenLogProbabilities_T: l.tensor('f32', 1),
      chosen_T: l.ints(1, 1),
      logits_TV,
      temperatures: [1],
    };
  };
  return [operationCase(`topTokens, ${suffix}`, 'topTokens', lay)];
}

function routing(suffix: string, rule: RoutingRule, experts: number): AnyCase[] {
  const perToken = rule.expertsPerToken;
  const forward = (l: Layout): OperationArgs<'routeTopK'> => ({
    scores_TE: l.tensor('f32', l.tokens, experts),
    ids_TK: l.tensor('i32', l.tokens, perToken),
    weights_TK: l.tensor('f32', l.tokens, perToken),
    counts_E: l.ints(1, experts),
    logits_TE: l.floats(l.tokens, experts),
    bias_E: l.zeros(experts),
    rule,
  });
  return [
    operationCase(`routeTopK${suffix}`, 'routeTopK', forward),
    operationCase(`routeTopKBackward${suffix}`, 'routeTopKBackward', (l, { kernels }) => {
      const args = forward(l);
      kernels.routeTopK(args);
      return {
        dLogits_TE: l.tensor('f32', l.tokens, experts),
        dWeights_TK: l.floats(l.tokens, perToken),
        scores_TE: args.scores_TE,
        ids_TK: args.ids_TK,
        rule,
      };
    }),
  ];
}
