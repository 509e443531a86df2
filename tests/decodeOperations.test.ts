/**
 * The halves of a block over a few rows, on every backend: what their parts give one by one, each
 * row to the bit as it would be alone, and the same for any number of threads.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at } from '../src/base/assert.ts';
import { Random } from '../src/base/random.ts';
import type {
  F32,
  FeedForwardDecodeArgs,
  I32,
  Kernels,
  LatentCache,
  MlaDecodeArgs,
  RoutingRule,
  Weight,
} from '../src/kernels/kernels.ts';
import { type CacheDType, cacheColumns, type LatentWidths } from '../src/kernels/latentCache.ts';
import { createReferenceKernels } from '../src/kernels/reference.ts';
import {
  elements,
  hostArray,
  numColumns,
  numElements,
  numRows,
  reshape,
  slices,
} from '../src/tensor/tensor.ts';
import { normalNumbers } from './kernelContract/codes.ts';
import { implementations } from './kernelContract/implementations.ts';

type WeightDType = Weight['values']['dtype'];

interface Shape {
  readonly dtype: WeightDType;
  /** f32 when left out. */
  readonly cache?: CacheDType;
  /** f8e4m3 with its special codes listed, many of them. */
  readonly isListed?: boolean;
  readonly hidden: number;
  readonly heads: number;
  readonly nope: number;
  readonly rope: number;
  readonly value: number;
  readonly latent: number;
  readonly query: number | null;
  readonly mlp: number;
  readonly experts: number;
  readonly width: number;
  /** Cached positions before the step, and new rows, of each sequence. */
  readonly sequences: readonly (readonly [before: number, rows: number])[];
}

