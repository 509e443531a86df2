/** The contract of the paged cache in its three types, and of attention over it. */
import fc from 'fast-check';
import { at } from '../../src/base/assert.ts';
import { type CacheDType, cacheColumns } from '../../src/kernels/latentCache.ts';
import { encodeCache } from './cacheCodes.ts';
import { type KernelCase, kernelCase, size, sizeOrNone } from './kernelCase.ts';
import { type Expectation, exactly, once, TINY, UNIT } from './oracle.ts';
import type { Workbench } from './workbench.ts';

const cacheTypes = ['f32', 'bf16', 'f8e4m3'] as const;
const cacheDTypes = fc.constantFrom<CacheDType>(...cacheTypes);

export const cacheCases: readonly KernelCase[] = [
  kernelCase({
    name: 'appendCache: each row in its slot, rounded, other slots untouched; readCache: back',
    shapes: fc.record({
      tokens: sizeOrNone(9),
      blocks: size(5),
      blockSize: fc.integer({ min: 3, max: 16 }),
      latent: size(200),
      rope: size(20),
      dtype: cacheDTypes,
    }),
    runs: 20,
    always: cacheTypes.map((dtype) => ({
      ...{ tokens: 40, blocks: 2, blockSize: 32, latent: 512, rope: 64 },
      dtype,
    })),
    lay: (bench, { tokens, blocks, blockSize, latent, rope, dtype }) => {
      const count = Math.min(tokens, blocks * blockSize);
      const widths = { latent, rope };
      const shape = [blocks, blockSize, cacheColumns(dtype, widths)];
      const before = bench.normal([blocks * blockSize, latent + rope]);
      const rows = encodeCache(before, { dtype, ...widths });
      const cache = bench.changed<CacheDType>(dtype, shape, rows.codes);
      const latents = bench.floats([count, latent]);
      const kPe = bench.floats([count, rope]);
      const all = Int32Array.from({ length: blocks * blockSize }, (_, i) => i);
      const slots = bench.random.shuffle(all.slice()).subarray(0, count);
      bench.kernels.appendCache({
        cache: cache.tensor,
        latent_TC: latents.tensor,
        kPe_TP: kPe.tensor,
        slots_T: bench.ints([count], slots).tensor,
      });
      const readLatents = bench.output([all.length, latent]);
      const readKeys = bench.output([all.length, rope]);
      bench.kernels.readCache({
        latent_TC: readLatents,
        kPe_TP: readKeys,
        cache: cache.tensor,
        slots_T: bench.ints([all.length], all).tensor,
      });
      const expected = once((): Float32Array => {
        const width = latent + rope;
        const values = before.slice();
        slots.forEach((slot, t) => {
          values.set(latents.values.subarray(t * latent, (t + 1) * latent), slot * width);
          values.set(kPe.values.subarray(t * rope, (t + 1) * rope), slot * width + latent);
        });
        return encodeCache(values, { dtype, ...widths }).values;
      });
      const columnsOf = (from: number, end: number): Expectation => {
        const rounded = expected();
        const width = latent + rope;
        return exactly(rounded.filter((_, i) => i % width >= from && i % width < end));
      };
      bench.expect(readLatents, () => columnsOf(0, latent));
      bench.expect(readKeys, () => columnsOf(latent, latent + rope));
    },
  }),
  kernelCase({
    name: 'absorbedAttention: attention over the first cached positions, in the table’s order',
    shapes: fc.record({
      lengths: fc.array(size(40), { minLength: 0, maxLength: 4 }),
      rowsPerSequence: size(3),
      heads: size(5),
      blockSize: size(16),
      latent: size(40),
      rope: size(16),
      dtype: cacheDTypes,
    }),
    runs: 60,
    always: cacheTypes.flatMap((dtype) => [
      { lengths: [300], rowsPerSequence: 1, heads: 2, blockSize: 64, latent: 64, rope: 16, dtype },
      {
        ...{ lengths: [5, 70], rowsPerSequence: 2, heads: 16, blockSize: 16 },
        ...{ latent: 512, rope: 64, dtype },
      },
    ]),
    lay: layAbsorbed,
  }),
];

