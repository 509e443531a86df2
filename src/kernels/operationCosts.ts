/**
 * What an operation costs by its shapes: FLOPs, and bytes if every tensor crosses the memory bus
 * once. The simulator puts these on a roofline; they never depend on a backend.
 *
 * - `compute` operations are products and attention: 2·m·n·k, and causal attention over exactly the
 *   T (T + 1) / 2 pairs of a sequence. Their `flops` are the model's FLOPs, as papers count them.
 * - What backward computes again only because forward did not keep it is in `recomputedFlops`: it
 *   takes time, and counts for nothing in MFU.
 * - `memory` operations are bound by bytes; their `flops` count every + − × ÷, exp and sqrt of
 *   their formula as one, and no paper counts them.
 * - Operations that *add* read their output too. Weights are read once, with their scales.
 *
 * Two costs depend on numbers that shapes do not show, and come with `KnownValues` where somebody
 * knows them: how many experts have rows (else as many as can), and how much of the cache a decode
 * reads (else all that the block table can hold).
 */
import { at } from '../base/assert.ts';
import { bytesPerElement } from '../tensor/dtype.ts';
import { numColumns, numElements, numRows, type Tensor } from '../tensor/tensor.ts';
import { mlaDecodeSizes } from './decodeShapes.ts';
import type { AttentionKeys, LatentCache, Operation, OperationArgs, Weight } from './kernels.ts';

export interface OperationCost {
  readonly kind: 'compute' | 'memory' | 'communication';
  readonly flops: number;
  readonly recomputedFlops: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** The sizes that the cost follows from, by their letters. */
  readonly sizes: Readonly<Record<string, number>>;
}

/** The numbers of a tensor, where they are known although nothing is computed. */
export type KnownValues = (tensor: Tensor<'i32'>) => Int32Array | undefined;

type Costs = { [O in Operation]: (args: OperationArgs<O>, known: KnownValues) => OperationCost };

export function operationCost<O extends Operation>(
  operation: O,
  args: OperationArgs<O>,
  known: KnownValues = () => undefined,
): OperationCost {
  const cost: Costs[O] = costs[operation];
  return cost(args, known);
}

