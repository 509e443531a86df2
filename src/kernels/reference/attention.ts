/**
 * Multi-head latent attention (report, 2.1.1): one query row against its sequence's earlier keys,
 * with the scores of that one row in memory and nothing else.
 *
 *     s_j = scale · (q_nope · k_nope,j + q_pe · k_pe,j)   j ≤ t
 *     p = softmax(s)     o = Σ p_j v_j
 *     ds_j = p_j (do · v_j − do · o) · scale
 */
import { assert, at } from '../../base/assert.ts';
import { hostArray, numColumns, numRows, type Tensor } from '../../tensor/tensor.ts';
import type { Operations } from '../shapes.ts';
import { readLatent, writeLatent } from './latentCache.ts';

type Attention = Pick<
  Operations,
  'mlaAttention' | 'mlaAttentionBackward' | 'appendCache' | 'readCache' | 'absorbedAttention'
>;

export const attention: Attention = {
  mlaAttention: (args) => {
    const { out_THV, logSumExp_TH, q_THD, kv_THD, kPe_TP, sequences, scale } = args;
    const { keys, accumulate = false } = args;
    const [out, logSumExp] = [hostArray(out_THV), hostArray(logSumExp_TH)];
    const kv = hostArray(kv_THD);
    const [heads, valueWidth] = [at(q_THD.shape, 1), numColumns(out_THV)];
    const nope = numColumns(q_THD) - numColumns(kPe_TP);
    const score = scoreOf({ q_THD, kv_THD, kPe_TP, scale });
    const keyOffsets = keys?.sequences ?? sequences;
    const scores = new Float64Array(longest(keyOffsets));
    const sums = new Float64Array(valueWidth);
    for (let sequence = 0; sequence + 1 < sequences.length; sequence++) {
      const [firstQuery, endQuery] = [at(sequences, sequence), at(sequences, sequence + 1)];
      const [first, endKey] = [at(keyOffsets, sequence), at(keyOffsets, sequence + 1)];
      const before = keys === undefined ? 0 : at(keys.before, sequence);
      for (let t = firstQuery; t < endQuery; t++) {
        const end = Math.min(first + before + t - firstQuery + 1, endKey);
        for (let head = 0; head < heads; head++) {
          const outRow = (t * heads + head) * out_THV.rowStride;
          const lseIndex = t * logSumExp_TH.rowStride + head;
          // Results over other keys weigh as one key whose score is their log-sum-exp.
          let highest = accumulate ? at(logSumExp, lseIndex) : Number.NEGATIVE_INFINITY;
          for (let s = first; s < end; s++) {
            const value = score(t, head, s);
            scores[s - first] = value;
            highest = Math.max(highest, value);
          }
          let total = accumulate ? Math.exp(at(logSumExp, lseIndex) - highest) : 0;
          for (let i = 0; i < valueWidth; i++)
            sums[i] = accumulate ? total * at(out, outRow + i) : 0;
          for (let s = first; s < end; s++) {
            const weight = Math.exp(at(scores, s - first) - highest);
            total += weight;
            addScaled(sums, kv, (s * heads + head) * kv_THD.rowStride + nope, weight);
          }
          for (let i = 0; i < valueWidth; i++) out[outRow + i] = at(sums, i) / total;
          logSumExp[lseIndex] = highest + Math.log(total);
        }
      }
    }
  },

  mlaAttentionBackward: (args) => {
    const { dQ_THD, dKv_THD, dKPe_TP, dOut_THV, out_THV, logSumExp_TH } = args;
    const { q_THD, kv_THD, kPe_TP, sequences, scale } = args;
    const [q, kv, kPe] = [hostArray(q_THD), hostArray(kv_THD), hostArray(kPe_TP)];
    const [dOut, out] = [hostArray(dOut_THV), hostArray(out_THV)];
    const logSumExp = hostArray(logSumExp_TH);
    const [tokens, heads] = [at(q_THD.shape, 0), at(q_THD.shape, 1)];
    const [qWidth, kvWidth, rope] = [numColumns(q_THD), numColumns(kv_THD), numColumns(kPe_TP)];
    const valueWidth = numColumns(out_THV);
    const nope = qWidth - rope;
    const score = scoreOf(args);
    const dQ = new Float64Array(tokens * heads * qWidth);
    const dKv = new Float64Array(tokens * heads * kvWidth);
    const dKPe = new Float64Array(tokens * rope);
    for (let sequence = 0; sequence + 1 < sequences.length; sequence++) {
      const [first, end] = [at(sequences, sequence), at(sequences, sequence + 1)];
      for (let t = first; t < end; t++) {
        for (let head = 0; head < heads; head++) {
          const row = t * heads + head;
          const [dOutRow, outRow] = [row * dOut_THV.rowStride, row * out_THV.rowStride];
          const [qRow, dQRow] = [row * q_THD.rowStride, row * qWidth];
          const rowLogSumExp = at(logSumExp, t * logSumExp_TH.rowStride + head);
          let delta = 0;
          for (let i = 0; i < valueWidth; i++) {
            delta += (dOut[dOutRow + i] as number) * (out[outRow + i] as number);
          }
          for (let s = first; s <= t; s++) {
            const probability = Math.exp(score(t, head, s) - rowLogSumExp);
            const kvRow = (s * heads + head) * kv_THD.rowStride;
            const dKvRow = (s * heads + head) * kvWidth;
            let dProbability = 0;
            for (let i = 0; i < valueWidth; i++) {
              const gradient = dOut[dOutRow + i] as number;
              dProbability += gradient * (kv[kvRow + nope + i] as number);
              dKv[dKvRow + nope + i] = at(dKv, dKvRow + nope + i) + probability * gradient;
            }
            const dScore = probability * (dProbability - delta) * scale;
            for (let i = 0; i < nope; i++) {
              dQ[dQRow + i] = at(dQ, dQRow + i) + dScore * (kv[kvRow + i] as number);
              dKv[dKvRow + i] = at(dKv, dKvRow + i) + dScore * (q[qRow + i] as number);
            }
            const kPeRow = s * kPe_TP.rowStride;
            for (let i = 0; i < rope; i++) {
              const dQIndex = dQRow + nope + i;
              dQ[dQIndex] = at(dQ, dQIndex) + dScore * (kPe[kPeRow + i] as number);
              dKPe[s * rope + i] = at(dKPe, s * rope + i) + dScore * (q[qRow + nope + i] as number);
            }
          }
        }
      }
    }
    store(dQ_THD, dQ);
    store(dKv_THD, dKv);
    store(dKPe_TP, dKPe);
  },

  appendCache: ({ cache, latent_TC, kPe_TP, slots_T }) => {
    const [latent, kPe] = [hostArray(latent_TC), hostArray(kPe_TP)];
    const widths = { latent: numColumns(latent_TC), rope: numColumns(kPe_TP) };
    const token = new Float32Array(widths.latent + widths.rope);
    hostArray(slots_T).forEach((slot, t) => {
      needSlot('appendCache', slot, numRows(cache));
      const [latentRow, kPeRow] = [t * latent_TC.rowStride, t * kPe_TP.rowStride];
      token.set(latent.subarray(latentRow, latentRow + widths.latent));
      token.set(kPe.subarray(kPeRow, kPeRow + widths.rope), widths.latent);
      writeLatent(cache, slot, token, widths);
    });
  },

  readCache: ({ latent_TC, kPe_TP, cache, slots_T }) => {
    const [latent, kPe] = [hostArray(latent_TC), hostArray(kPe_TP)];
    const widths = { latent: numColumns(latent_TC), rope: numColumns(kPe_TP) };
    hostArray(slots_T).forEach((slot, t) => {
      needSlot('readCache', slot, numRows(cache));
      const token = readLatent(cache, slot, widths);
      latent.set(token.subarray(0, widths.latent), t * latent_TC.rowStride);
      kPe.set(token.subarray(widths.latent), t * kPe_TP.rowStride);
    });
  },

  absorbedAttention: (args) => {
    const { out_THC, q_THC, qPe_THP, cache, blockTable, sequence_T, length_T, scale } = args;
    const [out, q, qPe] = [hostArray(out_THC), hostArray(q_THC), hostArray(qPe_THP)];
    const table = hostArray(blockTable);
    const [sequences, lengths] = [hostArray(sequence_T), hostArray(length_T)];
    const heads = at(q_THC.shape, 1);
    const [latent, rope] = [numColumns(q_THC), numColumns(qPe_THP)];
    const [numBlocks, blockSize] = [at(cache.shape, 0), at(cache.shape, 1)];
    const sums = new Float64Array(latent);
    for (let t = 0; t < lengths.length; t++) {
      const length = at(lengths, t);
      assert(length >= 1, `absorbedAttention: row ${t} sees ${length} positions`);
      const tokens: Float32Array[] = [];
      for (let position = 0; position < length; position++) {
        const entry = at(sequences, t) * blockTable.rowStride + Math.floor(position / blockSize);
        const block = at(table, entry);
        assert(block >= 0 && block < numBlocks, `absorbedAttention: block ${block}`);
        const slot = block * blockSize + (position % blockSize);
        tokens.push(readLatent(cache, slot, { latent, rope }));
      }
      const scores = new Float64Array(length);
      for (let head = 0; head < heads; head++) {
        const qRow = (t * heads + head) * q_THC.rowStride;
        const qPeRow = (t * heads + head) * qPe_THP.rowStride;
        let highest = Number.NEGATIVE_INFINITY;
        for (let position = 0; position < length; position++) {
          const token = at(tokens, position);
          const value = dot(q, qRow, token, 0, latent) + dot(qPe, qPeRow, token, latent, rope);
          scores[position] = value * scale;
          highest = Math.max(highest, value * scale);
        }
        let total = 0;
        sums.fill(0);
        for (let position = 0; position < length; position++) {
          const weight = Math.exp(at(scores, position) - highest);
          total += weight;
          addScaled(sums, at(tokens, position), 0, weight);
        }
        const outRow = (t * heads + head) * out_THC.rowStride;
        for (let i = 0; i < latent; i++) out[outRow + i] = at(sums, i) / total;
      }
    }
  },
};

