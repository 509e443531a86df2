/** The two ends of the model: embedding and its gradient, head with cross-entropy. */
import { numRows } from '../../tensor/tensor.ts';
import type { Kernels } from '../kernels.ts';
import type { KernelCall } from './call.ts';
import { needIndices } from './indices.ts';

type Ends = Pick<Kernels, 'embedding' | 'embeddingBackward' | 'headCrossEntropy'>;

export function endKernels(call: KernelCall): Ends {
  const embedding = call.operation('embedding');
  const embeddingBackward = call.operation('embeddingBackward');
  const headCrossEntropy = call.operation('headCrossEntropy');
  return {
    embedding({ out_TD, table_VD, ids_T }) {
      call.indices('embedding: id', ids_T, numRows(table_VD.values));
      call.begin().tensor(out_TD).weight(table_VD).tensor(ids_T).run(embedding);
    },
    embeddingBackward({ dTable_VD, dOut_TD, ids_T }) {
      needIndices('embeddingBackward: id', ids_T, numRows(dTable_VD));
      call.begin().tensor(dTable_VD).tensor(dOut_TD).tensor(ids_T).run(embeddingBackward);
    },
    headCrossEntropy({ losses_T, h_TD, head_VD, targets_T, gradients }) {
      needIndices('headCrossEntropy: target', targets_T, numRows(head_VD.values), -1);
      call.begin().tensor(losses_T).tensor(h_TD).weight(head_VD).tensor(targets_T);
      call.optional(gradients?.dH_TD).optional(gradients?.dHead_VD);
      call.number(gradients?.gradientScale ?? 0).run(headCrossEntropy);
    },
  };
}
