/**
 * Attention to long caches, around the places where its positions are cut into parts that are
 * attended to one by one and put together: every 128 positions up to 2,048 and every 1,024 from
 * there (`csrc/absorbedAttention.inl`), every 2,048 in blocks of 64 (`csrc/decodeAttention.h`).
 *
 * A position dropped or counted twice must show among thousands, so those on either side of a
 * border weigh some hundred times as much as others.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at } from '../src/base/assert.ts';
import { Random } from '../src/base/random.ts';
import type { F32, I32, Kernels, LatentCache } from '../src/kernels/kernels.ts';
import { type CacheDType, cacheColumns } from '../src/kernels/latentCache.ts';
import { createReferenceKernels } from '../src/kernels/reference.ts';
import type { Arena } from '../src/tensor/arena.ts';
import type { Tensor } from '../src/tensor/tensor.ts';
import { encodeCache } from './kernelContract/cacheCodes.ts';
import { implementations } from './kernelContract/implementations.ts';
import { TINY, UNIT } from './kernelContract/oracle.ts';
import { DecodeLayer, type DecodeShape } from './support/decodeLayer.ts';

const CACHES = ['f32', 'bf16', 'f8e4m3'] as const;
/** Before, on and behind borders of both kinds of parts. */
const LENGTHS = [
  ...[1, 64, 65, 127, 128, 129, 1920, 1921],
  ...[2047, 2048, 2049, 3071, 3072, 3073, 4095, 4096, 4097],
];
const LONGEST = Math.max(...LENGTHS);
const BLOCK_SIZE = 16;
const SIZES = { heads: 3, latent: 40, rope: 6 };
const WIDTH = SIZES.latent + SIZES.rope;
const SCALE = 1 / Math.sqrt(WIDTH);

/** A cached sequence whose borders weigh much, and one query per head, the same for every row. */
interface Attended {
  readonly dtype: CacheDType;
  readonly codes: ReturnType<typeof encodeCache>['codes'];
  /** `[position][WIDTH]`, rounded as the cache rounds. */
  readonly tokens: Float32Array;
  readonly table: Int32Array;
  readonly queries: Float32Array;
}

function attended(dtype: CacheDType): Attended {
  const random = new Random(11, 'borders');
  const { heads } = SIZES;
  const common = Float32Array.from({ length: WIDTH }, () => random.normal());
  const squared = common.reduce((sum, x) => sum + x * x, 0);
  const queries = Float32Array.from(
    { length: heads * WIDTH },
    (_, i) => at(common, i % WIDTH) + 0.2 * random.normal(),
  );
  const numbers = Float32Array.from({ length: LONGEST * WIDTH }, () => random.normal());
  for (const length of LENGTHS) {
    const first = (length - 1) * WIDTH;
    for (let i = 0; i < WIDTH; i++) {
      // A score of about 6 where others are about 1.
      numbers[first + i] = at(numbers, first + i) + (6 * at(common, i)) / (SCALE * squared);
    }
  }
  const numBlocks = Math.ceil(LONGEST / BLOCK_SIZE);
  const table = random.shuffle(Int32Array.from({ length: numBlocks }, (_, i) => i));
  const slots = new Float32Array(numBlocks * BLOCK_SIZE * WIDTH).fill(Number.NaN);
  const firstOf = (position: number): number =>
    (at(table, Math.floor(position / BLOCK_SIZE)) * BLOCK_SIZE + (position % BLOCK_SIZE)) * WIDTH;
  for (let position = 0; position < LONGEST; position++) {
    slots.set(numbers.subarray(position * WIDTH, (position + 1) * WIDTH), firstOf(position));
  }
  const { codes, values } = encodeCache(slots, { dtype, ...SIZES });
  const tokens = new Float32Array(LONGEST * WIDTH);
  for (let position = 0; position < LONGEST; position++) {
    const first = firstOf(position);
    tokens.set(values.subarray(first, first + WIDTH), position * WIDTH);
  }
  return { dtype, codes, tokens, table, queries };
}

/** In doubles, one after the other; bounds as those of the contract of `absorbedAttention`. */
function attendInDoubles(
  { tokens, queries }: Attended,
  length: number,
): {
  values: Float64Array;
  bounds: Float64Array;
} {
  const { heads, latent } = SIZES;
  const values = new Float64Array(heads * latent);
  const bounds = new Float64Array(heads * latent);
  for (let head = 0; head < heads; head++) {
    let [total, size] = [0, 0];
    const weights = Float64Array.from({ length }, (_, position) => {
      let [sum, magnitude] = [0, 0];
      for (let i = 0; i < WIDTH; i++) {
        const term = at(queries, head * WIDTH + i) * at(tokens, position * WIDTH + i) * SCALE;
        sum += term;
        magnitude += Math.abs(term);
      }
      size = Math.max(size, magnitude);
      total += Math.exp(sum);
      return Math.exp(sum);
    });
    for (let i = 0; i < latent; i++) {
      let magnitude = 0;
      for (let position = 0; position < length; position++) {
        const term = (at(weights, position) / total) * at(tokens, position * WIDTH + i);
        values[head * latent + i] = at(values, head * latent + i) + term;
        magnitude += Math.abs(term);
      }
      const share = UNIT * (2 * (WIDTH + 8) * size + length + 32);
      bounds[head * latent + i] = share * magnitude + TINY;
    }
  }
  return { values, bounds };
}

/** The same on some kernels. */
class LaidSequence {
  readonly #kernels: Kernels;
  readonly #arena: Arena;
  readonly #attended: Attended;
  readonly #cache: LatentCache;
  readonly #blockTable: I32;