const SMALL: Shape = {
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
const WIDE: Shape = {
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
const shapes: readonly Shape[] = [
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

const RULE: RoutingRule = {
  scoring: 'sigmoid',
  numGroups: 4,
  groupsKept: 2,
  groupScore: 'sumOfTopTwo',
  expertsPerToken: 3,
  isNormalised: true,
  scale: 2.5,
};

/** One call of each, laid out on some kernels with numbers that depend on the shape alone. */
class Layer {
  readonly kernels: Kernels;
  readonly attention: MlaDecodeArgs;
  readonly feedForward: FeedForwardDecodeArgs;
  readonly #arena;
  readonly #random = new Random(7, 'decode operations');

  constructor(kernels: Kernels, shape: Shape) {
    this.kernels = kernels;
    this.#arena = kernels.createArena('test');
    const { hidden, heads, nope, rope, value, latent, query, mlp, experts, width } = shape;
    const blockSize = 16;
    const longest = Math.max(...shape.sequences.map(([before, rows]) => before + rows));
    const perSequence = Math.ceil(longest / blockSize);
    const numBlocks = perSequence * shape.sequences.length;
    // Blocks of the sequences in turns, so that none lies in one piece.
    const table = shape.sequences.flatMap((_, s) =>
      Array.from({ length: perSequence }, (_, i) => i * shape.sequences.length + s),
    );
    const rows = shape.sequences.flatMap(([before, count], s) =>
      Array.from({ length: count }, (_, i) => {
        const position = before + i;
        const block = at(table, s * perSequence + Math.floor(position / blockSize));
        return { s, position, slot: block * blockSize + (position % blockSize) };
      }),
    );
    const x_TD = this.#floats([rows.length, hidden], 1);
    this.attention = {
      x_TD,
      positions_T: this.#ints(rows.map(({ position }) => position)),
      slots_T: this.#ints(rows.map(({ slot }) => slot)),
      cache: this.#cache(shape, [numBlocks, blockSize]),
      blockTable: this.#ints(table, [shape.sequences.length, perSequence]),
      sequence_T: this.#ints(rows.map(({ s }) => s)),
      length_T: this.#ints(rows.map(({ position }) => position + 1)),
      table: this.#floats([longest, rope / 2, 2], 1),
      gain: this.#floats([hidden], 1),
      ...(query !== null && {
        qLatent: { down: this.#weight(shape, query, hidden), gain: this.#floats([query], 1) },
      }),
      q: this.#weight(shape, heads * (nope + rope), query ?? hidden),
      kvDown: this.#weight(shape, latent + rope, hidden),
      kvGain: this.#floats([latent], 1),
      kv: this.#weight(shape, heads * (nope + value), latent),
      o: this.#weight(shape, hidden, heads * value),
      numHeads: heads,
      eps: 1e-6,
      latentEps: 1e-6,
      scale: (nope + rope) ** -0.5,
    };
    const counts_E = this.#ints(new Array<number>(experts).fill(0));
    this.feedForward = {
      x_TD,
      gain: this.#floats([hidden], 1),
      eps: 1e-6,
      ...(mlp > 0 && {
        mlp: {
          gateUp: this.#weight(shape, 2 * mlp, hidden),
          down: this.#weight(shape, hidden, mlp),
        },
      }),
      ...(experts > 0 && {
        routed: {
          router: { values: this.#floats([experts, hidden], hidden ** -0.5) },
          bias_E: this.#floats([experts], 0.1),
          counts_E,
          gateUp: this.#stack(shape, experts, 2 * width, hidden),
          down: this.#stack(shape, experts, hidden, width),
          rule: RULE,
        },
      }),
    };
  }

  /** Both halves over rows begin … end. */
  run(begin: number, end: number): void {
    const part = (tensor: I32): I32 => elements(tensor, begin, end);
    const x_TD = slices(this.attention.x_TD, begin, end);
    const { attention, feedForward } = this;
    this.kernels.mlaDecode({
      ...attention,
      x_TD,
      positions_T: part(attention.positions_T),
      slots_T: part(attention.slots_T),
      sequence_T: part(attention.sequence_T),
      length_T: part(attention.length_T),
    });
    this.kernels.feedForwardDecode({ ...feedForward, x_TD });
  }

  async outputs(): Promise<{ x: Float32Array; cache: Float32Array; counts: Int32Array | null }> {
    const { x_TD, kv, kvDown } = this.attention;
    const { routed } = this.feedForward;
    const latent = numColumns(kv.values);
    const cached = this.#readCache({ latent, rope: numRows(kvDown.values) - latent });
    return {
      x: (await this.kernels.read(x_TD)).slice(),
      cache: (await this.kernels.read(cached)).slice(),
      counts: routed === undefined ? null : (await this.kernels.read(routed.counts_E)).slice(),
    };
  }

  get numRows(): number {
    return at(this.attention.x_TD.shape, 0);
  }

  /** A cache of normal numbers, rounded to its type. */
  #cache({ cache = 'f32', ...shape }: Shape, [blocks = 0, blockSize = 0]: number[]): LatentCache {
    const widths = { latent: shape.latent, rope: shape.rope };
    const columns = cacheColumns(cache, widths);
    const tensor = this.#arena.allocate(cache, [blocks, blockSize, columns]);
    const slots = blocks * blockSize;
    this.kernels.appendCache({
      cache: tensor,
      latent_TC: this.#floats([slots, shape.latent], 1),
      kPe_TP: this.#floats([slots, shape.rope], 1),
      slots_T: this.#ints(Array.from({ length: slots }, (_, slot) => slot)),
    });
    return tensor;
  }

  /** What the cache holds: all latents, then all keys. */
  #readCache({ latent, rope }: LatentWidths): F32 {
    const { cache } = this.attention;
    const slots = numRows(cache);
    const all = this.#arena.allocate('f32', [slots * (latent + rope)]);
    this.kernels.readCache({
      latent_TC: reshape(elements(all, 0, slots * latent), [slots, latent]),
      kPe_TP: reshape(elements(all, slots * latent, slots * (latent + rope)), [slots, rope]),
      cache,
      slots_T: this.#ints(Array.from({ length: slots }, (_, slot) => slot)),
    });
    return all;
  }

  #floats(shape: readonly number[], deviation: number): F32 {
    const tensor = this.#arena.allocate('f32', shape);
    const values = normalNumbers(this.#random, numElements(shape));
    for (let i = 0; i < values.length; i++) values[i] = deviation * at(values, i);
    this.kernels.write(tensor, values);
    return tensor;
  }

  #ints(values: readonly number[], shape: readonly number[] = [values.length]): I32 {
    const tensor = this.#arena.allocate('i32', shape);
    this.kernels.write(tensor, Int32Array.from(values));
    return tensor;
  }

  #weight(shape: Shape, rows: number, depth: number): Weight {
    return this.#stored(shape, [rows, depth]);
  }

  #stack(shape: Shape, experts: number, rows: number, depth: number): Weight {
    return this.#stored(shape, [experts, rows, depth]);
  }

  #stored({ dtype, isListed }: Shape, shape: readonly number[]): Weight {
    const [depth = 1, rows = 1] = shape.toReversed();
    const x = this.#floats(shape, depth ** -0.5);
    if (isListed === true) this.#makeSubnormals(x);
    if (dtype === 'f32') return { values: x };
    if (dtype !== 'f8e4m3') {
      const values = this.#arena.allocate(dtype, shape);
      this.kernels.copy({ out: values, x });
      return { values };
    }
    const codes = this.#arena.allocate('f8e4m3', shape);
    const grid = [Math.ceil(rows / 128), Math.ceil(depth / 128)];
    const scales = this.#arena.allocate('f32', [...shape.slice(0, -2), ...grid]);
    this.kernels.quantizeFp8({ codes, scales, x, tile: '128x128', scaleFormat: 'f32' });
    const weight: Weight = { values: codes, scales };
    if (isListed === true) {
      const begins = this.#arena.allocate('i32', [numRows(codes) + 1]);
      const entries = this.#arena.allocate('i32', [numElements(shape)]);
      this.kernels.findSpecialCodes({ codes, begins, entries });
      weight.specialCodes = { begins, entries };
    }
    return weight;
  }

  /** Every 37th weight a thousandth and less of its block's largest. */
  #makeSubnormals(x: F32): void {
    const values = hostArray(x).slice();
    for (let i = 0; i < values.length; i += 37) values[i] = at(values, i) / (2000 + i);
    this.kernels.write(x, values);
  }
}

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

function boundsOf({ dtype, cache = 'f32' }: Shape): { readonly x: number; readonly cache: number } {
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
}: Shape): string =>
  `${dtype}${isListed ? ', special codes listed' : ''}, ${hidden} wide, ` +
  `${cache === undefined ? '' : `a ${cache} cache, `}` +
  `${query === null ? 'no query latent' : `query ${query}`}, ` +
  `mlp ${mlp}, ${experts} experts, ${sequences.map((each) => each.join('+')).join(' ')}`;

for (const shape of shapes) {
  const expected = (async () => {
    const layer = new Layer(createReferenceKernels(), shape);
    layer.run(0, layer.numRows);
    return layer.outputs();
  })();
  const seen = new Map<string, Float32Array>();
  for (const { name, makeKernels } of implementations) {
    test(`${name}: a block over few rows is the sum of its parts (${sentence(shape)})`, async () => {
      const { x, cache, counts } = await expected;
      const layer = new Layer(makeKernels(), shape);
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
      const together = new Layer(makeKernels(), shape);
      together.run(0, together.numRows);
      const alone = new Layer(makeKernels(), shape);
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
