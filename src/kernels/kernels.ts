/**
 * Operations on tensors: the seam between the model and the machine.
 *
 * One interface, four backends: `reference` (slow, obvious, the truth), `native` (C++), `wasm` (the
 * same C++, later) and `meta` (shapes only: it writes down FLOPs and bytes). An operation takes its
 * outputs and inputs as tensors and returns nothing: it may finish later, in order, on a device of
 * its own. `read` is the only place where anybody waits, so a model written on this interface runs
 * on a GPU unchanged. No pointer appears here.
 *
 * Rules for every operation:
 * - Outputs are written in full unless the text says *adds*; the caller allocates them.
 * - f32 unless stated; sums are accumulated in f32 or better; tensors may have strided rows.
 * - An output never overlaps an input unless the text says *in place*.
 * - Shapes that do not fit are our own mistake: an assertion, in every backend alike.
 * - For a fixed thread count the result is bitwise the same from run to run.
 *
 * Legend: T tokens (rows), D hidden, H heads, N nope dim, P rope dim, V value dim or vocabulary,
 * C latent rank, E experts, K experts per token, R routed rows (T × K on one rank), F expert width.
 */
import type { Arena } from '../tensor/arena.ts';
import type { DType, HostArray, HostArrays } from '../tensor/dtype.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { FeedForwardDecodeArgs, MlaDecodeArgs } from './decodeArgs.ts';
import type {
  F32,
  I32,
  LatentCache,
  RoutingRule,
  SamplingRule,
  SpecialCodes,
  Weight,
} from './operands.ts';

/**
 * How a product reads its inputs, BLAS-like; weights are stored `[out, in]`.
 * - `nt`: out[m,n] = Σ a[m,k] · b[n,k]   (a linear layer forward)
 * - `nn`: out[m,n] = Σ a[m,k] · b[k,n]   (its input gradient)
 * - `tn`: out[m,n] = Σ a[k,m] · b[k,n]   (its weight gradient)
 */
export type Layout = 'nt' | 'nn' | 'tn';

export interface MatmulArgs {
  readonly out: F32;
  readonly a: F32;
  readonly b: Weight;
  readonly layout: Layout;
  readonly accumulate?: boolean;
  /** `nt`, nothing added: out holds rows [gate | up], and this gets their `swiglu` on the way. */
  readonly swiglu_TF?: F32;
  /** `nn`, nothing added: out, `[T, 2F]`, is `swigluBackward` here of the F-wide product. */
  readonly gateUp_T2F?: F32;
  /**
   * The order of sums, which is chosen by the number of rows where left out. Given, a row's bits do
   * not depend on the others: `streamed` (`nt`) reads b for every 16 rows, `tiled` packs it once.
   */
  readonly order?: 'streamed' | 'tiled';
}

export interface Kernels {
  /** `reference`, `native`, `meta`, … as `doctor` prints it. */
  readonly name: string;

  /** Memory this backend can compute on. */
  createArena(label: string): Arena;
  /** The elements of a tensor, contiguous, as the host's copy; waits for what produces them. */
  read<D extends DType>(tensor: Tensor<D>): Promise<HostArrays[D]>;
  /** Copies host elements (contiguous, as many as the tensor has) into a tensor. */
  write<D extends DType>(tensor: Tensor<D>, values: HostArrays[D]): void;

  // Elementwise

  /** out = value everywhere. */
  fill(args: { out: Tensor; value: number }): void;
  /** out = x, converting between f32, bf16 and f16 (to nearest even); shapes equal. */
  copy(args: { out: Tensor; x: Tensor }): void;
  /** out = a + b; *in place* when out is a. */
  add(args: { out: F32; a: F32; b: F32 }): void;
  /** x = factor · x. */
  scale(args: { x: F32; factor: number }): void;
  /** out = out + weight · (x − out): an exponential moving average. */
  lerp(args: { out: F32; x: F32; weight: number }): void;
  /** out[0] = Σ x². NaN and infinities pass through, so this is also the detector of faults. */
  sumOfSquares(args: { out: F32; x: F32 }): void;

  // Products

  /** out (or *adds* to it) = a ∘ b by `layout`; a is f32, b any weight dtype. */
  matmul(args: MatmulArgs): void;
  /**
   * One product per expert over rows sorted by expert; group e is rows offsets[e] … offsets[e+1].
   * - `nt`: out_RN = a_RK · b_ENKᵀ     - `nn`: out_RK = a_RN · b_ENK
   * - `tn`: out_EMN (*adds* if accumulate; experts without rows give 0) = a_RMᵀ · b_RN, both f32
   */
  groupedMatmul(args: MatmulArgs & { offsets: I32 }): void;
  /**
   * One product per head against `numRows` rows, from `firstRow`, of each head's block in a matrix
   * `[H × rowsPerHead, C]`: what absorbs the up-projections of MLA into query and output.
   * - `nn`: out_THC = a_THn · b_h[n, C]     - `nt`: out_THn = a_THC · b_h[n, C]ᵀ
   */
  headMatmul(args: {
    out: F32;
    a: F32;
    b: Weight;
    rowsPerHead: number;
    firstRow: number;
    numRows: number;
    layout: 'nn' | 'nt';
  }): void;

