/**
 * What the contract over all backends does not ask of the C++ products: the sizes where their
 * blocks end, and bits that depend neither on the thread count nor on the rows computed beside.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../src/base/random.ts';
import type { F32, Kernels, Layout, Weight } from '../../src/kernels/kernels.ts';
import { createNativeKernels } from '../../src/kernels/native.ts';
import { createReferenceKernels } from '../../src/kernels/reference.ts';
import { loadAddon } from '../../src/runtime/loadAddon.ts';
import type { Arena } from '../../src/tensor/arena.ts';
import { numElements, slices } from '../../src/tensor/tensor.ts';

const loaded = loadAddon();
const LAYOUTS: readonly Layout[] = ['nt', 'nn', 'tn'];

interface Sizes {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

function randomTensor(kernels: Kernels, arena: Arena, shape: number[], random: Random): F32 {
  const tensor = arena.allocate('f32', shape);
  const values = Float32Array.from({ length: numElements(shape) }, () => random.uniform() - 0.5);
  kernels.write(tensor, values);
  return tensor;
}

/** Numbers by what they are for: every instruction set and number of threads asks for the same. */
const numbers = new Map<string, readonly [Float32Array, Float32Array]>();
function numbersOf({ m, n, k }: Sizes): readonly [Float32Array, Float32Array] {
  const key = `${m} ${n} ${k}`;
  const random = new Random(m * 7 + n * 31 + k);
  const draw = (length: number) => Float32Array.from({ length }, () => random.uniform() - 0.5);
  const known = numbers.get(key) ?? ([draw(m * k), draw(n * k)] as const);
  numbers.set(key, known);
  return known;
}

/** Operands of one product, the same numbers for whichever kernels. */
function operands(kernels: Kernels, sizes: Sizes, layout: Layout): { a: F32; b: Weight } {
  const { m, n, k } = sizes;
  const arena = kernels.createArena('operands');
  const [left, right] = numbersOf(sizes);
  const a = arena.allocate('f32', layout === 'tn' ? [k, m] : [m, k]);
  const b = arena.allocate('f32', layout === 'nt' ? [n, k] : [k, n]);
  kernels.write(a, left);
  kernels.write(b, right);
  return { a, b: { values: b } };
}

/** The reference is slow, and every instruction set asks it the same. */
const expectations = new Map<string, Promise<Float32Array>>();
function expectedProduct(sizes: Sizes, layout: Layout): Promise<Float32Array> {
  const key = JSON.stringify([sizes, layout]);
  const known = expectations.get(key) ?? product(createReferenceKernels(), sizes, layout);
  expectations.set(key, known);
  return known;
}

async function product(kernels: Kernels, sizes: Sizes, layout: Layout): Promise<Float32Array> {
  const out = kernels.createArena('out').allocate('f32', [sizes.m, sizes.n]);
  kernels.matmul({ out, ...operands(kernels, sizes, layout), layout });
  return kernels.read(out);
}

/** Around the ends of tiles, panels, blocks and slices of every instruction set. */
const EDGES: readonly Sizes[] = [
  { m: 1, n: 513, k: 1025 },
  { m: 8, n: 385, k: 257 },
  { m: 9, n: 512, k: 512 },
  { m: 16, n: 33, k: 511 },
  { m: 17, n: 31, k: 513 },
  { m: 97, n: 768, k: 256 },
  { m: 223, n: 47, k: 129 },
  { m: 225, n: 545, k: 40 },
];

/** Cut by rows, by columns, into a grid, and too small to cut. */
const MANY_PARTS: readonly Sizes[] = [
  { m: 1, n: 513, k: 1025 },
  { m: 600, n: 47, k: 40 },
  { m: 150, n: 320, k: 300 },
  { m: 17, n: 31, k: 13 },
];

