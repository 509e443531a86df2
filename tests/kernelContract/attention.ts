/** The contract of attention, over whole sequences and over a cache. */
import fc from 'fast-check';
import { at } from '../../src/base/assert.ts';
import type { F32, OperationArgs } from '../../src/kernels/kernels.ts';
import { createReferenceKernels } from '../../src/kernels/reference.ts';
import { packRows } from '../../src/tensor/hostRows.ts';
import { type KernelCase, kernelCase, sequenceOffsets, size, sizeOrNone } from './kernelCase.ts';
import { type Expectation, exactly, gradient, TINY, UNIT, withinLargest } from './oracle.ts';
import type { Operand, Workbench } from './workbench.ts';

interface AttentionShape {
  readonly sequences: readonly number[];
  readonly heads: number;
  readonly nope: number;
  readonly rope: number;
  readonly value: number;
  /** 1 is the usual softness; 200 gives scores far beyond what exp can take. */
  readonly sharpness: number;
}

const attentionShapes = (maxLength: number): fc.Arbitrary<AttentionShape> =>
  fc.record({
    sequences: sequenceOffsets({ maxCount: 3, maxLength }),
    heads: size(3),
    nope: size(20),
    rope: fc.integer({ min: 1, max: 5 }).map((pairs) => 2 * pairs),
    value: size(20),
    sharpness: fc.constantFrom(1, 1, 200),
  });

/** Rows past any tile of keys or queries, and V3's widths. */
const LARGE: readonly AttentionShape[] = [
  { sequences: [0, 150, 151, 280], heads: 2, nope: 16, rope: 8, value: 12, sharpness: 1 },
  { sequences: [0, 70], heads: 1, nope: 128, rope: 64, value: 128, sharpness: 1 },
];

export const attentionCases: readonly KernelCase[] = [
  kernelCase({
    name: 'mlaAttention: causal softmax attention within each sequence, and its log-sum-exp',
    shapes: attentionShapes(20),
    always: [
      ...LARGE,
      // Scores thousands apart: only the row's own maximum keeps exp in range.
      { sequences: [0, 40], heads: 2, nope: 16, rope: 8, value: 12, sharpness: 2000 },
    ],
    lay: (bench, shape) => {
      const inputs = layInputs(bench, shape);
      const { tokens, scale } = inputs;
      const out = bench.output([tokens, shape.heads, shape.value]);
      const logSumExp = bench.output([tokens, shape.heads]);
      const tensors = inputTensors(inputs);
      const { sequences } = shape;
      bench.kernels.mlaAttention({
        out_THV: out,
        logSumExp_TH: logSumExp,
        ...tensors,
        sequences,
        scale,
      });
      bench.expect(out, () => attend(shape, hostInputs(inputs)).out);
      bench.expect(logSumExp, () => attend(shape, hostInputs(inputs)).logSumExp);
    },
  }),
  kernelCase({
    name: 'mlaAttentionBackward: the three gradients of attention by finite differences',
    shapes: attentionShapes(5).map((shape) => ({ ...shape, sharpness: 1 })),
    runs: 12,
    lay: (bench, shape) => {
      const { inputs, dOut, gradients } = layBackward(bench, shape);
      const { heads, value } = shape;
      const loss = (changed: Partial<HostInputs>): number => {
        const { out } = attend(shape, { ...hostInputs(inputs), ...changed });
        let total = 0;
        for (let i = 0; i < inputs.tokens * heads * value; i++) {
          total += at(out.values, i) * at(dOut.values, i);
        }
        return total;
      };
      const { q, kv, kPe } = hostInputs(inputs);
      const near = (values: ArrayLike<number>): Expectation => withinLargest(values, 1e-5, 1);
      bench.expect(gradients.dQ_THD, () => near(gradient((x) => loss({ q: x }), q)));
      bench.expect(gradients.dKv_THD, () => near(gradient((x) => loss({ kv: x }), kv)));
      bench.expect(gradients.dKPe_TP, () => near(gradient((x) => loss({ kPe: x }), kPe)));
    },
  }),
  kernelCase({
    name: 'mlaAttentionBackward: as the reference gives them where finite differences are too slow',
    shapes: attentionShapes(40),
    runs: 8,
    always: LARGE,
    lay: (bench, shape) => {
      const { gradients, args } = layBackward(bench, shape);
      let known: Gradients | undefined;
      const truth = (): Gradients => {
        known ??= referenceGradients(args);
        return known;
      };
      // A probability is as wrong as its score, and scores 200 times as large err 200 times as
      // much.
      const share = 1e-5 * Math.max(1, shape.sharpness / 10);
      for (const name of ['dQ_THD', 'dKv_THD', 'dKPe_TP'] as const) {
        bench.expect(gradients[name], () => withinLargest(packRows(truth()[name]), share, 1));
      }
    },
  }),
  kernelCase({
    name: 'appendCache: each row in its slot, [latent | kPe], other slots untouched',
    shapes: fc.record({
      tokens: sizeOrNone(9),
      blocks: size(5),
      blockSize: fc.integer({ min: 3, max: 16 }),
      latent: size(70),
      rope: size(20),
    }),
    always: [{ tokens: 200, blocks: 5, blockSize: 64, latent: 128, rope: 16 }],
    lay: (bench, { tokens, blocks, blockSize, latent, rope }) => {
      const count = Math.min(tokens, blocks * blockSize);
      const width = latent + rope;
      const cache = bench.changed('f32', [blocks, blockSize, width]);
      const latents = bench.floats([count, latent]);
      const kPe = bench.floats([count, rope]);
      const all = Int32Array.from({ length: blocks * blockSize }, (_, i) => i);
      const slots = bench.random.shuffle(all).subarray(0, count);
      bench.kernels.appendCache({
        cache: cache.tensor,
        latent_TC: latents.tensor,
        kPe_TP: kPe.tensor,
        slots_T: bench.ints([count], slots).tensor,
      });
      bench.expect(cache.tensor, () => {
        const values = Float64Array.from(cache.values);
        slots.forEach((slot, t) => {
          values.set(latents.values.subarray(t * latent, (t + 1) * latent), slot * width);
          values.set(kPe.values.subarray(t * rope, (t + 1) * rope), slot * width + latent);
        });
        return exactly(values);
      });
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
    }),
    runs: 40,
    always: [
      { lengths: [300], rowsPerSequence: 1, heads: 2, blockSize: 64, latent: 64, rope: 16 },
      { lengths: [5, 70], rowsPerSequence: 2, heads: 16, blockSize: 16, latent: 512, rope: 64 },
    ],
    lay: layAbsorbed,
  }),
];