const costs: Costs = {
  fill: ({ out }) => moves({ read: [], written: [out], flops: 0 }),
  copy: ({ out, x }) => moves({ read: [x], written: [out], flops: 0 }),
  add: ({ out, a, b }) => moves({ read: [a, b], written: [out], flops: count(out) }),
  scale: ({ x }) => moves({ read: [x], written: [x], flops: count(x) }),
  lerp: ({ out, x }) => moves({ read: [out, x], written: [out], flops: 3 * count(x) }),
  sumOfSquares: ({ out, x }) => moves({ read: [x], written: [out], flops: 2 * count(x) }),

  matmul: ({ out, a, b, layout, accumulate, swiglu_TF, gateUp_T2F }) => {
    const n = layout === 'nt' ? numRows(b.values) : numColumns(b.values);
    const m = numRows(out);
    const end = swigluEnd(swiglu_TF, gateUp_T2F);
    const k = layout === 'tn' ? numRows(a) : numColumns(a);
    return computes({
      flops: 2 * m * n * k,
      bytesRead: bytes(a) + weightBytes(b) + (accumulate ? bytes(out) : 0) + end.bytesRead,
      bytesWritten: bytes(out) + end.bytesWritten,
      sizes: { m, n, k },
    });
  },
  groupedMatmul: (args, known) => {
    const { out, a, b, offsets, layout, accumulate, swiglu_TF, gateUp_T2F } = args;
    const end = swigluEnd(swiglu_TF, gateUp_T2F);
    const rows = numRows(a);
    const groups = count(offsets) - 1;
    const activeGroups = numActiveGroups(known(offsets), groups, rows);
    const activeShare = groups === 0 ? 0 : activeGroups / groups;
    const [m, n] = [numColumns(a), numColumns(gateUp_T2F ? b.values : out)];
    const isWeightGradient = layout === 'tn';
    const touched = isWeightGradient && accumulate ? bytes(out) * activeShare : bytes(out);
    const bBytes = isWeightGradient ? bytes(b.values) : weightBytes(b) * activeShare;
    return computes({
      flops: 2 * rows * m * n,
      bytesRead: bytes(a) + bBytes + (accumulate ? touched : 0) + end.bytesRead,
      bytesWritten: touched + end.bytesWritten,
      sizes: isWeightGradient
        ? { m, n, k: rows, groups, activeGroups }
        : { m: rows, n, k: m, groups, activeGroups },
    });
  },
  headMatmul: ({ out, a, b, rowsPerHead, numRows: rows }) => {
    const [tokens, heads] = [at(a.shape, 0), at(a.shape, 1)];
    const width = numColumns(b.values);
    return computes({
      flops: 2 * tokens * heads * rows * width,
      bytesRead: bytes(a) + weightBytes(b) * (rows / rowsPerHead),
      bytesWritten: bytes(out),
      sizes: { m: tokens, n: numColumns(out), k: numColumns(a), groups: heads },
    });
  },

  rmsNorm: ({ out, x, gain, reciprocalRms_T }) =>
    moves({
      read: [x, gain],
      written: reciprocalRms_T ? [out, reciprocalRms_T] : [out],
      flops: 4 * count(x) + 4 * numRows(x),
    }),
  rmsNormBackwardInput: ({ dX, dOut, x, gain, reciprocalRms_T, accumulate }) =>
    moves({
      read: [dOut, x, gain, reciprocalRms_T, ...(accumulate ? [dX] : [])],
      written: [dX],
      flops: 7 * count(x) + 3 * numRows(x) + (accumulate ? count(x) : 0),
    }),
  rmsNormBackwardWeight: ({ dGain, dOut, x, reciprocalRms_T }) =>
    moves({ read: [dGain, dOut, x, reciprocalRms_T], written: [dGain], flops: 3 * count(x) }),
  rope: ({ x_THP, positions_T }) =>
    // The rows of the table that are read: cos and sin of each pair, once per token.
    moves({
      read: [x_THP, positions_T],
      written: [x_THP],
      flops: 3 * count(x_THP),
      moreBytesRead: count(positions_T) * numColumns(x_THP) * 4,
    }),
  // σ(x) = 1 / (1 + exp(−x)) is four; silu folds one product into its division.
  swiglu: ({ out_TF, gateUp_T2F }) =>
    moves({ read: [gateUp_T2F], written: [out_TF], flops: 5 * count(out_TF) }),
  swigluBackward: ({ dGateUp_T2F, dOut_TF, gateUp_T2F }) =>
    moves({ read: [dOut_TF, gateUp_T2F], written: [dGateUp_T2F], flops: 12 * count(dOut_TF) }),

  mlaAttention: (args) => {
    const { out_THV, logSumExp_TH, q_THD, kv_THD, kPe_TP, sequences, keys, accumulate } = args;
    const sizes = attentionSizes(q_THD, out_THV, sequences, keys);
    const { pairs, heads, qk, v } = sizes;
    return computes({
      flops: 2 * pairs * heads * (qk + v),
      bytesRead:
        totalBytes([q_THD, kv_THD, kPe_TP]) +
        (accumulate ? totalBytes([out_THV, logSumExp_TH]) : 0),
      bytesWritten: bytes(out_THV) + bytes(logSumExp_TH),
      sizes,
    });
  },
  // dV, dP, dQ and dK: two products for each of forward's; the scores are computed again.
  mlaAttentionBackward: (args) => {
    const { dQ_THD, dKv_THD, dKPe_TP, dOut_THV, out_THV, logSumExp_TH } = args;
    const { q_THD, kv_THD, kPe_TP, sequences } = args;
    const sizes = attentionSizes(q_THD, out_THV, sequences);
    const { pairs, heads, qk, v } = sizes;
    const inputs = [dOut_THV, out_THV, logSumExp_TH, q_THD, kv_THD, kPe_TP];
    return computes({
      flops: 4 * pairs * heads * (qk + v),
      recomputedFlops: 2 * pairs * heads * qk,
      bytesRead: totalBytes(inputs),
      bytesWritten: totalBytes([dQ_THD, dKv_THD, dKPe_TP]),
      sizes,
    });
  },
  appendCache: ({ cache, latent_TC, kPe_TP, slots_T }) => {
    const read = [latent_TC, kPe_TP, slots_T];
    const moreBytesWritten = count(slots_T) * tokenBytes(cache);
    return moves({ read, written: [], flops: 0, moreBytesWritten });
  },
  readCache: ({ latent_TC, kPe_TP, cache, slots_T }) => {
    const moreBytesRead = count(slots_T) * tokenBytes(cache);
    return moves({ read: [slots_T], written: [latent_TC, kPe_TP], flops: 0, moreBytesRead });
  },
  absorbedAttention: (args, known) => {
    const { out_THC, q_THC, qPe_THP, cache, blockTable, sequence_T, length_T } = args;
    const [tokens, heads] = [at(q_THC.shape, 0), at(q_THC.shape, 1)];
    const [latent, rope] = [numColumns(q_THC), numColumns(qPe_THP)];
    const capacity = at(blockTable.shape, 1) * at(cache.shape, 1);
    const { pairs, cachedRows } = decodeSizes(known(sequence_T), known(length_T), {
      tokens,
      capacity,
      sequences: at(blockTable.shape, 0),
    });
    return computes({
      flops: 2 * pairs * heads * (2 * latent + rope),
      bytesRead:
        totalBytes([q_THC, qPe_THP, blockTable, sequence_T, length_T]) +
        cachedRows * tokenBytes(cache),
      bytesWritten: bytes(out_THC),
      sizes: { tokens, heads, latent, rope, pairs, cachedRows },
    });
  },

  mlaDecode: (args, known) => {
    const { x_TD, cache, blockTable, sequence_T, length_T } = args;
    const { qLatent, q, kvDown, kv, o } = args;
    const { tokens, heads, latent, rope, nope, value } = mlaDecodeSizes(args);
    const { pairs, cachedRows } = decodeSizes(known(sequence_T), known(length_T), {
      tokens,
      capacity: at(blockTable.shape, 1) * at(cache.shape, 1),
      sequences: at(blockTable.shape, 0),
    });
    const weights = [...(qLatent ? [qLatent.down] : []), q, kvDown, kv, o];
    const perToken = weights.reduce((sum, { values }) => sum + count(values), 0);
    return computes({
      flops: 2 * tokens * perToken + 2 * pairs * heads * (2 * latent + rope),
      bytesRead:
        bytes(x_TD) +
        weights.reduce((sum, weight) => sum + weightBytes(weight), 0) +
        cachedRows * tokenBytes(cache),
      bytesWritten: bytes(x_TD) + tokens * tokenBytes(cache),
      sizes: { tokens, heads, latent, rope, nope, value, pairs, cachedRows },
    });
  },
  feedForwardDecode: ({ x_TD, mlp, routed }) => {
    const tokens = numRows(x_TD);
    const dense = mlp === undefined ? [] : [mlp.gateUp, mlp.down];
    if (routed !== undefined) dense.push(routed.router);
    const sumOf = (weights: readonly Weight[], of: (weight: Weight) => number): number =>
      weights.reduce((sum, weight) => sum + of(weight), 0);
    const experts = routed === undefined ? [] : [routed.gateUp, routed.down];
    const groups = routed === undefined ? 1 : numRows(routed.router.values);
    const visits = tokens * (routed?.rule.expertsPerToken ?? 0);
    const activeGroups = Math.min(groups, visits);
    return computes({
      flops:
        2 * tokens * sumOf(dense, ({ values }) => count(values)) +
        (2 * visits * sumOf(experts, ({ values }) => count(values))) / groups,
      bytesRead:
        bytes(x_TD) +
        sumOf(dense, weightBytes) +
        (sumOf(experts, weightBytes) / groups) * activeGroups,
      bytesWritten: bytes(x_TD),
      sizes: { tokens, groups, activeGroups, visits },
    });
  },

  // Four for the score, one for the bias, and a pass of comparisons per choice.
  routeTopK: ({ scores_TE, ids_TK, weights_TK, counts_E, logits_TE, bias_E, rule }) =>
    moves({
      read: [logits_TE, bias_E, counts_E],
      written: [scores_TE, ids_TK, weights_TK, counts_E],
      flops: count(scores_TE) * (5 + rule.expertsPerToken),
    }),
  routeTopKBackward: ({ dLogits_TE, dWeights_TK, dScores_TE, scores_TE, ids_TK, rule }) =>
    moves({
      read: [dWeights_TK, scores_TE, ids_TK, ...(dScores_TE ? [dScores_TE] : [])],
      written: [dLogits_TE],
      flops: (rule.scoring === 'softmax' ? 4 : 3) * count(scores_TE) + 6 * count(ids_TK),
    }),
  balanceLoss: ({ loss, dScores_TE, scores_TE, ids_TK }) =>
    moves({
      read: [scores_TE, ids_TK],
      written: [loss, dScores_TE],
      flops: count(scores_TE) * (6 + numColumns(ids_TK)),
    }),
  // The ids are read twice: to count, and to place.
  sortByExpert: ({ offsets, slot_R, row_TK, ids_TK }) =>
    moves({ read: [ids_TK, ids_TK], written: [offsets, slot_R, row_TK], flops: 0 }),
  permute: ({ out_RD, slot_R }) => moves({ read: [out_RD, slot_R], written: [out_RD], flops: 0 }),
  unpermute: ({ out_TD, row_TK, weights_TK, accumulate }) => {
    const perToken = numColumns(row_TK);
    return moves({
      read: [row_TK, ...(weights_TK ? [weights_TK] : []), ...(accumulate ? [out_TD] : [])],
      written: [out_TD],
      flops: count(out_TD) * perToken * (weights_TK ? 2 : 1),
      moreBytesRead: perToken * bytes(out_TD),
    });
  },
  // Each row reads its token's gradient.
  unpermuteBackwardInput: ({ dX_RD, slot_R, weights_TK }) =>
    moves({ read: [dX_RD, slot_R, weights_TK], written: [dX_RD], flops: count(dX_RD) }),
  unpermuteBackwardWeights: ({ dWeights_TK, dOut_TD, row_TK }) => {
    const perToken = numColumns(row_TK);
    return moves({
      read: [dOut_TD, row_TK],
      written: [dWeights_TK],
      flops: 2 * count(dOut_TD) * perToken,
      moreBytesRead: perToken * bytes(dOut_TD),
    });
  },

  embedding: ({ out_TD, table_VD, ids_T }) => {
    const share = numRows(out_TD) / Math.max(1, numRows(table_VD.values));
    const moreBytesRead = weightBytes(table_VD) * share;
    return moves({ read: [ids_T], written: [out_TD], flops: 0, moreBytesRead });
  },
  embeddingBackward: ({ dOut_TD, ids_T }) =>
    moves({
      read: [dOut_TD, ids_T],
      written: [],
      flops: count(dOut_TD),
      moreBytesRead: bytes(dOut_TD),
      moreBytesWritten: bytes(dOut_TD),
    }),
  // The softmax is kept from the loss to its gradient, so nothing is computed twice.
  headCrossEntropy: ({ losses_T, h_TD, head_VD, targets_T, gradients }) => {
    const [m, n, k] = [numRows(h_TD), numRows(head_VD.values), numColumns(h_TD)];
    const dHeadBytes = gradients ? bytes(gradients.dHead_VD) : 0;
    const dHBytes = gradients ? bytes(gradients.dH_TD) : 0;
    return computes({
      flops: 2 * m * n * k * (gradients ? 3 : 1),
      bytesRead: bytes(h_TD) + weightBytes(head_VD) + bytes(targets_T) + dHeadBytes,
      bytesWritten: bytes(losses_T) + dHBytes + dHeadBytes,
      sizes: { m, n, k },
    });
  },
  // A comparison, an exponential and a sum per logit; another exponential and the hash to draw.
  sampleTokens: ({ ids_T, logProbabilities_T, logits_TV, rules }) => {
    let flops = 0;
    for (const { temperature } of rules) flops += numColumns(logits_TV) * (temperature > 0 ? 8 : 4);
    return moves({ read: [logits_TV], written: [ids_T, logProbabilities_T], flops });
  },
  adjustLogits: ({ out_TV, logits_TV, allowed_TW, ids_N, factors_N, addends_N }) =>
    moves({
      read: [logits_TV, ids_N, factors_N, addends_N, ...(allowed_TW ? [allowed_TW] : [])],
      written: [out_TV],
      flops: 2 * count(ids_N),
    }),
  // Two comparisons, an exponential and a sum per logit.
  topTokens: ({ ids_TN, logProbabilities_TN, chosenLogProbabilities_T, chosen_T, logits_TV }) =>
    moves({
      read: [logits_TV, chosen_T],
      written: [ids_TN, logProbabilities_TN, chosenLogProbabilities_T],
      flops: 4 * count(logits_TV),
    }),

  adamw: ({ parameter, gradient, firstMoment, secondMoment }) =>
    moves({
      read: [parameter, gradient, firstMoment, secondMoment],
      written: [parameter, firstMoment, secondMoment],
      flops: 16 * count(parameter),
    }),
  updateRouterBias: ({ bias_E, counts_E }) =>
    moves({ read: [bias_E, counts_E], written: [bias_E], flops: 4 * count(bias_E) }),

  quantizeFp8: ({ codes, scales, x }) =>
    moves({ read: [x, x], written: [codes, scales], flops: 3 * count(x) }),
  dequantizeFp8: ({ out, codes, scales }) =>
    moves({ read: [codes, scales], written: [out], flops: count(out) }),
  findSpecialCodes: ({ codes, begins }) =>
    moves({ read: [codes, codes], written: [begins], flops: 0 }),
  fp8Matmul: ({ out, a, aScales, b, bScales }) => {
    const [m, n, k] = [numRows(a), numRows(b), numColumns(a)];
    return computes({
      flops: 2 * m * n * k,
      bytesRead: totalBytes([a, aScales, b, bScales]),
      bytesWritten: bytes(out),
      sizes: { m, n, k },
    });
  },
};

