/**
 * The halves of a block over a few rows, on every backend: what their parts give one by one, each
 * row to the bit as it would be alone, and the same for any number of threads.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at } from '../src/base/assert.ts';
import { createReferenceKernels } from '../src/kernels/reference.ts';
import { implementations } from './kernelContract/implementations.ts';
import { DecodeLayer, type DecodeShape, type WeightDType } from './support/decodeLayer.ts';

const SMALL: DecodeShape = {
  dtype: 'f32',
  hidden: 40,
  heads: 3,
  nope: 10,
  rope: 6,
  value: 7,
  latent: 21,
  query: 19,
  mlp: 11,
  experts: 8,
  width: 9,
  sequences: [[5, 1]],
};
const WIDE: DecodeShape = {
  ...SMALL,
  hidden: 256,
  heads: 16,
  nope: 64,
  rope: 32,
  value: 64,
  latent: 128,
  query: 192,
  mlp: 128,
  experts: 16,
  width: 128,
  sequences: [[70, 1]],
};
const shapes: readonly DecodeShape[] = [
  SMALL,
  {
    ...SMALL,
    query: null,
    sequences: [
      [0, 3],
      [9, 2],
      [64, 1],
    ],
  },
  {
    ...SMALL,
    dtype: 'f16',
    mlp: 0,
    sequences: [
      [3, 2],
      [128, 3],
    ],
  },
  {
    ...SMALL,
    dtype: 'bf16',
    experts: 0,
    sequences: [
      [1, 5],
      [2, 4],
    ],
  },
  {
    ...SMALL,
    dtype: 'f8e4m3',
    sequences: [
      [7, 1],
      [8, 1],
    ],
  },
  { ...SMALL, dtype: 'f8e4m3', isListed: true, sequences: [[7, 1]] },
  {
    ...WIDE,
    dtype: 'f8e4m3',
    isListed: true,
    sequences: [
      [130, 1],
      [20, 2],
      [0, 6],
    ],
  },
  WIDE,
  {
    ...WIDE,
    dtype: 'f8e4m3',
    sequences: [
      [130, 1],
      [20, 2],
      [0, 6],
    ],
  },
  {
    ...WIDE,
    cache: 'f8e4m3',
    sequences: [
      [130, 1],
      [70, 3],
    ],
  },
  {
    ...WIDE,
    cache: 'bf16',
    sequences: [
      [130, 1],
      [70, 3],
    ],
  },
  {
    ...SMALL,
    cache: 'f8e4m3',
    sequences: [
      [130, 1],
      [5, 2],
    ],
  },
  {
    ...SMALL,
    cache: 'bf16',
    sequences: [
      [130, 1],
      [5, 2],
    ],
  },
  {
    ...WIDE,
    dtype: 'bf16',
    sequences: [
      [33, 1],
      [20, 1],
      [0, 8],
      [63, 6],
    ],
  },
];

/**
 * Of |got − expected| / (1 + |expected|), about four times the worst of these shapes on AVX-512,
 * AVX2, SSE2 and WebAssembly: 7.4e-7 (f32), 6.7e-7 (f16), 1.9e-6 (bf16) and 1.5e-6 (f8e4m3) of a
 * row, 4.9e-7, 2.4e-7, 9.1e-7 and 5.2e-7 of the cache. The weights are the same to the bit, so what
 * differs is the order of float32 sums of a few hundred terms; a wrong row differs by about 1.
 */
const BOUNDS: Readonly<Record<WeightDType, { readonly x: number; readonly cache: number }>> = {
  f32: { x: 3e-6, cache: 2e-6 },
  f16: { x: 3e-6, cache: 1e-6 },
  bf16: { x: 8e-6, cache: 4e-6 },
  f8e4m3: { x: 6e-6, cache: 2e-6 },
};

/**
 * A number that falls between two codes of a narrow cache may be rounded to either, by the last bit
 * of its float32 sum: the cache then differs by a code's distance, 2⁻⁷ of a bf16 and 2⁻³ of an f8,
 * and a row by the little that one of some hundred cached numbers has in it.
 */
const NARROW_BOUNDS: Readonly<Record<'bf16' | 'f8e4m3', { x: number; cache: number }>> = {
  bf16: { x: 1e-4, cache: 2 ** -7 },
  f8e4m3: { x: 1e-3, cache: 2 ** -3 },
};

function boundsOf({ dtype, cache = 'f32' }: DecodeShape): {
  readonly x: number;
  readonly cache: number;
} {
  return cache === 'f32' ? BOUNDS[dtype] : NARROW_BOUNDS[cache];
}

const sentence = ({
  dtype,
  cache,
  isListed,
  hidden,
  query,
  mlp,
  experts,
  sequences,
}: DecodeShape): string =>
  `${dtype}${isListed ? ', special codes listed' : ''}, ${hidden} wide, ` +
  `${cache === undefined ? '' : `a ${cache} cache, `}` +
  `${query === null ? 'no query latent' : `query ${query}`}, ` +
  `mlp ${mlp}, ${experts} experts, ${sequences.map((each) => each.join('+')).join(' ')}`;

for (const shape of shapes) {
  const expected = (async () => {
    const layer = new DecodeLayer(createReferenceKernels(), shape);
    layer.run(0, layer.numRows);
    return layer.outputs();
  })();
  const seen = new Map<string, Float32Array>();
  for (const { name, makeKernels } of implementations) {
    test(`${name}: a block over few rows is the sum of its parts (${sentence(shape)})`, async () => {
      const { x, cache, counts } = await expected;
      const layer = new DecodeLayer(makeKernels(), shape);
      layer.run(0, layer.numRows);
      const got = await layer.outputs();
      const bounds = boundsOf(shape);
      near(got.x, x, bounds.x);
      near(got.cache, cache, bounds.cache);
      assert.deepEqual(got.counts, counts);
      const isa = name.split(',')[0] ?? name;
      const before = seen.get(isa);
      if (before !== undefined) assert.deepEqual(got.x, before, 'another number of threads');
      seen.set(isa, got.x);
    });

    test(`${name}: every row is as it would be alone (${sentence(shape)})`, async () => {
      const together = new DecodeLayer(makeKernels(), shape);
      together.run(0, together.numRows);
      const alone = new DecodeLayer(makeKernels(), shape);
      for (let row = 0; row < alone.numRows; row++) alone.run(row, row + 1);
      assert.deepEqual(await alone.outputs(), await together.outputs());
    });
  }
}

function near(got: Float32Array, expected: Float32Array, bound: number): void {
  assert.equal(got.length, expected.length);
  for (let i = 0; i < got.length; i++) {
    const [a, b] = [at(got, i), at(expected, i)];
    assert(Math.abs(a - b) <= bound * (1 + Math.abs(b)), `element ${i} is ${a}, not ${b}`);
  }
}