interface HostInputs {
  readonly q: ArrayLike<number>;
  readonly kv: ArrayLike<number>;
  readonly kPe: ArrayLike<number>;
  readonly scale: number;
}

interface Inputs {
  readonly q: Operand<'f32'>;
  readonly kv: Operand<'f32'>;
  readonly kPe: Operand<'f32'>;
  readonly tokens: number;
  readonly scale: number;
}

function layInputs(bench: Workbench, shape: AttentionShape): Inputs {
  const { sequences, heads, nope, rope, value, sharpness } = shape;
  const tokens = at(sequences, sequences.length - 1);
  return {
    q: bench.floats([tokens, heads, nope + rope]),
    kv: bench.floats([tokens, heads, nope + value]),
    kPe: bench.floats([tokens, rope]),
    tokens,
    scale: sharpness / Math.sqrt(nope + rope),
  };
}

function hostInputs({ q, kv, kPe, scale }: Inputs): HostInputs {
  return { q: q.values, kv: kv.values, kPe: kPe.values, scale };
}

function inputTensors({ q, kv, kPe }: Inputs): { q_THD: F32; kv_THD: F32; kPe_TP: F32 } {
  return { q_THD: q.tensor, kv_THD: kv.tensor, kPe_TP: kPe.tensor };
}

/** A whole row of scores, a softmax, a weighted mean: in doubles, one head and row at a time. */
function attend(
  shape: AttentionShape,
  inputs: HostInputs,
): { out: Expectation; logSumExp: Expectation } {
  const { sequences, heads, nope, rope, value } = shape;
  const { q, kv, kPe, scale } = inputs;
  const tokens = at(sequences, sequences.length - 1);
  const [qWidth, kvWidth] = [nope + rope, nope + value];
  const out = new Float64Array(tokens * heads * value);
  const outBounds = new Float64Array(out.length);
  const logSumExp = new Float64Array(tokens * heads);
  const lseBounds = new Float64Array(tokens * heads);
  for (let t = 0; t < tokens; t++) {
    const first = Math.max(...sequences.filter((offset) => offset <= t));
    for (let head = 0; head < heads; head++) {
      const row = t * heads + head;
      const keys = Array.from({ length: t - first + 1 }, (_, i) => first + i);
      let size = 0;
      const scores = keys.map((s) => {
        let [sum, magnitude] = [0, 0];
        for (let i = 0; i < qWidth; i++) {
          const key =
            i < nope ? at(kv, (s * heads + head) * kvWidth + i) : at(kPe, s * rope + i - nope);
          sum += at(q, row * qWidth + i) * key;
          magnitude += Math.abs(at(q, row * qWidth + i) * key);
        }
        size = Math.max(size, magnitude * scale);
        return sum * scale;
      });
      const most = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - most));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      // A score's error is a probability's relative error.
      const share = UNIT * (2 * (qWidth + 8) * size + keys.length + 32);
      logSumExp[row] = most + Math.log(total);
      lseBounds[row] = share + 8 * UNIT * Math.abs(at(logSumExp, row));
      for (let i = 0; i < value; i++) {
        let magnitude = 0;
        keys.forEach((s, index) => {
          const term =
            (at(weights, index) / total) * at(kv, (s * heads + head) * kvWidth + nope + i);
          out[row * value + i] = at(out, row * value + i) + term;
          magnitude += Math.abs(term);
        });
        outBounds[row * value + i] = share * magnitude + TINY;
      }
    }
  }
  return {
    out: { values: out, bounds: outBounds },
    logSumExp: { values: logSumExp, bounds: lseBounds },
  };
}