if ('reason' in loaded) {
  test('native products', { skip: loaded.reason }, () => {});
} else {
  const { addon } = loaded;

  for (const isa of addon.isas) {
    test(`native ${isa}: products are right where blocks end`, async () => {
      const kernels = createNativeKernels(addon, { isa, threads: 2 });
      for (const sizes of EDGES) {
        for (const layout of LAYOUTS) {
          const actual = await product(kernels, sizes, layout);
          const expected = await expectedProduct(sizes, layout);
          // Terms are at most ¼: rounding errors of a chain of k of them, with room.
          const tolerance = 2 ** -24 * sizes.k;
          const wrong = actual.findIndex(
            (value, i) => !(Math.abs(value - (expected[i] ?? 0)) <= tolerance),
          );
          assert.equal(wrong, -1, `${layout} ${JSON.stringify(sizes)} at ${wrong}`);
        }
      }
    });

    test(`native ${isa}: a product has the same bits on 1, 2, 3 and 7 threads`, async () => {
      for (const sizes of MANY_PARTS) {
        for (const layout of LAYOUTS) {
          const one = await product(createNativeKernels(addon, { isa, threads: 1 }), sizes, layout);
          for (const threads of [2, 3, 7]) {
            const kernels = createNativeKernels(addon, { isa, threads });
            const many = await product(kernels, sizes, layout);
            assert.deepEqual(many, one, `${layout} ${JSON.stringify(sizes)}, ${threads} threads`);
          }
        }
      }
    });

    test(`native ${isa}: up to 16 rows, a row has the same bits whatever rows come with it`, async () => {
      const kernels = createNativeKernels(addon, { isa, threads: 2 });
      const sizes = { m: 16, n: 70, k: 200 };
      for (const layout of ['nt', 'nn'] as const) {
        const { a, b } = operands(kernels, sizes, layout);
        const arena = kernels.createArena('rows');
        const all = arena.allocate('f32', [sizes.m, sizes.n]);
        kernels.matmul({ out: all, a, b, layout });
        const together = await kernels.read(all);
        for (let count = 1; count < sizes.m; count++) {
          const out = arena.allocate('f32', [count, sizes.n]);
          kernels.matmul({ out, a: slices(a, 0, count), b, layout });
          const some = await kernels.read(out);
          assert.deepEqual(some, together.slice(0, count * sizes.n), `${layout}, ${count} rows`);
        }
      }
    });

    test(`native ${isa}: experts have the same bits on 1, 2 and 5 threads, however rows fall`, async () => {
      const counts = [0, 100, 1, 3, 0, 17, 260, 0];
      const offsets = [0];
      for (const count of counts) offsets.push((offsets.at(-1) ?? 0) + count);
      const rows = offsets.at(-1) ?? 0;
      const run = async (threads: number, layout: Layout): Promise<Float32Array> => {
        const kernels = createNativeKernels(addon, { isa, threads });
        const arena = kernels.createArena('experts');
        const random = new Random(5);
        const offsetTensor = arena.allocate('i32', [offsets.length]);
        kernels.write(offsetTensor, Int32Array.from(offsets));
        const [n, k] = [90, 150];
        const b = layout === 'tn' ? [rows, n] : [counts.length, n, k];
        const shape = { nt: [rows, n], nn: [rows, k], tn: [counts.length, k, n] }[layout];
        const out = arena.allocate('f32', shape);
        kernels.fill({ out, value: Number.NaN });
        kernels.groupedMatmul({
          out,
          a: randomTensor(kernels, arena, [rows, layout === 'nn' ? n : k], random),
          b: { values: randomTensor(kernels, arena, b, random) },
          offsets: offsetTensor,
          layout,
        });
        return kernels.read(out);
      };
      for (const layout of LAYOUTS) {
        const one = await run(1, layout);
        assert.ok(one.every(Number.isFinite), `${layout}: all of the output is written`);
        for (const threads of [2, 5]) {
          assert.deepEqual(await run(threads, layout), one, `${layout}, ${threads} threads`);
        }
      }
    });
  }
}