  constructor(kernels: Kernels, attended: Attended) {
    const { dtype, codes, table } = attended;
    this.#kernels = kernels;
    this.#arena = kernels.createArena('borders');
    this.#attended = attended;
    const columns = cacheColumns(dtype, SIZES);
    this.#cache = this.#arena.allocate(dtype, [table.length, BLOCK_SIZE, columns]);
    kernels.write(this.#cache as Tensor, codes);
    this.#blockTable = this.#ints(table, [1, table.length]);
  }

  /** Rows that see so many positions, in this order. */
  async attend(lengths: readonly number[]): Promise<Float32Array[]> {
    const { heads, latent } = SIZES;
    const rows = lengths.length;
    const out_THC = this.#arena.allocate('f32', [rows, heads, latent]);
    this.#kernels.absorbedAttention({
      ...{ out_THC, cache: this.#cache, blockTable: this.#blockTable, scale: SCALE },
      q_THC: this.#queries(rows, { from: 0, end: latent }),
      qPe_THP: this.#queries(rows, { from: latent, end: WIDTH }),
      sequence_T: this.#ints(new Int32Array(rows)),
      length_T: this.#ints(Int32Array.from(lengths)),
    });
    const out = (await this.#kernels.read(out_THC)).slice();
    return lengths.map((_, t) => out.subarray(t * heads * latent, (t + 1) * heads * latent));
  }

  #queries(rows: number, { from, end }: { from: number; end: number }): F32 {
    const tensor = this.#arena.allocate('f32', [rows, SIZES.heads, end - from]);
    const isPart = (_: number, i: number): boolean => i % WIDTH >= from && i % WIDTH < end;
    const one = this.#attended.queries.filter(isPart);
    const all = Float32Array.from({ length: rows * one.length }, (_, i) => at(one, i % one.length));
    this.#kernels.write(tensor, all);
    return tensor;
  }

  #ints(values: Int32Array, shape: readonly number[] = [values.length]): I32 {
    const tensor = this.#arena.allocate('i32', shape);
    this.#kernels.write(tensor, values);
    return tensor;
  }
}

for (const dtype of CACHES) {
  const laid = attended(dtype);
  const expected = LENGTHS.map((length) => attendInDoubles(laid, length));

  test(`a position at a border shows among thousands (${dtype} cache)`, () => {
    for (const [i, length] of LENGTHS.entries()) {
      const { values, bounds } = at(expected, i);
      if (length === 1) continue;
      const without = attendInDoubles(laid, length - 1).values;
      const change = values.map((x, k) => Math.abs(x - at(without, k)) / at(bounds, k));
      assert.ok(Math.max(...change) > 20, `${length}: ${Math.max(...change)} bounds`);
    }
  });

  for (const { name, makeKernels } of implementations) {
    test(`${name}: absorbedAttention: parts are joined at every border (${dtype})`, async () => {
      const sequence = new LaidSequence(makeKernels(), laid);
      const together = await sequence.attend(LENGTHS);
      for (const [t, length] of LENGTHS.entries()) {
        const { values, bounds } = at(expected, t);
        for (const [i, got] of at(together, t).entries()) {
          const error = Math.abs(got - at(values, i));
          assert.ok(error <= at(bounds, i), `length ${length}, ${i}: ${got}, not ${values[i]}`);
        }
        const [alone] = await sequence.attend([length]);
        assert.deepEqual(alone, together[t], `a row of ${length} positions alone`);
      }
      const turned = await sequence.attend(LENGTHS.toReversed());
      assert.deepEqual(turned.toReversed(), together);
    });
  }
}

const SHAPE: DecodeShape = {
  ...{ dtype: 'f32', hidden: 40, heads: 9, nope: 10, rope: 6, value: 7, latent: 21, query: 19 },
  ...{ mlp: 11, experts: 0, width: 9 },
  // Rows of one sequence on either side of a border, and others around it.
  sequences: [
    [2047, 3],
    [4094, 4],
    [2046, 1],
  ],
};

/**
 * Of |got − expected| / (1 + |expected|) of a row. The worst of all backends is 6.2e-7; a row that
 * sees one position less differs by 3.6e-4 and more. Between the two lies a latent that fell
 * between two codes of a narrow cache and was rounded to the other one: one of 2,047 positions by
 * 2⁻⁴ of itself, 3e-5.
 */
const BOUND = 5e-5;

for (const cache of CACHES) {
  const shape: DecodeShape = { ...SHAPE, cache };
  const expected = (async () => {
    const layer = new DecodeLayer(createReferenceKernels(), shape);
    layer.run(0, layer.numRows);
    return layer.outputs();
  })();
  const seen = new Map<string, Float32Array>();
  for (const { name, makeKernels } of implementations) {
    test(`${name}: mlaDecode: parts are joined at every border (${cache})`, async () => {
      const together = new DecodeLayer(makeKernels(), shape);
      together.run(0, together.numRows);
      const got = await together.outputs();
      const wanted = await expected;
      for (const [i, x] of got.x.entries()) {
        const y = at(wanted.x, i);
        assert.ok(Math.abs(x - y) <= BOUND * (1 + Math.abs(y)), `element ${i} is ${x}, not ${y}`);
      }
      const alone = new DecodeLayer(makeKernels(), shape);
      for (let row = 0; row < alone.numRows; row++) alone.run(row, row + 1);
      assert.deepEqual(await alone.outputs(), got, 'every row alone');
      const isa = name.split(',')[0] ?? name;
      const before = seen.get(isa);
      if (before !== undefined) assert.deepEqual(got.x, before, 'another number of threads');
      seen.set(isa, got.x);
    });
  }
}
