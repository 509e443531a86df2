/**
 * One layer's two decode operations, laid out on some kernels with numbers that depend on its shape
 * alone, so that every backend can be asked the same.
 */
import { at } from '../../src/base/assert.ts';
import { Random } from '../../src/base/random.ts';
import type {
  F32,
  FeedForwardDecodeArgs,
  I32,
  Kernels,
  LatentCache,
  MlaDecodeArgs,
  RoutingRule,
  Weight,
} from '../../src/kernels/kernels.ts';
import { type CacheDType, cacheColumns, type LatentWidths } from '../../src/kernels/latentCache.ts';
import {
  elements,
  hostArray,
  numColumns,
  numElements,
  numRows,
  reshape,
  slices,
} from '../../src/tensor/tensor.ts';
import { normalNumbers } from '../kernelContract/codes.ts';

export type WeightDType = Weight['values']['dtype'];

/** Sizes of a layer, and what is cached when it runs. */
export interface DecodeShape {
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

const RULE: RoutingRule = {
  scoring: 'sigmoid',
  numGroups: 4,
  groupsKept: 2,
  groupScore: 'sumOfTopTwo',
  expertsPerToken: 3,
  isNormalised: true,
  scale: 2.5,
};

/** One call of each operation. */
export class DecodeLayer {
  readonly kernels: Kernels;
  readonly attention: MlaDecodeArgs;
  readonly feedForward: FeedForwardDecodeArgs;
  readonly #arena;
  readonly #random = new Random(7, 'decode operations');

  constructor(kernels: Kernels, shape: DecodeShape) {
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
  #cache(
    { cache = 'f32', ...shape }: DecodeShape,
    [blocks = 0, blockSize = 0]: number[],
  ): LatentCache {
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

  #weight(shape: DecodeShape, rows: number, depth: number): Weight {
    return this.#stored(shape, [rows, depth]);
  }

  #stack(shape: DecodeShape, experts: number, rows: number, depth: number): Weight {
    return this.#stored(shape, [experts, rows, depth]);
  }

  #stored({ dtype, isListed }: DecodeShape, shape: readonly number[]): Weight {
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
