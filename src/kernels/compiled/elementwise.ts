/** fill, copy, add, scale, lerp, sumOfSquares (`csrc/elementwise.inl`). */
import type { Kernels } from '../kernels.ts';
import type { KernelCall } from './call.ts';

type Elementwise = Pick<Kernels, 'fill' | 'copy' | 'add' | 'scale' | 'lerp' | 'sumOfSquares'>;

export function elementwiseKernels(call: KernelCall): Elementwise {
  const fill = call.operation('fill');
  const copy = call.operation('copy');
  const add = call.operation('add');
  const scale = call.operation('scale');
  const lerp = call.operation('lerp');
  const sumOfSquares = call.operation('sumOfSquares');
  return {
    fill({ out, value }) {
      call.begin().tensor(out).number(value).run(fill);
    },
    copy({ out, x }) {
      call.begin().tensor(out).tensor(x).run(copy);
    },
    add({ out, a, b }) {
      call.begin().tensor(out).tensor(a).tensor(b).run(add);
    },
    scale({ x, factor }) {
      call.begin().tensor(x).number(factor).run(scale);
    },
    lerp({ out, x, weight }) {
      call.begin().tensor(out).tensor(x).number(weight).run(lerp);
    },
    sumOfSquares({ out, x }) {
      call.begin().tensor(out).tensor(x).run(sumOfSquares);
    },
  };
}
