/**
 * The gate, its gradient, the balance loss, and moving rows to their experts and back (report,
 * 2.1.2).
 *
 * Scores and choice values are rounded to float32 before they are compared: what a float32 backend
 * sees as a tie is a tie here, and goes to the lower index.
 */
import { assert, at } from '../../base/assert.ts';
import { hostArray, numColumns, numElements, numRows } from '../../tensor/tensor.ts';
import type { RoutingRule } from '../kernels.ts';
import type { Operations } from '../shapes.ts';

type Routing = Pick<
  Operations,
  | 'routeTopK'
  | 'routeTopKBackward'
  | 'balanceLoss'
  | 'sortByExpert'
  | 'permute'
  | 'unpermute'
  | 'unpermuteBackwardInput'
  | 'unpermuteBackwardWeights'
  | 'updateRouterBias'
>;

/** Keeps a sum of scores that all underflowed from dividing by zero (Hugging Face, Megatron). */
const SMALLEST_SUM = 1e-20;

export const routing: Routing = {
  routeTopK: ({ scores_TE, ids_TK, weights_TK, counts_E, logits_TE, bias_E, rule }) => {
    const [scores, logits, bias] = [hostArray(scores_TE), hostArray(logits_TE), hostArray(bias_E)];
    const [ids, weights] = [hostArray(ids_TK), hostArray(weights_TK)];
    const counts = hostArray(counts_E);
    const numExperts = counts.length;
    const choice = new Float32Array(numExperts);
    for (let t = 0; t < numRows(logits_TE); t++) {
      const logitRow = logits.subarray(t * logits_TE.rowStride).subarray(0, numExperts);
      const scoreRow = scores.subarray(t * scores_TE.rowStride).subarray(0, numExperts);
      score(scoreRow, logitRow, rule.scoring);
      for (let e = 0; e < numExperts; e++) choice[e] = at(scoreRow, e) + at(bias, e);
      const isAllowed = new Uint8Array(numExperts);
      const groupSize = numExperts / rule.numGroups;
      for (const group of topIndices(groupValues(choice, rule), rule.groupsKept)) {
        isAllowed.fill(1, group * groupSize, (group + 1) * groupSize);
      }
      const chosen = topIndices(choice, rule.expertsPerToken, isAllowed);
      let sum = 0;
      for (const id of chosen) sum += at(scoreRow, id);
      const factor = rule.isNormalised ? rule.scale / (sum + SMALLEST_SUM) : rule.scale;
      chosen.forEach((id, k) => {
        ids[t * ids_TK.rowStride + k] = id;
        weights[t * weights_TK.rowStride + k] = at(scoreRow, id) * factor;
        counts[id] = at(counts, id) + 1;
      });
    }
  },

  // w_k = c s_k / S, S = Σ s, so ds_k = (c / S) (dw_k − Σ_j dw_j s_j / S); then back through the
  // sigmoid, ds σ (1 − σ), or the softmax, p (ds − Σ ds p).
  routeTopKBackward: ({ dLogits_TE, dWeights_TK, dScores_TE, scores_TE, ids_TK, rule }) => {
    const [dLogits, dWeights] = [hostArray(dLogits_TE), hostArray(dWeights_TK)];
    const [scores, ids] = [hostArray(scores_TE), hostArray(ids_TK)];
    const dScoresGiven = dScores_TE ? hostArray(dScores_TE) : null;
    const [numExperts, perToken] = [numColumns(scores_TE), numColumns(ids_TK)];
    const dScores = new Float64Array(numExperts);
    for (let t = 0; t < numRows(scores_TE); t++) {
      const scoreRow = scores.subarray(t * scores_TE.rowStride).subarray(0, numExperts);
      const idRow = ids.subarray(t * ids_TK.rowStride).subarray(0, perToken);
      const dWeightRow = dWeights.subarray(t * dWeights_TK.rowStride);
      for (let e = 0; e < numExperts; e++) {
        dScores[e] = dScoresGiven ? at(dScoresGiven, t * (dScores_TE?.rowStride ?? 0) + e) : 0;
      }
      let [sum, product] = [0, 0];
      for (let k = 0; k < perToken; k++) {
        sum += at(scoreRow, at(idRow, k));
        product += at(dWeightRow, k) * at(scoreRow, at(idRow, k));
      }
      const total = sum + SMALLEST_SUM;
      for (let k = 0; k < perToken; k++) {
        const gradient = rule.isNormalised
          ? (at(dWeightRow, k) - product / total) * (rule.scale / total)
          : at(dWeightRow, k) * rule.scale;
        dScores[at(idRow, k)] = at(dScores, at(idRow, k)) + gradient;
      }
      let mean = 0;
      if (rule.scoring === 'softmax') {
        for (let e = 0; e < numExperts; e++) mean += at(dScores, e) * at(scoreRow, e);
      }
      for (let e = 0; e < numExperts; e++) {
        const s = at(scoreRow, e);
        const ds = at(dScores, e);
        dLogits[t * dLogits_TE.rowStride + e] =
          rule.scoring === 'softmax' ? s * (ds - mean) : ds * s * (1 - s);
      }
    }
  },

  // loss = mean over sequences of Σ f_i P_i with P_i = mean_t p_ti. Under sigmoid p = s / Σ s, so
  // ds_i = (f_i − Σ_j f_j p_j) / Σ s; under softmax the scores are p already.
  balanceLoss: (args) => {
    const { loss, dScores_TE, scores_TE, ids_TK, sequences, form, scoring, coefficient } = args;
    const [dScores, scores, ids] = [hostArray(dScores_TE), hostArray(scores_TE), hostArray(ids_TK)];
    const [numExperts, perToken] = [numColumns(scores_TE), numColumns(ids_TK)];
    let numSequences = 0;
    for (let i = 1; i < sequences.length; i++) {
      if (at(sequences, i) > at(sequences, i - 1)) numSequences++;
    }
    let total = 0;
    for (let i = 1; i < sequences.length; i++) {
      const [first, end] = [at(sequences, i - 1), at(sequences, i)];
      const fraction = new Float64Array(numExperts);
      for (let t = first; t < end; t++) {
        const scoreRow = scores.subarray(t * scores_TE.rowStride).subarray(0, numExperts);
        const idRow = ids.subarray(t * ids_TK.rowStride).subarray(0, perToken);
        const counted = form === 'paper' ? topIndices(scoreRow, perToken) : idRow;
        for (const id of counted) {
          fraction[id] = at(fraction, id) + numExperts / (perToken * (end - first));
        }
      }
      const perRow = 1 / ((end - first) * numSequences);
      for (let t = first; t < end; t++) {
        const scoreRow = scores.subarray(t * scores_TE.rowStride).subarray(0, numExperts);
        let sum = SMALLEST_SUM;
        let product = 0;
        for (let e = 0; e < numExperts; e++) {
          sum += at(scoreRow, e);
          product += at(fraction, e) * at(scoreRow, e);
        }
        const isSigmoid = scoring === 'sigmoid';
        total += perRow * (isSigmoid ? product / sum : product);
        for (let e = 0; e < numExperts; e++) {
          const f = at(fraction, e);
          const gradient = isSigmoid ? (f - product / sum) / sum : f;
          dScores[t * dScores_TE.rowStride + e] = coefficient * perRow * gradient;
        }
      }
    }
    hostArray(loss)[0] = total;
  },

  sortByExpert: ({ offsets, slot_R, row_TK, ids_TK }) => {
    const [rowOffsets, slots, rows] = [hostArray(offsets), hostArray(slot_R), hostArray(row_TK)];
    const ids = hostArray(ids_TK);
    const perToken = numColumns(ids_TK);
    const numExperts = rowOffsets.length - 1;
    rowOffsets.fill(0);
    for (let slot = 0; slot < slots.length; slot++) {
      const id = at(ids, Math.floor(slot / perToken) * ids_TK.rowStride + (slot % perToken));
      assert(id >= 0 && id < numExperts, `sortByExpert: expert ${id} of ${numExperts}`);
      rowOffsets[id + 1] = at(rowOffsets, id + 1) + 1;
    }
    for (let e = 0; e < numExperts; e++) {
      rowOffsets[e + 1] = at(rowOffsets, e + 1) + at(rowOffsets, e);
    }
    const next = rowOffsets.slice();
    for (let slot = 0; slot < slots.length; slot++) {
      const [t, k] = [Math.floor(slot / perToken), slot % perToken];
      const id = at(ids, t * ids_TK.rowStride + k);
      const row = at(next, id);
      next[id] = row + 1;
      slots[row] = slot;
      rows[t * row_TK.rowStride + k] = row;
    }
  },

  permute: ({ out_RD, x_TD, slot_R, expertsPerToken }) => {
    const [out, x, slots] = [hostArray(out_RD), hostArray(x_TD), hostArray(slot_R)];
    const width = numColumns(x_TD);
    for (let row = 0; row < slots.length; row++) {
      const token = Math.floor(at(slots, row) / expertsPerToken);
      assert(token >= 0 && token < numRows(x_TD), `permute: token ${token} of ${numRows(x_TD)}`);
      const from = token * x_TD.rowStride;
      out.set(x.subarray(from, from + width), row * out_RD.rowStride);
    }
  },

  unpermute: ({ out_TD, x_RD, row_TK, weights_TK, accumulate = false }) => {
    const [out, x, rows] = [hostArray(out_TD), hostArray(x_RD), hostArray(row_TK)];
    const weights = weights_TK ? hostArray(weights_TK) : null;
    const [width, perToken] = [numColumns(out_TD), numColumns(row_TK)];
    const sums = new Float64Array(width);
    for (let t = 0; t < numRows(out_TD); t++) {
      const outRow = t * out_TD.rowStride;
      sums.fill(0);
      for (let k = 0; k < perToken; k++) {
        const from = at(rows, t * row_TK.rowStride + k) * x_RD.rowStride;
        const weight = weights ? at(weights, t * (weights_TK?.rowStride ?? 0) + k) : 1;
        for (let i = 0; i < width; i++) {
          sums[i] = (sums[i] as number) + weight * at(x, from + i);
        }
      }
      for (let i = 0; i < width; i++) {
        out[outRow + i] = (accumulate ? at(out, outRow + i) : 0) + (sums[i] as number);
      }
    }
  },

  unpermuteBackwardInput: ({ dX_RD, dOut_TD, slot_R, weights_TK }) => {
    const [dX, dOut] = [hostArray(dX_RD), hostArray(dOut_TD)];
    const [slots, weights] = [hostArray(slot_R), hostArray(weights_TK)];
    const [width, perToken] = [numColumns(dX_RD), numColumns(weights_TK)];
    for (let row = 0; row < slots.length; row++) {
      const slot = at(slots, row);
      const [token, k] = [Math.floor(slot / perToken), slot % perToken];
      const weight = at(weights, token * weights_TK.rowStride + k);
      for (let i = 0; i < width; i++) {
        dX[row * dX_RD.rowStride + i] = weight * at(dOut, token * dOut_TD.rowStride + i);
      }
    }
  },

  unpermuteBackwardWeights: ({ dWeights_TK, dOut_TD, x_RD, row_TK }) => {
    const [dWeights, dOut] = [hostArray(dWeights_TK), hostArray(dOut_TD)];
    const [x, rows] = [hostArray(x_RD), hostArray(row_TK)];
    const [width, perToken] = [numColumns(dOut_TD), numColumns(row_TK)];
    for (let t = 0; t < numRows(dOut_TD); t++) {
      for (let k = 0; k < perToken; k++) {
        const from = at(rows, t * row_TK.rowStride + k) * x_RD.rowStride;
        let sum = 0;
        for (let i = 0; i < width; i++) {
          sum += at(dOut, t * dOut_TD.rowStride + i) * at(x, from + i);
        }
        dWeights[t * dWeights_TK.rowStride + k] = sum;
      }
    }
  },

  updateRouterBias: ({ bias_E, counts_E, speed }) => {
    const [bias, counts] = [hostArray(bias_E), hostArray(counts_E)];
    let total = 0;
    for (const count of counts) total += count;
    for (let e = 0; e < numElements(bias_E.shape); e++) {
      // mean − count, times the number of experts: whole numbers, so the sign is exact.
      bias[e] = at(bias, e) + speed * Math.sign(total - counts.length * at(counts, e));
    }
  },
};

