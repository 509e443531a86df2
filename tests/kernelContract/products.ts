/** The contract of the products. */
import fc from 'fast-check';
import { at } from '../../src/base/assert.ts';
import {
  type KernelCase,
  kernelCase,
  layouts,
  size,
  sizeOrNone,
  weightDTypes,
} from './kernelCase.ts';
import { once, sums, withinLargest } from './oracle.ts';

export const productCases: readonly KernelCase[] = [
  kernelCase({
    name: 'matmul: Σ a · b in every layout and weight dtype, added if asked',
    shapes: fc.record({
      m: sizeOrNone(70),
      n: size(150),
      k: sizeOrNone(150),
      layout: layouts,
      dtype: weightDTypes,
      accumulate: fc.boolean(),
    }),
    runs: 50,
    // Past 256 of depth, 144 of rows and 1,024 of columns, where packed panels end.
    always: [
      { m: 150, n: 50, k: 300, layout: 'nt', dtype: 'f32', accumulate: false },
      { m: 150, n: 50, k: 300, layout: 'tn', dtype: 'f32', accumulate: true },
      { m: 7, n: 1100, k: 20, layout: 'nn', dtype: 'f32', accumulate: false },
      { m: 30, n: 1040, k: 270, layout: 'nt', dtype: 'bf16', accumulate: true },
      { m: 1, n: 300, k: 513, layout: 'nt', dtype: 'f8e4m3', accumulate: false },
      { m: 1, n: 513, k: 300, layout: 'nn', dtype: 'f16', accumulate: false },
    ],
    lay: (bench, { m, n, k, layout, dtype, accumulate }) => {
      const isTransposed = layout === 'tn';
      const a = bench.floats(isTransposed ? [k, m] : [m, k]);
      const b = bench.weight(dtype, layout === 'nt' ? [n, k] : [k, n]);
      const out = accumulate ? bench.changed('f32', [m, n]) : undefined;
      const tensor = out?.tensor ?? bench.output([m, n]);
      bench.kernels.matmul({ out: tensor, a: a.tensor, b: b.weight, layout, accumulate });
      bench.expect(tensor, () =>
        sums({
          count: m * n,
          numTerms: k,
          before: out?.values,
          term: (element, s) => {
            const [i, j] = [Math.floor(element / n), element % n];
            const left = at(a.values, isTransposed ? s * m + i : i * k + s);
            return left * at(b.values, layout === 'nt' ? j * k + s : s * n + j);
          },
        }),
      );
    },
  }),

  kernelCase({
    name: 'groupedMatmul: one product per expert, whatever rows each has, none included',
    shapes: fc.record({
      groups: fc.array(sizeOrNone(40), { minLength: 1, maxLength: 6 }),
      outer: size(70),
      inner: size(140),
      layout: layouts,
      dtype: weightDTypes,
      accumulate: fc.boolean(),
    }),
    runs: 40,
    always: [
      { groups: [0, 0], outer: 3, inner: 5, layout: 'tn', dtype: 'f32', accumulate: false },
      { groups: [0, 0], outer: 3, inner: 5, layout: 'nt', dtype: 'f32', accumulate: false },
      { groups: [1, 0, 200], outer: 40, inner: 280, layout: 'nt', dtype: 'f32', accumulate: false },
      { groups: [150, 3], outer: 150, inner: 33, layout: 'tn', dtype: 'f32', accumulate: true },
    ],
    lay: (bench, { groups, outer, inner, layout, dtype, accumulate }) => {
      const offsets = [0];
      for (const rows of groups) offsets.push(at(offsets, offsets.length - 1) + rows);
      const rows = at(offsets, groups.length);
      const [n, k] = [outer, inner];
      const groupOf = (row: number): number => offsets.findIndex((end) => end > row) - 1;
      const offsetsTensor = bench.ints([offsets.length], offsets).tensor;
      if (layout === 'tn') {
        const [a, b] = [bench.floats([rows, k]), bench.floats([rows, n])];
        const shape = [groups.length, k, n];
        const out = accumulate ? bench.changed('f32', shape) : undefined;
        const tensor = out?.tensor ?? bench.output(shape);
        const weight = { values: b.tensor };
        const args = { out: tensor, a: a.tensor, b: weight, offsets: offsetsTensor };
        bench.kernels.groupedMatmul({ ...args, layout, accumulate });
        bench.expect(tensor, () =>
          sums({
            count: groups.length * k * n,
            numTerms: (element) => at(groups, Math.floor(element / (k * n))),
            before: out?.values,
            term: (element, s) => {
              const row = at(offsets, Math.floor(element / (k * n))) + s;
              const column = Math.floor(element / n) % k;
              return at(a.values, row * k + column) * at(b.values, row * n + (element % n));
            },
          }),
        );
        return;
      }
      const isForward = layout === 'nt';
      const [depth, width] = isForward ? [k, n] : [n, k];
      const a = bench.floats([rows, depth]);
      const b = bench.weight(dtype, [groups.length, n, k]);
      const out = accumulate ? bench.changed('f32', [rows, width]) : undefined;
      const tensor = out?.tensor ?? bench.output([rows, width]);
      const args = { out: tensor, a: a.tensor, b: b.weight, offsets: offsetsTensor };
      bench.kernels.groupedMatmul({ ...args, layout, accumulate });
      bench.expect(tensor, () =>
        sums({
          count: rows * width,
          numTerms: depth,
          before: out?.values,
          term: (element, s) => {
            const [row, j] = [Math.floor(element / width), element % width];
            const matrix = groupOf(row) * n * k;
            const right = at(b.values, matrix + (isForward ? j * k + s : s * k + j));
            return at(a.values, row * depth + s) * right;
          },
        }),
      );
    },
  }),

  kernelCase({
    name: 'products that end in SwiGLU or its gradient',
    shapes: fc.record({
      groups: fc.array(sizeOrNone(40), { minLength: 1, maxLength: 4 }),
      width: fc.oneof(size(70), fc.constantFrom(16, 32, 64)),
      depth: size(90),
      isForward: fc.boolean(),
      dtype: weightDTypes,
    }),
    runs: 40,
    // Whole tiles and not, few rows, more columns than a block has, rows for several pieces.
    always: [
      { groups: [1400], width: 32, depth: 5, isForward: true, dtype: 'f32' },
      { groups: [30, 0, 2], width: 320, depth: 20, isForward: true, dtype: 'bf16' },
      { groups: [30, 0, 2], width: 576, depth: 20, isForward: false, dtype: 'f32' },
      { groups: [50], width: 192, depth: 600, isForward: true, dtype: 'f32' },
      { groups: [3], width: 48, depth: 30, isForward: false, dtype: 'f32' },
    ],
    lay: (bench, { groups, width, depth, isForward, dtype }) => {
      const offsets = [0];
      for (const rows of groups) offsets.push(at(offsets, offsets.length - 1) + rows);
      const rows = at(offsets, groups.length);
      const groupOf = (row: number): number => offsets.findIndex((end) => end > row) - 1;
      const b = isForward ? [2 * width, depth] : [depth, width];
      const isGrouped = groups.length > 1;
      const weight = bench.weight(dtype, isGrouped ? [groups.length, ...b] : b);
      const a = bench.floats([rows, depth]);
      const out = bench.output([rows, 2 * width]);
      const hidden = bench.output([rows, width]);
      const gateUp = bench.floats([rows, 2 * width]);
      const end = isForward ? { swiglu_TF: hidden } : { gateUp_T2F: gateUp.tensor };
      const layout = isForward ? ('nt' as const) : ('nn' as const);
      if (isGrouped) {
        const cut = bench.ints([offsets.length], offsets).tensor;
        const args = { out, a: a.tensor, b: weight.weight, offsets: cut, layout };
        bench.kernels.groupedMatmul({ ...args, ...end });
      } else {
        bench.kernels.matmul({ out, a: a.tensor, b: weight.weight, layout, ...end });
      }
      const columns = isForward ? 2 * width : width;
      const product = (element: number): number => {
        const [row, j] = [Math.floor(element / columns), element % columns];
        const matrix = groupOf(row) * at(b, 0) * at(b, 1);
        let sum = 0;
        for (let s = 0; s < depth; s++) {
          const right = at(weight.values, matrix + (isForward ? j * depth + s : s * width + j));
          sum += at(a.values, row * depth + s) * right;
        }
        return sum;
      };
      const sigmoid = (g: number): number => 1 / (1 + Math.exp(-g));
      if (isForward) {
        const all = once(() => Float64Array.from({ length: rows * columns }, (_, i) => product(i)));
        bench.expect(out, () => withinLargest(all(), (depth + 8) * 2 ** -24));
        bench.expect(hidden, () => {
          const made = all();
          const values = Float64Array.from({ length: rows * width }, (_, i) => {
            const gate = at(made, Math.floor(i / width) * columns + (i % width));
            const up = at(made, Math.floor(i / width) * columns + width + (i % width));
            return gate * sigmoid(gate) * up;
          });
          return withinLargest(values, (2 * depth + 16) * 2 ** -24, 1);
        });
        return;
      }
      bench.expect(out, () => {
        const values = new Float64Array(rows * 2 * width);
        for (let i = 0; i < rows * width; i++) {
          const at0 = Math.floor(i / width) * 2 * width + (i % width);
          const [gate, up] = [at(gateUp.values, at0), at(gateUp.values, at0 + width)];
          const [d, s] = [product(i), sigmoid(gate)];
          values[at0] = d * up * s * (1 + gate * (1 - s));
          values[at0 + width] = d * gate * s;
        }
        return withinLargest(values, (depth + 16) * 2 ** -24);
      });
    },
  }),

  kernelCase({
    name: 'headMatmul: each head meets its own rows of the matrix, and only those asked for',
    shapes: fc.record({
      tokens: sizeOrNone(20),
      heads: size(5),
      before: fc.nat(40),
      rows: size(70),
      after: fc.nat(40),
      width: size(140),
      layout: fc.constantFrom('nn' as const, 'nt' as const),
      dtype: weightDTypes,
    }),
    runs: 50,
    lay: (bench, { tokens, heads, before, rows, after, width, layout, dtype }) => {
      const rowsPerHead = before + rows + after;
      const [depth, outer] = layout === 'nn' ? [rows, width] : [width, rows];
      const a = bench.floats([tokens, heads, depth]);
      const b = bench.weight(dtype, [heads * rowsPerHead, width]);
      const out = bench.output([tokens, heads, outer]);
      const block = { rowsPerHead, firstRow: before, numRows: rows };
      bench.kernels.headMatmul({ out, a: a.tensor, b: b.weight, ...block, layout });
      bench.expect(out, () =>
        sums({
          count: tokens * heads * outer,
          numTerms: depth,
          term: (element, s) => {
            const [row, j] = [Math.floor(element / outer), element % outer];
            const [inner, column] = layout === 'nn' ? [s, j] : [j, s];
            const bRow = (row % heads) * rowsPerHead + before + inner;
            return at(a.values, row * depth + s) * at(b.values, bRow * width + column);
          },
        }),
      );
    },
  }),
];
