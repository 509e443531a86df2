/** All operations of compiled kernels, shapes checked before any argument crosses over. */
import { checked, type Operations } from '../shapes.ts';
import { attentionKernels } from './attention.ts';
import { KernelCall, type KernelHost } from './call.ts';
import { decodeKernels } from './decode.ts';
import { elementwiseKernels } from './elementwise.ts';
import { endKernels } from './ends.ts';
import { normKernels } from './norms.ts';
import { optimiserKernels } from './optimiser.ts';
import { productKernels } from './products.ts';
import { routingKernels } from './routing.ts';
import { samplingKernels } from './sampling.ts';

export function compiledOperations(host: KernelHost): Operations {
  const call = new KernelCall(host);
  return checked({
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
}