  // Norm, rotation, activation

  /** out = x · rsqrt(mean(x²) + eps) · gain; keeps the factor per row for backward if asked. */
  rmsNorm(args: { out: F32; x: F32; gain: F32; eps: number; reciprocalRms_T?: F32 }): void;
  /** dX (or *adds*) of rmsNorm. */
  rmsNormBackwardInput(args: {
    dX: F32;
    dOut: F32;
    x: F32;
    gain: F32;
    reciprocalRms_T: F32;
    accumulate?: boolean;
  }): void;
  /** *Adds* to dGain. */
  rmsNormBackwardWeight(args: { dGain: F32; dOut: F32; x: F32; reciprocalRms_T: F32 }): void;
  /**
   * Rotates adjacent pairs (2i, 2i+1) *in place* by the angle of the row's position.
   * @param x_THP may be a view of columns
   * @param table `[positions, P/2, 2]`, cos then sin of each pair
   * @param direction `inverse` turns back: the backward pass
   */
  rope(args: { x_THP: F32; positions_T: I32; table: F32; direction: 'forward' | 'inverse' }): void;
  /** out_TF = silu(gate) · up, from rows [gate | up]. */
  swiglu(args: { out_TF: F32; gateUp_T2F: F32 }): void;
  swigluBackward(args: { dGateUp_T2F: F32; dOut_TF: F32; gateUp_T2F: F32 }): void;

  // Attention

  /**
   * Causal multi-head latent attention over whole sequences, softmax in f32, never T × T at once.
   * Keys are per head [kv's first N columns | kPe], values kv's last V columns.
   * @param q_THD `[T, H, N+P]`, rotated       @param kv_THD `[T, H, N+V]`
   * @param kPe_TP rotated, shared by heads    @param out_THV `[T, H, V]`
   * @param logSumExp_TH of the scaled scores, kept for backward
   * @param sequences row offsets, first 0, last T: rows see only their own sequence
   * @param keys where keys are rows of their own; a row sees those up to its place
   * @param accumulate out and logSumExp hold results over other keys, which these are *added* to
   */
  mlaAttention(args: {
    out_THV: F32;
    logSumExp_TH: F32;
    q_THD: F32;
    kv_THD: F32;
    kPe_TP: F32;
    sequences: readonly number[];
    keys?: AttentionKeys;
    accumulate?: boolean;
    scale: number;
  }): void;
  /** Gradients of the three inputs (dKPe summed over heads); probabilities are computed again. */
  mlaAttentionBackward(args: {
    dQ_THD: F32;
    dKv_THD: F32;
    dKPe_TP: F32;
    dOut_THV: F32;
    out_THV: F32;
    logSumExp_TH: F32;
    q_THD: F32;
    kv_THD: F32;
    kPe_TP: F32;
    sequences: readonly number[];
    scale: number;
  }): void;
  /** Writes each row's latent and rotated key, rounded, into its slot of a paged cache. */
  appendCache(args: { cache: LatentCache; latent_TC: F32; kPe_TP: F32; slots_T: I32 }): void;
  /** Slots of a paged cache as attention sees them. */
  readCache(args: { latent_TC: F32; kPe_TP: F32; cache: LatentCache; slots_T: I32 }): void;
  /**
   * Decode in the absorbed form: multi-query attention over the cached latents (C) and keys (P).
   * @param q_THC queries with the key up-projection absorbed    @param qPe_THP rotated
   * @param blockTable `[sequences, maxBlocks]` block ids in order of position
   * @param sequence_T which row of the block table a query row belongs to
   * @param length_T cached positions the row sees: 0 … length − 1
   * @param out_THC probabilities times latents
   */
  absorbedAttention(args: {
    out_THC: F32;
    q_THC: F32;
    qPe_THP: F32;
    cache: LatentCache;
    blockTable: I32;
    sequence_T: I32;
    length_T: I32;
    scale: number;
  }): void;

  // Halves of a block over a few rows (decoding), in place

  /**
   * x += Wo · attention(norm(x)) in the absorbed form, for rows that attend to a paged cache, which
   * gets their latents and rotated keys first. What the operations above do one by one, with the
   * weights read once and few waits between threads. A row's bits are those it would have alone.
   */
  mlaDecode(args: MlaDecodeArgs): void;
  /**
   * x += mlp(norm(x)) + Σ_k weight_k · expert_k(norm(x)): the dense or shared network, the routed
   * experts, or both. Each expert's weights are read once for all rows that chose it.
   */
  feedForwardDecode(args: FeedForwardDecodeArgs): void;