function needSlot(operation: string, slot: number, numSlots: number): void {
  assert(slot >= 0 && slot < numSlots, `${operation}: slot ${slot} of ${numSlots}`);
}

/** The scaled score of row t with row s under one head. */
function scoreOf(args: {
  readonly q_THD: Tensor<'f32'>;
  readonly kv_THD: Tensor<'f32'>;
  readonly kPe_TP: Tensor<'f32'>;
  readonly scale: number;
}): (t: number, head: number, s: number) => number {
  const { q_THD, kv_THD, kPe_TP, scale } = args;
  const [q, kv, kPe] = [hostArray(q_THD), hostArray(kv_THD), hostArray(kPe_TP)];
  const heads = at(q_THD.shape, 1);
  const rope = numColumns(kPe_TP);
  const nope = numColumns(q_THD) - rope;
  return (t, head, s) => {
    const qRow = (t * heads + head) * q_THD.rowStride;
    const kvRow = (s * heads + head) * kv_THD.rowStride;
    const nopePart = dot(q, qRow, kv, kvRow, nope);
    return (nopePart + dot(q, qRow + nope, kPe, s * kPe_TP.rowStride, rope)) * scale;
  };
}

function dot(a: Float32Array, aFrom: number, b: Float32Array, bFrom: number, n: number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += (a[aFrom + i] as number) * (b[bFrom + i] as number);
  return sum;
}

/** sums += weight · values[from …] */
function addScaled(sums: Float64Array, values: Float32Array, from: number, weight: number): void {
  for (let i = 0; i < sums.length; i++) {
    sums[i] = (sums[i] as number) + weight * (values[from + i] as number);
  }
}

function store(tensor: Tensor<'f32'>, contiguous: Float64Array): void {
  const values = hostArray(tensor);
  const width = numColumns(tensor);
  for (let row = 0; row * width < contiguous.length; row++) {
    values.set(contiguous.subarray(row * width, (row + 1) * width), row * tensor.rowStride);
  }
}

function longest(sequences: readonly number[]): number {
  let most = 0;
  for (let i = 1; i < sequences.length; i++) {
    most = Math.max(most, at(sequences, i) - at(sequences, i - 1));
  }
  return most;
}
