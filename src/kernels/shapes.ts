/**
 * What every backend demands of an operation's arguments before it touches a number.
 *
 * One function per operation, called through `checked`, so that a misfit fails in the same words
 * on every backend: shapes that disagree, weights without their scales, sequences that do not cover
 * the rows, an output that overlaps an input. These are our own mistakes, hence assertions. Values
 * (ids in range, finite numbers) are not looked at: they may live on a device.
 *
 * Operations see matrices: all dims but the last flatten to rows, except where heads or experts
 * are a dim of their own.
 */
import { assert, at } from '../base/assert.ts';
import { numColumns, numElements, numRows } from '../tensor/tensor.ts';
import { needFeedForwardDecode, needMlaDecode } from './decodeShapes.ts';
import type { Operation, OperationArgs } from './kernels.ts';
import { needAdjustLogits, needTopTokens } from './samplingShapes.ts';
import {
  isFloat,
  isSameView,
  needApart,
  needAttention,
  needCache,
  needKeys,
  needMatrix,
  needOrder,
  needRule,
  needSameShape,
  needSampling,
  needSequences,
  needShape,
  needSwigluEnd,
  needTiles,
  needWeight,
} from './shapeRules.ts';

/** The operations of `Kernels`, without memory and name. */
export type Operations = { [O in Operation]: (args: OperationArgs<O>) => void };

/** What an entry of special codes has room for beside the code. */
const MOST_LISTED_COLUMNS = 2 ** 24;

