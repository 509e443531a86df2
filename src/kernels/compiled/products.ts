/** matmul, groupedMatmul, headMatmul, fp8Matmul (the `csrc/*.inl` of the same names). */
import { at } from '../../base/assert.ts';
import type { Kernels, Layout, MatmulArgs } from '../kernels.ts';
import type { KernelCall } from './call.ts';

type Products = Pick<Kernels, 'matmul' | 'groupedMatmul' | 'headMatmul' | 'fp8Matmul'>;

/** `csrc/matmul.inl` counts the same way. */
const LAYOUTS: Record<Layout, number> = { nt: 0, nn: 1, tn: 2 };

/** As `Order` in `csrc/gemm.h`. */
const ORDERS = { streamed: 1, tiled: 2 } as const;

function orderNumber(order: MatmulArgs['order']): number {
  return order === undefined ? 0 : ORDERS[order];
}

export function productKernels(call: KernelCall): Products {
  const matmul = call.operation('matmul');
  const groupedMatmul = call.operation('groupedMatmul');
  const headMatmul = call.operation('headMatmul');
  const fp8Matmul = call.operation('fp8Matmul');
  return {
    matmul({ out, a, b, layout, accumulate, swiglu_TF, gateUp_T2F, order }) {
      call.begin().tensor(out).tensor(a).weight(b);
      call.number(LAYOUTS[layout]).flag(accumulate);
      call.optional(swiglu_TF).optional(gateUp_T2F).number(orderNumber(order)).run(matmul);
    },
    groupedMatmul({ out, a, b, offsets, layout, accumulate, swiglu_TF, gateUp_T2F, order }) {
      call.begin().tensor(out).tensor(a).weight(b).tensor(offsets);
      call.number(LAYOUTS[layout]).flag(accumulate);
      call.optional(swiglu_TF).optional(gateUp_T2F).number(orderNumber(order));
      call.run(groupedMatmul);
    },
    headMatmul({ out, a, b, rowsPerHead, firstRow, numRows, layout }) {
      call.begin().tensor(out).tensor(a).weight(b);
      call.number(at(a.shape, 0)).number(at(a.shape, 1));
      call.number(rowsPerHead).number(firstRow).number(numRows);
      call.number(LAYOUTS[layout]).run(headMatmul);
    },
    fp8Matmul({ out, a, aScales, b, bScales }) {
      call.begin().tensor(out).tensor(a).tensor(aScales).tensor(b).tensor(bScales).run(fp8Matmul);
    },
  };
}
