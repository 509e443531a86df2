/** rmsNorm and its gradients, rope, swiglu and its gradient. */
import { at } from '../../base/assert.ts';
import type { Kernels } from '../kernels.ts';
import type { KernelCall } from './call.ts';
import { needIndices } from './indices.ts';

type Norms = Pick<
  Kernels,
  | 'rmsNorm'
  | 'rmsNormBackwardInput'
  | 'rmsNormBackwardWeight'
  | 'rope'
  | 'swiglu'
  | 'swigluBackward'
>;

export function normKernels(call: KernelCall): Norms {
  const rmsNorm = call.operation('rmsNorm');
  const rmsNormBackwardInput = call.operation('rmsNormBackwardInput');
  const rmsNormBackwardWeight = call.operation('rmsNormBackwardWeight');
  const rope = call.operation('rope');
  const swiglu = call.operation('swiglu');
  const swigluBackward = call.operation('swigluBackward');
  return {
    rmsNorm({ out, x, gain, eps, reciprocalRms_T }) {
      call.begin().tensor(out).tensor(x).tensor(gain).optional(reciprocalRms_T);
      call.number(eps).run(rmsNorm);
    },
    rmsNormBackwardInput({ dX, dOut, x, gain, reciprocalRms_T, accumulate }) {
      call.begin().tensor(dX).tensor(dOut).tensor(x).tensor(gain).tensor(reciprocalRms_T);
      call.flag(accumulate).run(rmsNormBackwardInput);
    },
    rmsNormBackwardWeight({ dGain, dOut, x, reciprocalRms_T }) {
      call.begin().tensor(dGain).tensor(dOut).tensor(x).tensor(reciprocalRms_T);
      call.run(rmsNormBackwardWeight);
    },
    rope({ x_THP, positions_T, table, direction }) {
      needIndices('rope: position', positions_T, at(table.shape, 0));
      call.begin().tensor(x_THP).tensor(positions_T).tensor(table);
      call.flag(direction === 'inverse').run(rope);
    },
    swiglu({ out_TF, gateUp_T2F }) {
      call.begin().tensor(out_TF).tensor(gateUp_T2F).run(swiglu);
    },
    swigluBackward({ dGateUp_T2F, dOut_TF, gateUp_T2F }) {
      call.begin().tensor(dGateUp_T2F).tensor(dOut_TF).tensor(gateUp_T2F).run(swigluBackward);
    },
  };
}
