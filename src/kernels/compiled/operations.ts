/** All operations of compiled kernels, shapes checked before any argument crosses over. */
import { packRows, unpackRows } from '../../tensor/hostRows.ts';
import type { Kernels } from '../kernels.ts';
import { checked, type Operations } from '../shapes.ts';
import { attentionKernels } from './attention.ts';
import type { KernelCall } from './call.ts';
import { decodeKernels } from './decode.ts';
import { elementwiseKernels } from './elementwise.ts';
import { endKernels } from './ends.ts';
import { normKernels } from './norms.ts';
import { optimiserKernels } from './optimiser.ts';
import { productKernels } from './products.ts';
import { routingKernels } from './routing.ts';
import { samplingKernels } from './sampling.ts';

/** The operations, and how tensors are read and written: after what is queued has run. */
export function compiledKernels(call: KernelCall): Operations & Pick<Kernels, 'read' | 'write'> {
  const operations = checked({
    ...elementwiseKernels(call),
    ...productKernels(call),
    ...normKernels(call),
    ...attentionKernels(call),
    ...decodeKernels(call),
    ...routingKernels(call),
    ...endKernels(call),
    ...samplingKernels(call),
    ...optimiserKernels(call),
  });
  return {
    ...operations,
    read: async (tensor) => {
      call.wait();
      return packRows(tensor);
    },
    write: (tensor, values) => {
      call.wait();
      unpackRows(tensor, values);
    },
  };
}