  // Routing (DeepSeek-V3 report, 2.1.2; ties go to the lower index at group and expert level)

  /**
   * scores = sigmoid or softmax of the logits; choice = scores + bias picks groups, then experts
   * (others at −∞); weights = the *unbiased* scores of the chosen, normalised (+1e-20) if the rule
   * says so, times its scale. Chosen are ordered by falling choice value.
   * @param counts_E *adds* how many tokens chose each expert
   */
  routeTopK(args: {
    scores_TE: F32;
    ids_TK: I32;
    weights_TK: F32;
    counts_E: I32;
    logits_TE: F32;
    bias_E: F32;
    rule: RoutingRule;
  }): void;
  /** dLogits from the weights' gradient and, if given, one of the scores (the balance loss). */
  routeTopKBackward(args: {
    dLogits_TE: F32;
    dWeights_TK: F32;
    dScores_TE?: F32;
    scores_TE: F32;
    ids_TK: I32;
    rule: RoutingRule;
  }): void;
  /**
   * Sequence-wise balance loss (report, eq. 17–20), averaged over sequences: Σ f_i · P_i.
   * @param loss `[1]`, unscaled   @param dScores_TE coefficient × its gradient (none through f)
   * @param form `paper`: f counts the top K of the raw affinities; `selected`: the experts used
   */
  balanceLoss(args: {
    loss: F32;
    dScores_TE: F32;
    scores_TE: F32;
    ids_TK: I32;
    sequences: readonly number[];
    form: 'paper' | 'selected';
    scoring: RoutingRule['scoring'];
    coefficient: number;
  }): void;
  /**
   * Sorts the T × K choices by expert, keeping token order within one: a counting sort.
   * Row r holds choice slot_R[r] = t·K + k; row_TK is the inverse; offsets has E + 1 entries.
   */
  sortByExpert(args: { offsets: I32; slot_R: I32; row_TK: I32; ids_TK: I32 }): void;
  /** out_RD[r] = x_TD[slot_R[r] / K]: tokens to their experts' rows. */
  permute(args: { out_RD: F32; x_TD: F32; slot_R: I32; expertsPerToken: number }): void;
  /** out_TD (or *adds*) = Σ_k weights[t,k] · x_RD[row_TK[t,k]]; without weights a plain sum. */
  unpermute(args: {
    out_TD: F32;
    x_RD: F32;
    row_TK: I32;
    weights_TK?: F32;
    accumulate?: boolean;
  }): void;
  /** dX_RD[r] = weights[slot] · dOut_TD[token]: the weighted unpermute backwards, to the rows. */
  unpermuteBackwardInput(args: { dX_RD: F32; dOut_TD: F32; slot_R: I32; weights_TK: F32 }): void;
  /** dWeights[t,k] = dOut_TD[t] · x_RD[row_TK[t,k]]. */
  unpermuteBackwardWeights(args: { dWeights_TK: F32; dOut_TD: F32; x_RD: F32; row_TK: I32 }): void;

  // Ends of the model

  /** out_TD = table_VD[ids_T]; ids lie in range. */
  embedding(args: { out_TD: F32; table_VD: Weight; ids_T: I32 }): void;
  /** *Adds* to dTable in token order. */
  embeddingBackward(args: { dTable_VD: F32; dOut_TD: F32; ids_T: I32 }): void;
  /**
   * Head and cross-entropy in one, in chunks of rows, so that logits never exist whole.
   * Rows with target −1 count for nothing.
   * @param losses_T −log p of the target, 0 where ignored
   * @param gradients dH_TD is written and dHead_VD *added to*, both times `gradientScale`;
   *   left out when only the loss is wanted
   */
  headCrossEntropy(args: {
    losses_T: F32;
    h_TD: F32;
    head_VD: Weight;
    targets_T: I32;
    gradients?: { dH_TD: F32; dHead_VD: F32; gradientScale: number };
  }): void;
  /**
   * The next token of each row, by its rule, and ln p of it under softmax(logits), which the rule
   * does not touch. Temperature, then top-k, top-p of what is left, then min-p; then a race: token
   * v finishes at −ln(1 − u_v) / exp(z_v / temperature) with a u_v that seed, position and v name
   * (`base/random.ts`), and the earliest wins. Ties go to the lower id. A token depends on its row
   * and rule alone, and on every backend it is that of arithmetic in doubles.
   * @param ids_T −1 − v where a row is unusable: v is its first NaN, or its largest logit if that
   *   is infinite; logProbabilities_T then holds that logit
   * @param rules one per row   @param positions of the tokens drawn
   */
  sampleTokens(args: {
    ids_T: I32;
    logProbabilities_T: F32;
    logits_TV: F32;
    rules: readonly SamplingRule[];
    positions: readonly number[];
  }): void;
  /**
   * What comes between the head and a draw: a mask, then changes of single logits in their order,
   * z = (z > 0 ? z / factor : z · factor) + addend, computed in doubles. *In place* if out is
   * logits.
   * @param allowed_TW `[T, ceil(V / 32)]`: bit v mod 32 of word ⌊v / 32⌋ is set where token v may
   *   come, else its logit is −∞; left out, all may
   * @param offsets row t has the changes from offsets[t] to offsets[t + 1]
   */
  adjustLogits(args: {
    out_TV: F32;
    logits_TV: F32;
    allowed_TW?: I32 | undefined;
    ids_N: I32;
    factors_N: F32;
    addends_N: F32;
    offsets: readonly number[];
  }): void;
  /**
   * The N likeliest tokens of each row by falling logit (ties: the lower id first), with ln p under
   * softmax(logits / temperature), and ln p of one token more. Rows without NaN, whose largest
   * logit is finite.
   * @param ids_TN at most `MAX_TOP_TOKENS` of them, and as many as there are tokens; may be none
   * @param chosen_T the token of each row whose ln p goes to chosenLogProbabilities_T
   * @param temperatures above 0, one per row
   */
  topTokens(args: {
    ids_TN: I32;
    logProbabilities_TN: F32;
    chosenLogProbabilities_T: F32;
    chosen_T: I32;
    logits_TV: F32;
    temperatures: readonly number[];
  }): void;