interface AbsorbedShape {
  readonly lengths: readonly number[];
  readonly rowsPerSequence: number;
  readonly heads: number;
  readonly blockSize: number;
  readonly latent: number;
  readonly rope: number;
  readonly dtype: CacheDType;
}

/** Blocks lie in the cache in any order; what no row may see is NaN. */
function layAbsorbed(bench: Workbench, shape: AbsorbedShape): void {
  const { lengths, rowsPerSequence, heads, blockSize, latent, rope, dtype } = shape;
  const width = latent + rope;
  const blocksOf = lengths.map((length) => Math.ceil(length / blockSize));
  const maxBlocks = Math.max(1, ...blocksOf);
  const numBlocks = blocksOf.reduce((sum, blocks) => sum + blocks, 1);
  const free = bench.random.shuffle(Array.from({ length: numBlocks }, (_, i) => i));
  const table = new Int32Array(lengths.length * maxBlocks).fill(-1);
  const numbers = new Float32Array(numBlocks * blockSize * width).fill(Number.NaN);
  const slotOf = (sequence: number, position: number): number => {
    const block = at(table, sequence * maxBlocks + Math.floor(position / blockSize));
    return block * blockSize + (position % blockSize);
  };
  lengths.forEach((length, sequence) => {
    for (let i = 0; i < at(blocksOf, sequence); i++)
      table[sequence * maxBlocks + i] = free.pop() ?? -1;
    for (let position = 0; position < length; position++) {
      numbers.set(bench.normal([width]), slotOf(sequence, position) * width);
    }
  });
  const { codes, values: cache } = encodeCache(numbers, { dtype, latent, rope });
  const cacheShape = [numBlocks, blockSize, cacheColumns(dtype, { latent, rope })];
  // The last rows of a sequence, as a verified draft asks for them, in mixed order.
  const rows = lengths.flatMap((length, sequence) =>
    Array.from({ length: Math.min(rowsPerSequence, length) }, (_, i) => ({
      sequence,
      length: length - i,
    })),
  );
  bench.random.shuffle(rows);
  const q = bench.floats([rows.length, heads, latent]);
  const qPe = bench.floats([rows.length, heads, rope]);
  const scale = 1 / Math.sqrt(width);
  const out = bench.output([rows.length, heads, latent]);
  bench.kernels.absorbedAttention({
    out_THC: out,
    q_THC: q.tensor,
    qPe_THP: qPe.tensor,
    cache: bench.raw<CacheDType>(dtype, cacheShape, codes).tensor,
    blockTable: bench.ints([lengths.length, maxBlocks], table).tensor,
    sequence_T: bench.ints(
      [rows.length],
      rows.map(({ sequence }) => sequence),
    ).tensor,
    length_T: bench.ints(
      [rows.length],
      rows.map(({ length }) => length),
    ).tensor,
    scale,
  });
  bench.expect(out, () => {
    const values = new Float64Array(rows.length * heads * latent);
    const bounds = new Float64Array(values.length);
    rows.forEach(({ sequence, length }, t) => {
      const keys = Array.from({ length }, (_, position) => slotOf(sequence, position) * width);
      for (let row = t * heads; row < (t + 1) * heads; row++) {
        let size = 0;
        const scores = keys.map((key) => {
          let [sum, magnitude] = [0, 0];
          for (let i = 0; i < width; i++) {
            const query =
              i < latent ? at(q.values, row * latent + i) : at(qPe.values, row * rope + i - latent);
            sum += query * at(cache, key + i);
            magnitude += Math.abs(query * at(cache, key + i));
          }
          size = Math.max(size, magnitude * scale);
          return sum * scale;
        });
        const most = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - most));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        for (let i = 0; i < latent; i++) {
          let magnitude = 0;
          keys.forEach((key, index) => {
            const term = (at(weights, index) / total) * at(cache, key + i);
            values[row * latent + i] = at(values, row * latent + i) + term;
            magnitude += Math.abs(term);
          });
          const share = UNIT * (2 * (width + 8) * size + length + 32);
          bounds[row * latent + i] = share * magnitude + TINY;
        }
      }
    });
    return { values, bounds };
  });
}