/**
 * What SwiGLU at the end of a product reads and writes. Its operations are not counted: FLOPs of
 * products are those that papers count, and these hide behind them.
 */
function swigluEnd(
  swiglu_TF: Tensor | undefined,
  gateUp_T2F: Tensor | undefined,
): { readonly bytesRead: number; readonly bytesWritten: number } {
  return {
    bytesRead: gateUp_T2F ? bytes(gateUp_T2F) : 0,
    bytesWritten: swiglu_TF ? bytes(swiglu_TF) : 0,
  };
}

function count(tensor: Tensor): number {
  return numElements(tensor.shape);
}

function bytes(tensor: Tensor): number {
  return numElements(tensor.shape) * bytesPerElement(tensor.dtype);
}

function totalBytes(tensors: readonly Tensor[]): number {
  let total = 0;
  for (const tensor of tensors) total += bytes(tensor);
  return total;
}

/** Of a token in one layer's cache. */
function tokenBytes(cache: LatentCache): number {
  return numColumns(cache) * bytesPerElement(cache.dtype);
}

function weightBytes({ values, scales }: Weight): number {
  return bytes(values) + (scales ? bytes(scales) : 0);
}

function moves(work: {
  readonly read: readonly Tensor[];
  readonly written: readonly Tensor[];
  readonly flops: number;
  readonly moreBytesRead?: number;
  readonly moreBytesWritten?: number;
}): OperationCost {
  const largest = work.written[0] ?? work.read[0];
  return {
    kind: 'memory',
    flops: work.flops,
    recomputedFlops: 0,
    bytesRead: totalBytes(work.read) + (work.moreBytesRead ?? 0),
    bytesWritten: totalBytes(work.written) + (work.moreBytesWritten ?? 0),
    sizes: largest ? { rows: numRows(largest), columns: numColumns(largest) } : {},
  };
}

