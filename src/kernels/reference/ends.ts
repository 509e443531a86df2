/**
 * The two ends of the model: the embedding, and the head with its cross-entropy.
 *
 *     loss_t = log Σ_v exp(z_v) − z_target      dz = softmax(z) − onehot(target)
 */
import { assert, at } from '../../base/assert.ts';
import { hostArray, numColumns, numRows } from '../../tensor/tensor.ts';
import type { Operations } from '../shapes.ts';
import { weightMatrix } from './host.ts';

type Ends = Pick<Operations, 'embedding' | 'embeddingBackward' | 'headCrossEntropy'>;

export const ends: Ends = {
  embedding: ({ out_TD, table_VD, ids_T }) => {
    const [out, ids, table] = [hostArray(out_TD), hostArray(ids_T), weightMatrix(table_VD)];
    const [vocabulary, width] = [numRows(table_VD.values), numColumns(out_TD)];
    for (let t = 0; t < ids.length; t++) {
      const id = at(ids, t);
      assert(id >= 0 && id < vocabulary, `embedding: id ${id} of ${vocabulary}`);
      const from = id * table.stride;
      out.set(table.values.subarray(from, from + width), t * out_TD.rowStride);
    }
  },

  // Rounded after every addition, in token order: any backend can give the very same bits.
  embeddingBackward: ({ dTable_VD, dOut_TD, ids_T }) => {
    const [dTable, dOut, ids] = [hostArray(dTable_VD), hostArray(dOut_TD), hostArray(ids_T)];
    const [vocabulary, width] = [numRows(dTable_VD), numColumns(dOut_TD)];
    for (let t = 0; t < ids.length; t++) {
      const id = at(ids, t);
      assert(id >= 0 && id < vocabulary, `embeddingBackward: id ${id} of ${vocabulary}`);
      const to = id * dTable_VD.rowStride;
      const from = t * dOut_TD.rowStride;
      for (let i = 0; i < width; i++) dTable[to + i] = at(dTable, to + i) + at(dOut, from + i);
    }
  },

  headCrossEntropy: ({ losses_T, h_TD, head_VD, targets_T, gradients }) => {
    const [losses, h, targets] = [hostArray(losses_T), hostArray(h_TD), hostArray(targets_T)];
    const head = weightMatrix(head_VD);
    const [vocabulary, width] = [numRows(head_VD.values), numColumns(h_TD)];
    const logits = new Float64Array(vocabulary);
    const dHead = gradients ? new Float64Array(vocabulary * width) : null;
    const dH = new Float64Array(width);
    for (let t = 0; t < targets.length; t++) {
      const target = at(targets, t);
      assert(target >= -1 && target < vocabulary, `headCrossEntropy: target ${target}`);
      const hRow = t * h_TD.rowStride;
      dH.fill(0);
      if (target < 0) {
        losses[t] = 0;
      } else {
        losses[t] = logitsAndLoss(logits, { h, hRow, head, width, target });
        if (gradients && dHead) {
          for (let v = 0; v < vocabulary; v++) {
            const dLogit = (at(logits, v) - (v === target ? 1 : 0)) * gradients.gradientScale;
            const headRow = v * head.stride;
            for (let i = 0; i < width; i++) {
              dH[i] = (dH[i] as number) + dLogit * (head.values[headRow + i] as number);
              const index = v * width + i;
              dHead[index] = (dHead[index] as number) + dLogit * (h[hRow + i] as number);
            }
          }
        }
      }
      if (gradients) hostArray(gradients.dH_TD).set(dH, t * gradients.dH_TD.rowStride);
    }
    if (gradients && dHead) {
      const out = hostArray(gradients.dHead_VD);
      for (let v = 0; v < vocabulary; v++) {
        const to = v * gradients.dHead_VD.rowStride;
        for (let i = 0; i < width; i++) out[to + i] = at(out, to + i) + at(dHead, v * width + i);
      }
    }
  },
};

/** Fills `logits` with probabilities and gives −log p of the target. */
function logitsAndLoss(
  logits: Float64Array,
  row: {
    readonly h: Float32Array;
    readonly hRow: number;
    readonly head: { readonly values: Float32Array; readonly stride: number };
    readonly width: number;
    readonly target: number;
  },
): number {
  const { h, hRow, head, width, target } = row;
  let highest = Number.NEGATIVE_INFINITY;
  for (let v = 0; v < logits.length; v++) {
    let sum = 0;
    for (let i = 0; i < width; i++) {
      sum += (h[hRow + i] as number) * (head.values[v * head.stride + i] as number);
    }
    logits[v] = sum;
    highest = Math.max(highest, sum);
  }
  const targetLogit = at(logits, target);
  let total = 0;
  for (let v = 0; v < logits.length; v++) {
    const weight = Math.exp(at(logits, v) - highest);
    logits[v] = weight;
    total += weight;
  }
  for (let v = 0; v < logits.length; v++) logits[v] = at(logits, v) / total;
  return highest + Math.log(total) - targetLogit;
}