  // Optimiser

  /**
   * One AdamW step in place, in one pass: decoupled decay, bias-corrected moments, and the gradient
   * multiplied by `gradientScale` (clipping) first. Moments are f32 or bf16.
   * @param step counts from 1
   */
  adamw(args: {
    parameter: F32;
    gradient: F32;
    firstMoment: Tensor<'f32' | 'bf16'>;
    secondMoment: Tensor<'f32' | 'bf16'>;
    learningRate: number;
    beta1: number;
    beta2: number;
    epsilon: number;
    weightDecay: number;
    step: number;
    gradientScale: number;
  }): void;
  /** bias += speed · sign(mean(counts) − counts), sign(0) = 0 (report, 2.1.2). */
  updateRouterBias(args: { bias_E: F32; counts_E: I32; speed: number }): void;

  // FP8 (report, 3.3; scale = max(amax, 1e-4)/448, codes = x / scale, to nearest even, saturating)

  /**
   * @param tile `1x128`: scales `[rows, ceil(columns/128)]`; `128x128`: `[ceil(rows/128), …]`
   * @param scaleFormat `ue8m0` rounds scales up to powers of two
   */
  quantizeFp8(args: {
    codes: Tensor<'f8e4m3'>;
    scales: F32;
    x: F32;
    tile: '1x128' | '128x128';
    scaleFormat: 'f32' | 'ue8m0';
  }): void;
  dequantizeFp8(args: {
    out: F32;
    codes: Tensor<'f8e4m3'>;
    scales: F32;
    tile: '1x128' | '128x128';
  }): void;
  /**
   * Lists subnormals and NaNs: `begins[0]` is -1 when there are more than `entries` hold.
   *
   * @param codes at most 2²⁴ columns
   */
  findSpecialCodes(args: { codes: Tensor<'f8e4m3'>; begins: I32; entries: I32 }): void;
  /** out_MN = a_MK · b_NKᵀ on codes: each 128-slice of K summed, scaled by both, added in f32. */
  fp8Matmul(args: {
    out: F32;
    a: Tensor<'f8e4m3'>;
    aScales: F32;
    b: Tensor<'f8e4m3'>;
    bScales: F32;
  }): void;
}

/** Keys and values of sequences whose queries are only some of their positions. */
export interface AttentionKeys {
  /** Row offsets in kv_THD and kPe_TP. */
  readonly sequences: readonly number[];
  /** How many keys lie before each sequence's first query; may be more than there are. */
  readonly before: readonly number[];
}

/** The most tokens of a row that `topTokens` gives. */
export const MAX_TOP_TOKENS = 20;

/** Rows that `mlaDecode` and `feedForwardDecode` take at most; more are work for large products. */
export const MAX_DECODE_ROWS = 32;

/** The name of an operation, as meta kernels, benchmarks and fault reports use it. */
export type Operation = Exclude<keyof Kernels, 'name' | 'createArena' | 'read' | 'write'>;

export type OperationArgs<O extends Operation> = Parameters<Kernels[O]>[0];

export type {
  F32,
  FeedForwardDecodeArgs,
  HostArray,
  I32,
  LatentCache,
  MlaDecodeArgs,
  RoutingRule,
  SamplingRule,
  SpecialCodes,
  Weight,
};