interface Gradients {
  readonly dQ_THD: F32;
  readonly dKv_THD: F32;
  readonly dKPe_TP: F32;
}

function referenceGradients(args: OperationArgs<'mlaAttentionBackward'>): Gradients {
  const kernels = createReferenceKernels();
  const arena = kernels.createArena('truth');
  const gradients = {
    dQ_THD: arena.allocate('f32', args.dQ_THD.shape),
    dKv_THD: arena.allocate('f32', args.dKv_THD.shape),
    dKPe_TP: arena.allocate('f32', args.dKPe_TP.shape),
  };
  kernels.mlaAttentionBackward({ ...args, ...gradients });
  return gradients;
}

/** What forward left behind, and the call of the backward pass. */
function layBackward(
  bench: Workbench,
  shape: AttentionShape,
): {
  readonly inputs: Inputs;
  readonly dOut: Operand<'f32'>;
  readonly gradients: Gradients;
  readonly args: OperationArgs<'mlaAttentionBackward'>;
} {
  const inputs = layInputs(bench, shape);
  const { heads, value, sequences } = shape;
  const forward = (): ReturnType<typeof attend> => attend(shape, hostInputs(inputs));
  const out = bench.answer('out', () => forward().out);
  const logSumExp = bench.answer('logSumExp', () => forward().logSumExp);
  const dOut = bench.floats([inputs.tokens, heads, value]);
  const tensors = inputTensors(inputs);
  const gradients: Gradients = {
    dQ_THD: bench.output(tensors.q_THD.shape),
    dKv_THD: bench.output(tensors.kv_THD.shape),
    dKPe_TP: bench.output(tensors.kPe_TP.shape),
  };
  const args = {
    ...gradients,
    dOut_THV: dOut.tensor,
    out_THV: bench.floats([inputs.tokens, heads, value], out.values).tensor,
    logSumExp_TH: bench.floats([inputs.tokens, heads], logSumExp.values).tensor,
    ...tensors,
    sequences,
    scale: inputs.scale,
  };
  bench.kernels.mlaAttentionBackward(args);
  return { inputs, dOut, gradients, args };
}

interface AbsorbedShape {
  readonly lengths: readonly number[];
  readonly rowsPerSequence: number;
  readonly heads: number;
  readonly blockSize: number;
  readonly latent: number;
  readonly rope: number;
}

/** Blocks lie in the cache in any order; what no row may see is NaN. */
function layAbsorbed(bench: Workbench, shape: AbsorbedShape): void {
  const { lengths, rowsPerSequence, heads, blockSize, latent, rope } = shape;
  const width = latent + rope;
  const blocksOf = lengths.map((length) => Math.ceil(length / blockSize));
  const maxBlocks = Math.max(1, ...blocksOf);
  const numBlocks = blocksOf.reduce((sum, blocks) => sum + blocks, 1);
  const free = bench.random.shuffle(Array.from({ length: numBlocks }, (_, i) => i));
  const table = new Int32Array(lengths.length * maxBlocks).fill(-1);
  const cache = new Float32Array(numBlocks * blockSize * width).fill(Number.NaN);
  const slotOf = (sequence: number, position: number): number => {
    const block = at(table, sequence * maxBlocks + Math.floor(position / blockSize));
    return block * blockSize + (position % blockSize);
  };
  lengths.forEach((length, sequence) => {
    for (let i = 0; i < at(blocksOf, sequence); i++)
      table[sequence * maxBlocks + i] = free.pop() ?? -1;
    for (let position = 0; position < length; position++) {
      cache.set(bench.normal([width]), slotOf(sequence, position) * width);
    }
  });
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
    cache: bench.floats([numBlocks, blockSize, width], cache).tensor,
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
