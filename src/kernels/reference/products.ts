/**
 * Products: three loops and a double for the sum. Legend as in `kernels.ts`.
 *
 * The loops run along rows of `b`, so `nn` and `tn` sum into a row of doubles rather than into one.
 */
import { assert, at } from '../../base/assert.ts';
import { columns, hostArray, numColumns, numRows } from '../../tensor/tensor.ts';
import type { F32, Layout, MatmulArgs } from '../kernels.ts';
import type { Operations } from '../shapes.ts';
import { elementwise } from './elementwise.ts';
import { type HostMatrix, hostMatrix, weightMatrix } from './host.ts';

export interface Product {
  readonly out: HostMatrix;
  readonly a: HostMatrix;
  readonly b: HostMatrix;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly layout: Layout;
  readonly accumulate: boolean;
}

export function multiply(product: Product): void {
  if (product.layout === 'nt') multiplyByRows(product);
  else multiplyByColumns(product);
}

/** Rows of a with rows of b. */
function multiplyByRows({ out, a, b, m, n, k, accumulate }: Product): void {
  const [outValues, aValues, bValues] = [out.values, a.values, b.values];
  for (let i = 0; i < m; i++) {
    const aRow = a.offset + i * a.stride;
    const outRow = out.offset + i * out.stride;
    for (let j = 0; j < n; j++) {
      const bRow = b.offset + j * b.stride;
      let sum = 0;
      for (let s = 0; s < k; s++) {
        sum += (aValues[aRow + s] as number) * (bValues[bRow + s] as number);
      }
      outValues[outRow + j] = accumulate ? (outValues[outRow + j] as number) + sum : sum;
    }
  }
}

/** Rows (`nn`) or columns (`tn`) of a with columns of b. */
function multiplyByColumns({ out, a, b, m, n, k, layout, accumulate }: Product): void {
  const [outValues, aValues, bValues] = [out.values, a.values, b.values];
  const [stepOfI, stepOfS] = layout === 'nn' ? [a.stride, 1] : [1, a.stride];
  const sums = new Float64Array(n);
  for (let i = 0; i < m; i++) {
    sums.fill(0);
    for (let s = 0; s < k; s++) {
      const factor = aValues[a.offset + i * stepOfI + s * stepOfS] as number;
      const bRow = b.offset + s * b.stride;
      for (let j = 0; j < n; j++) {
        sums[j] = (sums[j] as number) + factor * (bValues[bRow + j] as number);
      }
    }
    const outRow = out.offset + i * out.stride;
    for (let j = 0; j < n; j++) {
      const before = accumulate ? (outValues[outRow + j] as number) : 0;
      outValues[outRow + j] = before + (sums[j] as number);
    }
  }
}

type Products = Pick<Operations, 'matmul' | 'groupedMatmul' | 'headMatmul'>;

export const products: Products = {
  matmul: (args) => {
    const { a, b, layout, accumulate = false } = args;
    const out = productOf(args);
    multiply({
      out: hostMatrix(out),
      a: hostMatrix(a),
      b: weightMatrix(b),
      m: numRows(out),
      n: numColumns(out),
      k: layout === 'tn' ? numRows(a) : numColumns(a),
      layout,
      accumulate,
    });
    endWithSwiglu(args);
  },

  groupedMatmul: (args) => {
    const { a, b, offsets, layout, accumulate = false } = args;
    const out = productOf(args);
    const rowOffsets = hostArray(offsets);
    const [outAll, aAll, bAll] = [hostMatrix(out), hostMatrix(a), weightMatrix(b)];
    const end = at(rowOffsets, rowOffsets.length - 1);
    assert(
      rowOffsets[0] === 0 &&
        end === numRows(a) &&
        rowOffsets.every((o, i) => i === 0 || o >= at(rowOffsets, i - 1)),
      `groupedMatmul: offsets [${rowOffsets}] do not cut ${numRows(a)} rows`,
    );
    for (let group = 0; group + 1 < rowOffsets.length; group++) {
      const first = at(rowOffsets, group);
      const rows = at(rowOffsets, group + 1) - first;
      const aGroup = fromRow(aAll, first);
      if (layout === 'tn') {
        const m = numColumns(a);
        const groupOut = fromRow(outAll, group * m);
        const bGroup = fromRow(bAll, first);
        const n = numColumns(out);
        multiply({ out: groupOut, a: aGroup, b: bGroup, m, n, k: rows, layout, accumulate });
      } else {
        const bGroup = fromRow(bAll, group * at(b.values.shape, 1));
        const groupOut = fromRow(outAll, first);
        const [n, k] = [numColumns(out), numColumns(a)];
        multiply({ out: groupOut, a: aGroup, b: bGroup, m: rows, n, k, layout, accumulate });
      }
    }
    endWithSwiglu(args);
  },

  headMatmul: ({ out, a, b, rowsPerHead, firstRow, layout }) => {
    const [tokens, heads] = [at(a.shape, 0), at(a.shape, 1)];
    const [outAll, aAll, bAll] = [hostMatrix(out), hostMatrix(a), weightMatrix(b)];
    for (let head = 0; head < heads; head++) {
      multiply({
        out: everyRow(outAll, head, heads),
        a: everyRow(aAll, head, heads),
        b: fromRow(bAll, head * rowsPerHead + firstRow),
        m: tokens,
        n: numColumns(out),
        k: numColumns(a),
        layout,
        accumulate: false,
      });
    }
  },
};

/** Where the product itself goes: before SwiGLU's gradient, the gate's columns of out. */
function productOf({ out, gateUp_T2F }: MatmulArgs): F32 {
  return gateUp_T2F === undefined ? out : columns(out, 0, numColumns(out) / 2);
}

function endWithSwiglu(args: MatmulArgs): void {
  const { out, swiglu_TF, gateUp_T2F } = args;
  if (swiglu_TF) elementwise.swiglu({ out_TF: swiglu_TF, gateUp_T2F: out });
  if (gateUp_T2F) {
    elementwise.swigluBackward({ dGateUp_T2F: out, dOut_TF: productOf(args), gateUp_T2F });
  }
}

function fromRow(matrix: HostMatrix, row: number): HostMatrix {
  return { ...matrix, offset: matrix.offset + row * matrix.stride };
}

/** Rows `first`, `first + step`, … as a matrix: one head of `[T, H, …]`. */
function everyRow(matrix: HostMatrix, first: number, step: number): HostMatrix {
  return { ...fromRow(matrix, first), stride: matrix.stride * step };
}