function computes(work: {
  readonly flops: number;
  readonly recomputedFlops?: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly sizes: Readonly<Record<string, number>>;
}): OperationCost {
  return { kind: 'compute', recomputedFlops: 0, ...work };
}

function attentionSizes(
  q_THD: Tensor,
  out_THV: Tensor,
  sequences: readonly number[],
  keys?: AttentionKeys,
): { tokens: number; heads: number; qk: number; v: number; pairs: number } {
  let pairs = 0;
  for (let i = 1; i < sequences.length; i++) {
    const length = at(sequences, i) - at(sequences, i - 1);
    const before = keys === undefined ? 0 : at(keys.before, i - 1);
    const numKeys = keys === undefined ? length : at(keys.sequences, i) - at(keys.sequences, i - 1);
    // Some see keys up to their own place, the others all.
    const some = Math.max(0, Math.min(length, numKeys - before));
    pairs += some * before + (some * (some + 1)) / 2 + (length - some) * numKeys;
  }
  const [tokens, heads] = [at(q_THD.shape, 0), at(q_THD.shape, 1)];
  return { tokens, heads, qk: numColumns(q_THD), v: numColumns(out_THV), pairs };
}

/** A group without rows is not touched; unknown routing touches as many groups as it can. */
function numActiveGroups(offsets: Int32Array | undefined, groups: number, rows: number): number {
  if (!offsets) return Math.min(groups, rows);
  let active = 0;
  for (let group = 0; group < groups; group++) {
    if (at(offsets, group + 1) > at(offsets, group)) active++;
  }
  return active;
}

/** Query rows of one sequence share what they read of the cache. */
function decodeSizes(
  sequences: Int32Array | undefined,
  lengths: Int32Array | undefined,
  bounds: { readonly tokens: number; readonly capacity: number; readonly sequences: number },
): { pairs: number; cachedRows: number } {
  const { tokens, capacity } = bounds;
  if (!lengths) {
    const pairs = tokens * capacity;
    return { pairs, cachedRows: Math.min(tokens, bounds.sequences) * capacity };
  }
  const longest = new Map<number, number>();
  let pairs = 0;
  for (let t = 0; t < tokens; t++) {
    const length = at(lengths, t);
    const sequence = sequences ? at(sequences, t) : t;
    pairs += length;
    longest.set(sequence, Math.max(longest.get(sequence) ?? 0, length));
  }
  let cachedRows = 0;
  for (const length of longest.values()) cachedRows += length;
  return { pairs, cachedRows };
}