function score(scores: Float32Array, logits: Float32Array, scoring: RoutingRule['scoring']): void {
  if (scoring === 'sigmoid') {
    for (let e = 0; e < logits.length; e++) scores[e] = 1 / (1 + Math.exp(-at(logits, e)));
    return;
  }
  const highest = logits.reduce((most, logit) => Math.max(most, logit), Number.NEGATIVE_INFINITY);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - highest);
  for (let e = 0; e < logits.length; e++) scores[e] = Math.exp(at(logits, e) - highest) / sum;
}

function groupValues(choice: Float32Array, rule: RoutingRule): Float32Array {
  const values = new Float32Array(rule.numGroups);
  const groupSize = choice.length / rule.numGroups;
  for (let group = 0; group < rule.numGroups; group++) {
    const members = choice.subarray(group * groupSize, (group + 1) * groupSize);
    const [best = 0, second] = topIndices(members, rule.groupScore === 'max' ? 1 : 2);
    values[group] = at(members, best) + (second === undefined ? 0 : at(members, second));
  }
  return values;
}

/**
 * Indices of the largest values among the allowed, falling, ties to the lower index. NaN counts as
 * less than everything: a broken row still routes somewhere, and the loss shows the fault.
 */
function topIndices(values: Float32Array, count: number, isAllowed?: Uint8Array): number[] {
  const isTaken = new Uint8Array(values.length);
  const chosen: number[] = [];
  while (chosen.length < Math.min(count, values.length)) {
    let best = -1;
    for (let i = 0; i < values.length; i++) {
      if (isTaken[i] === 1 || isAllowed?.[i] === 0) continue;
      const isBetter = best >= 0 && at(values, i) > at(values, best);
      if (best < 0 || isBetter || (Number.isNaN(at(values, best)) && !Number.isNaN(at(values, i))))
        best = i;
    }
    isTaken[best] = 1;
    chosen.push(best);
  }
  return chosen;
}