export const checks: Operations = {
  fill: () => {},
  copy: ({ out, x }) => {
    assert(
      out.dtype === x.dtype || (isFloat(out) && isFloat(x)),
      `copy from ${x.dtype} to ${out.dtype}`,
    );
    needSameShape('copy', { out, x });
    needApart('copy', { out }, { x });
  },
  add: ({ out, a, b }) => {
    needSameShape('add', { out, a, b });
    needApart('add', { out }, isSameView(out, a) ? { b } : { a, b });
  },
  scale: () => {},
  lerp: ({ out, x }) => {
    needSameShape('lerp', { out, x });
    needApart('lerp', { out }, { x });
  },
  sumOfSquares: ({ out, x }) => {
    needShape('sumOfSquares: out', out, [1]);
    needApart('sumOfSquares', { out }, { x });
  },

  matmul: (args) => {
    const { a, b, layout } = args;
    needOrder('matmul', args);
    const out = needSwigluEnd('matmul', args);
    needWeight('matmul: b', b);
    const [m, k] = layout === 'tn' ? [numColumns(a), numRows(a)] : [numRows(a), numColumns(a)];
    const [bRows, bColumns] = [numRows(b.values), numColumns(b.values)];
    const [n, bDepth] = layout === 'nt' ? [bRows, bColumns] : [bColumns, bRows];
    assert(bDepth === k, `matmul ${layout}: a sums over ${k}, b over ${bDepth}`);
    needMatrix(`matmul ${layout}: out`, out, m, n);
    needApart('matmul', { out }, { a, b: b.values });
  },
  groupedMatmul: (args) => {
    const { a, b, offsets, layout } = args;
    needOrder('groupedMatmul', args);
    const out = needSwigluEnd('groupedMatmul', args);
    needWeight('groupedMatmul: b', b);
    const numExperts = offsets.shape.length === 1 ? numElements(offsets.shape) - 1 : -1;
    assert(numExperts >= 0, `groupedMatmul: offsets of shape [${offsets.shape}]`);
    const rows = numRows(a);
    if (layout === 'tn') {
      assert(b.values.dtype === 'f32', `groupedMatmul tn: b is ${b.values.dtype}, not f32`);
      needMatrix('groupedMatmul tn: b', b.values, rows, numColumns(b.values));
      needShape('groupedMatmul tn: out', out, [numExperts, numColumns(a), numColumns(b.values)]);
    } else {
      const [, n = -1, k = -1] = b.values.shape;
      needShape('groupedMatmul: b', b.values, [numExperts, n, k]);
      const [inner, outer] = layout === 'nt' ? [k, n] : [n, k];
      needMatrix(`groupedMatmul ${layout}: a`, a, rows, inner);
      needMatrix(`groupedMatmul ${layout}: out`, out, rows, outer);
    }
    needApart('groupedMatmul', { out }, { a, b: b.values, offsets });
  },
  headMatmul: ({ out, a, b, rowsPerHead, firstRow, numRows: rows, layout }) => {
    needWeight('headMatmul: b', b);
    const [tokens = -1, heads = -1] = a.shape;
    assert(
      firstRow >= 0 && rows > 0 && firstRow + rows <= rowsPerHead,
      `headMatmul: rows ${firstRow}..${firstRow + rows} of ${rowsPerHead} per head`,
    );
    const width = numColumns(b.values);
    needShape('headMatmul: b', b.values, [heads * rowsPerHead, width]);
    needShape(`headMatmul ${layout}: a`, a, [tokens, heads, layout === 'nn' ? rows : width]);
    needShape(`headMatmul ${layout}: out`, out, [tokens, heads, layout === 'nn' ? width : rows]);
    needApart('headMatmul', { out }, { a, b: b.values });
  },

  rmsNorm: ({ out, x, gain, eps, reciprocalRms_T }) => {
    assert(eps >= 0, `rmsNorm: eps ${eps}`);
    needSameShape('rmsNorm', { out, x });
    needShape('rmsNorm: gain', gain, [numColumns(x)]);
    if (reciprocalRms_T) {
      needShape('rmsNorm: reciprocalRms', reciprocalRms_T, [numRows(x)]);
      needApart('rmsNorm', { reciprocalRms_T }, { x, gain, out });
    }
    needApart('rmsNorm', { out }, { x, gain });
  },
  rmsNormBackwardInput: ({ dX, dOut, x, gain, reciprocalRms_T }) => {
    needSameShape('rmsNormBackwardInput', { dX, dOut, x });
    needShape('rmsNormBackwardInput: gain', gain, [numColumns(x)]);
    needShape('rmsNormBackwardInput: reciprocalRms', reciprocalRms_T, [numRows(x)]);
    needApart('rmsNormBackwardInput', { dX }, { dOut, x, gain, reciprocalRms_T });
  },
  rmsNormBackwardWeight: ({ dGain, dOut, x, reciprocalRms_T }) => {
    needSameShape('rmsNormBackwardWeight', { dOut, x });
    needShape('rmsNormBackwardWeight: dGain', dGain, [numColumns(x)]);
    needShape('rmsNormBackwardWeight: reciprocalRms', reciprocalRms_T, [numRows(x)]);
    needApart('rmsNormBackwardWeight', { dGain }, { dOut, x, reciprocalRms_T });
  },
  rope: ({ x_THP, positions_T, table }) => {
    const [tokens = -1] = x_THP.shape;
    assert(x_THP.shape.length >= 2, `rope: x of shape [${x_THP.shape}]`);
    needShape('rope: positions', positions_T, [tokens]);
    assert(numColumns(x_THP) % 2 === 0, `rope: odd width ${numColumns(x_THP)}`);
    needShape('rope: table', table, [table.shape[0] ?? -1, numColumns(x_THP) / 2, 2]);
    needApart('rope', { x_THP }, { positions_T, table });
  },
  swiglu: ({ out_TF, gateUp_T2F }) => {
    needMatrix('swiglu: gateUp', gateUp_T2F, numRows(out_TF), 2 * numColumns(out_TF));
    needApart('swiglu', { out_TF }, { gateUp_T2F });
  },
  swigluBackward: ({ dGateUp_T2F, dOut_TF, gateUp_T2F }) => {
    needMatrix('swigluBackward: gateUp', gateUp_T2F, numRows(dOut_TF), 2 * numColumns(dOut_TF));
    needSameShape('swigluBackward', { dGateUp_T2F, gateUp_T2F });
    needApart('swigluBackward', { dGateUp_T2F }, { dOut_TF, gateUp_T2F });
  },

  mlaAttention: (args) => {
    const { out_THV, logSumExp_TH, q_THD, kv_THD, kPe_TP, sequences, keys } = args;
    needAttention('mlaAttention', args, keys && at(kv_THD.shape, 0));
    needSequences('mlaAttention', sequences, at(q_THD.shape, 0));
    if (keys !== undefined) needKeys('mlaAttention', sequences, keys, at(kv_THD.shape, 0));
    needApart('mlaAttention', { out_THV, logSumExp_TH }, { q_THD, kv_THD, kPe_TP });
    needApart('mlaAttention', { out_THV }, { logSumExp_TH });
  },
  mlaAttentionBackward: (args) => {
    const { dQ_THD, dKv_THD, dKPe_TP, dOut_THV, out_THV, logSumExp_TH, q_THD, kv_THD, kPe_TP } =
      args;
    needAttention('mlaAttentionBackward', args);
    needSequences('mlaAttentionBackward', args.sequences, at(q_THD.shape, 0));
    needSameShape('mlaAttentionBackward', { dQ_THD, q_THD });
    needSameShape('mlaAttentionBackward', { dKv_THD, kv_THD });
    needSameShape('mlaAttentionBackward', { dKPe_TP, kPe_TP });
    needSameShape('mlaAttentionBackward', { dOut_THV, out_THV });
    const inputs = { dOut_THV, out_THV, logSumExp_TH, q_THD, kv_THD, kPe_TP };
    needApart('mlaAttentionBackward', { dQ_THD, dKv_THD, dKPe_TP }, inputs);
    needApart('mlaAttentionBackward', { dQ_THD }, { dKv_THD, dKPe_TP });
    needApart('mlaAttentionBackward', { dKv_THD }, { dKPe_TP });
  },
  appendCache: ({ cache, latent_TC, kPe_TP, slots_T }) => {
    const [tokens = -1, latent = -1] = latent_TC.shape;
    needShape('appendCache: latent', latent_TC, [tokens, latent]);
    needShape('appendCache: kPe', kPe_TP, [tokens, numColumns(kPe_TP)]);
    needShape('appendCache: slots', slots_T, [tokens]);
    needCache('appendCache', cache, { latent, rope: numColumns(kPe_TP) });
    needApart('appendCache', { cache }, { latent_TC, kPe_TP, slots_T });
  },
  readCache: ({ latent_TC, kPe_TP, cache, slots_T }) => {
    const [tokens = -1, latent = -1] = latent_TC.shape;
    needShape('readCache: latent', latent_TC, [tokens, latent]);
    needShape('readCache: kPe', kPe_TP, [tokens, numColumns(kPe_TP)]);
    needShape('readCache: slots', slots_T, [tokens]);
    needCache('readCache', cache, { latent, rope: numColumns(kPe_TP) });
    needApart('readCache', { latent_TC, kPe_TP }, { cache, slots_T });
    needApart('readCache', { latent_TC }, { kPe_TP });
  },
  absorbedAttention: (args) => {
    const { out_THC, q_THC, qPe_THP, cache, blockTable, sequence_T, length_T } = args;
    const [tokens = -1, heads = -1, latent = -1] = q_THC.shape;
    needShape('absorbedAttention: q', q_THC, [tokens, heads, latent]);
    needShape('absorbedAttention: out', out_THC, [tokens, heads, latent]);
    const rope = numColumns(qPe_THP);
    needShape('absorbedAttention: qPe', qPe_THP, [tokens, heads, rope]);
    needCache('absorbedAttention', cache, { latent, rope });
    assert(blockTable.shape.length === 2, `absorbedAttention: table [${blockTable.shape}]`);
    needShape('absorbedAttention: sequence', sequence_T, [tokens]);
    needShape('absorbedAttention: length', length_T, [tokens]);
    const inputs = { q_THC, qPe_THP, cache, blockTable, sequence_T, length_T };
    needApart('absorbedAttention', { out_THC }, inputs);
  },

  mlaDecode: needMlaDecode,
  feedForwardDecode: needFeedForwardDecode,

  routeTopK: ({ scores_TE, ids_TK, weights_TK, counts_E, logits_TE, bias_E, rule }) => {
    const [tokens = -1, experts = -1] = logits_TE.shape;
    needRule('routeTopK', rule, experts);
    needShape('routeTopK: logits', logits_TE, [tokens, experts]);
    needShape('routeTopK: scores', scores_TE, [tokens, experts]);
    needShape('routeTopK: ids', ids_TK, [tokens, rule.expertsPerToken]);
    needShape('routeTopK: weights', weights_TK, [tokens, rule.expertsPerToken]);
    needShape('routeTopK: counts', counts_E, [experts]);
    needShape('routeTopK: bias', bias_E, [experts]);
    needApart('routeTopK', { scores_TE, ids_TK, weights_TK, counts_E }, { logits_TE, bias_E });
    needApart('routeTopK', { scores_TE }, { ids_TK, weights_TK, counts_E });
    needApart('routeTopK', { ids_TK }, { weights_TK, counts_E });
    needApart('routeTopK', { weights_TK }, { counts_E });
  },
  routeTopKBackward: ({ dLogits_TE, dWeights_TK, dScores_TE, scores_TE, ids_TK, rule }) => {
    const [tokens = -1, experts = -1] = scores_TE.shape;
    needRule('routeTopKBackward', rule, experts);
    needSameShape('routeTopKBackward', { dLogits_TE, scores_TE });
    needShape('routeTopKBackward: ids', ids_TK, [tokens, rule.expertsPerToken]);
    needSameShape('routeTopKBackward', { dWeights_TK, ids_TK });
    needApart('routeTopKBackward', { dLogits_TE }, { dWeights_TK, scores_TE, ids_TK });
    if (dScores_TE) {
      needSameShape('routeTopKBackward', { dScores_TE, scores_TE });
      needApart('routeTopKBackward', { dLogits_TE }, { dScores_TE });
    }
  },
  balanceLoss: ({ loss, dScores_TE, scores_TE, ids_TK, sequences }) => {
    const [tokens = -1, experts = -1] = scores_TE.shape;
    needShape('balanceLoss: loss', loss, [1]);
    needSameShape('balanceLoss', { dScores_TE, scores_TE });
    needShape('balanceLoss: ids', ids_TK, [tokens, numColumns(ids_TK)]);
    assert(numColumns(ids_TK) <= experts, `balanceLoss: top ${numColumns(ids_TK)} of ${experts}`);
    needSequences('balanceLoss', sequences, tokens);
    needApart('balanceLoss', { loss, dScores_TE }, { scores_TE, ids_TK });
    needApart('balanceLoss', { loss }, { dScores_TE });
  },
  sortByExpert: ({ offsets, slot_R, row_TK, ids_TK }) => {
    assert(offsets.shape.length === 1, `sortByExpert: offsets of shape [${offsets.shape}]`);
    assert(numColumns(offsets) >= 1, 'sortByExpert: offsets need a last entry');
    const [tokens = -1, perToken = -1] = ids_TK.shape;
    needShape('sortByExpert: ids', ids_TK, [tokens, perToken]);
    needShape('sortByExpert: row', row_TK, [tokens, perToken]);
    needShape('sortByExpert: slot', slot_R, [tokens * perToken]);
    needApart('sortByExpert', { offsets, slot_R, row_TK }, { ids_TK });
    needApart('sortByExpert', { offsets }, { slot_R, row_TK });
    needApart('sortByExpert', { slot_R }, { row_TK });
  },
  permute: ({ out_RD, x_TD, slot_R, expertsPerToken }) => {
    assert(expertsPerToken >= 1, `permute: ${expertsPerToken} experts per token`);
    needMatrix('permute: out', out_RD, numElements(slot_R.shape), numColumns(x_TD));
    needShape('permute: slot', slot_R, [numRows(out_RD)]);
    needApart('permute', { out_RD }, { x_TD, slot_R });
  },
  unpermute: ({ out_TD, x_RD, row_TK, weights_TK }) => {
    needShape('unpermute: row', row_TK, [numRows(out_TD), numColumns(row_TK)]);
    needMatrix('unpermute: x', x_RD, numRows(x_RD), numColumns(out_TD));
    needApart('unpermute', { out_TD }, { x_RD, row_TK });
    if (weights_TK) {
      needSameShape('unpermute', { weights_TK, row_TK });
      needApart('unpermute', { out_TD }, { weights_TK });
    }
  },
  unpermuteBackwardInput: ({ dX_RD, dOut_TD, slot_R, weights_TK }) => {
    needMatrix('unpermuteBackwardInput: dX', dX_RD, numElements(slot_R.shape), numColumns(dOut_TD));
    needShape('unpermuteBackwardInput: slot', slot_R, [numRows(dX_RD)]);
    needMatrix(
      'unpermuteBackwardInput: weights',
      weights_TK,
      numRows(dOut_TD),
      numColumns(weights_TK),
    );
    needApart('unpermuteBackwardInput', { dX_RD }, { dOut_TD, slot_R, weights_TK });
  },
  unpermuteBackwardWeights: ({ dWeights_TK, dOut_TD, x_RD, row_TK }) => {
    needShape('unpermuteBackwardWeights: row', row_TK, [numRows(dOut_TD), numColumns(row_TK)]);
    needSameShape('unpermuteBackwardWeights', { dWeights_TK, row_TK });
    needMatrix('unpermuteBackwardWeights: x', x_RD, numRows(x_RD), numColumns(dOut_TD));
    needApart('unpermuteBackwardWeights', { dWeights_TK }, { dOut_TD, x_RD, row_TK });
  },

  embedding: ({ out_TD, table_VD, ids_T }) => {
    needWeight('embedding: table', table_VD);
    needMatrix('embedding: out', out_TD, numElements(ids_T.shape), numColumns(table_VD.values));
    needShape('embedding: ids', ids_T, [numRows(out_TD)]);
    needApart('embedding', { out_TD }, { table: table_VD.values, ids_T });
  },
  embeddingBackward: ({ dTable_VD, dOut_TD, ids_T }) => {
    needShape('embeddingBackward: ids', ids_T, [numRows(dOut_TD)]);
    needMatrix('embeddingBackward: dTable', dTable_VD, numRows(dTable_VD), numColumns(dOut_TD));
    needApart('embeddingBackward', { dTable_VD }, { dOut_TD, ids_T });
  },
  headCrossEntropy: ({ losses_T, h_TD, head_VD, targets_T, gradients }) => {
    const tokens = numRows(h_TD);
    needWeight('headCrossEntropy: head', head_VD);
    needMatrix('headCrossEntropy: head', head_VD.values, numRows(head_VD.values), numColumns(h_TD));
    needShape('headCrossEntropy: losses', losses_T, [tokens]);
    needShape('headCrossEntropy: targets', targets_T, [tokens]);
    const inputs = { h_TD, head: head_VD.values, targets_T };
    needApart('headCrossEntropy', { losses_T }, inputs);
    if (gradients) {
      const { dH_TD, dHead_VD } = gradients;
      needMatrix('headCrossEntropy: dH', dH_TD, tokens, numColumns(h_TD));
      needMatrix('headCrossEntropy: dHead', dHead_VD, numRows(head_VD.values), numColumns(h_TD));
      needApart('headCrossEntropy', { dH_TD, dHead_VD }, { ...inputs, losses_T });
      needApart('headCrossEntropy', { dH_TD }, { dHead_VD });
    }
  },
  sampleTokens: ({ ids_T, logProbabilities_T, logits_TV, rules, positions }) => {
    const tokens = numRows(logits_TV);
    assert(numColumns(logits_TV) > 0, 'sampleTokens: an empty vocabulary');
    needShape('sampleTokens: ids', ids_T, [tokens]);
    needShape('sampleTokens: logProbabilities', logProbabilities_T, [tokens]);
    needSampling({ logits_TV, rules, positions });
    needApart('sampleTokens', { ids_T, logProbabilities_T }, { logits_TV });
    needApart('sampleTokens', { ids_T }, { logProbabilities_T });
  },
  adjustLogits: needAdjustLogits,
  topTokens: needTopTokens,

  adamw: ({ parameter, gradient, firstMoment, secondMoment, step }) => {
    assert(Number.isInteger(step) && step >= 1, `adamw: step ${step} (steps count from 1)`);
    needSameShape('adamw', { parameter, gradient, firstMoment, secondMoment });
    needApart('adamw', { parameter, firstMoment, secondMoment }, { gradient });
    needApart('adamw', { parameter }, { firstMoment, secondMoment });
    needApart('adamw', { firstMoment }, { secondMoment });
  },
  updateRouterBias: ({ bias_E, counts_E }) => {
    assert(bias_E.shape.length === 1, `updateRouterBias: bias of shape [${bias_E.shape}]`);
    needSameShape('updateRouterBias', { bias_E, counts_E });
    needApart('updateRouterBias', { bias_E }, { counts_E });
  },

  quantizeFp8: ({ codes, scales, x, tile }) => {
    needSameShape('quantizeFp8', { codes, x });
    needTiles('quantizeFp8: scales', scales, codes, tile);
    needApart('quantizeFp8', { codes, scales }, { x });
    needApart('quantizeFp8', { codes }, { scales });
  },
  dequantizeFp8: ({ out, codes, scales, tile }) => {
    needSameShape('dequantizeFp8', { out, codes });
    needTiles('dequantizeFp8: scales', scales, codes, tile);
    needApart('dequantizeFp8', { out }, { codes, scales });
  },
  findSpecialCodes: ({ codes, begins, entries }) => {
    needShape('findSpecialCodes: begins', begins, [numRows(codes) + 1]);
    assert(
      entries.shape.length === 1,
      `findSpecialCodes: entries of shape [${entries.shape}] are no list`,
    );
    assert(
      numColumns(codes) <= MOST_LISTED_COLUMNS,
      `findSpecialCodes: ${numColumns(codes)} columns, of which entries count 2²⁴`,
    );
    needApart('findSpecialCodes', { begins, entries }, { codes });
    needApart('findSpecialCodes', { begins }, { entries });
  },
  fp8Matmul: ({ out, a, aScales, b, bScales }) => {
    assert(
      numColumns(a) === numColumns(b),
      `fp8Matmul: a sums over ${numColumns(a)}, b over ${numColumns(b)}`,
    );
    needMatrix('fp8Matmul: out', out, numRows(a), numRows(b));
    needTiles('fp8Matmul: aScales', aScales, a, '1x128');
    needTiles('fp8Matmul: bScales', bScales, b, '128x128');
    needApart('fp8Matmul', { out }, { a, aScales, b, bScales });
  },
};

/** The same operations, each behind its check. */
export function checked(operations: Operations): Operations {
  const result: Partial<Record<Operation, unknown>> = {};
  const guard = <O extends Operation>(operation: O): void => {
    const check: Operations[O] = checks[operation];
    const run: Operations[O] = operations[operation];
    result[operation] = (args: OperationArgs<O>): void => {
      check(args);
      run(args);
    };
  };
  for (const operation of OPERATIONS) guard(operation);
  return result as Operations;
}

export const OPERATIONS: readonly Operation[] = Object.keys(checks) as Operation[];
