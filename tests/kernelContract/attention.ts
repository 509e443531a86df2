/** The contract of attention over whole sequences, and over longer keys a piece at a time. */
import fc from 'fast-check';
import { at } from '../../src/base/assert.ts';
import type { F32, OperationArgs } from '../../src/kernels/kernels.ts';
import { createReferenceKernels } from '../../src/kernels/reference.ts';
import { packRows } from '../../src/tensor/hostRows.ts';
import { slices } from '../../src/tensor/tensor.ts';
import { type KernelCase, kernelCase, sequenceOffsets, size } from './kernelCase.ts';
import { type Expectation, gradient, once, TINY, UNIT, withinLargest } from './oracle.ts';
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

interface PiecesShape {
  /** Positions before the rows, rows, and how sharp scores are: of each sequence. */
  readonly sequences: readonly (readonly [before: number, rows: number, sharpness: number])[];
  /** Keys at a time. */
  readonly piece: number;
  readonly heads: number;
  readonly nope: number;
  readonly rope: number;
  readonly value: number;
}

const WIDTHS = { heads: 2, nope: 16, rope: 8, value: 12 } as const;

const piecesShapes: fc.Arbitrary<PiecesShape> = fc.record({
  sequences: fc.array(
    fc.tuple(fc.integer({ min: 0, max: 40 }), size(30), fc.constantFrom(1, 1, 200)),
    { minLength: 1, maxLength: 3 },
  ),
  piece: size(40),
  heads: size(3),
  nope: size(20),
  rope: fc.integer({ min: 1, max: 5 }).map((pairs) => 2 * pairs),
  value: size(20),
});

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
      const attended = once(() => attend(shape, hostInputs(inputs)));
      bench.expect(out, () => attended().out);
      bench.expect(logSumExp, () => attended().logSumExp);
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
      const truth = once(() => referenceGradients(args));
      // A probability is as wrong as its score, and scores 200 times as large err 200 times as
      // much.
      const share = 1e-5 * Math.max(1, shape.sharpness / 10);
      for (const name of ['dQ_THD', 'dKv_THD', 'dKPe_TP'] as const) {
        bench.expect(gradients[name], () => withinLargest(packRows(truth()[name]), share, 1));
      }
    },
  }),
  kernelCase({
    name: 'mlaAttention: rows at the end of longer keys, cut into pieces that are added',
    shapes: piecesShapes,
    runs: 30,
    always: [
      { sequences: [[150, 260, 1]], piece: 64, ...WIDTHS },
      {
        sequences: [
          [0, 70, 1],
          [200, 3, 1],
          [64, 64, 1],
        ],
        piece: 128,
        ...WIDTHS,
      },
    ],
    lay: layPieces,
  }),
];

/**
 * All sequences over their first piece of keys at once, then each over the others. What must come
 * out is attention over whole sequences, of which only the last rows are asked for.
 */
function layPieces(bench: Workbench, shape: PiecesShape): void {
  const { sequences, piece, heads, nope, rope, value } = shape;
  const scale = (sequences[0]?.[2] ?? 1) / Math.sqrt(nope + rope);
  const keyOffsets = [0];
  const rowOffsets = [0];
  for (const [before, rows] of sequences) {
    keyOffsets.push(at(keyOffsets, keyOffsets.length - 1) + before + rows);
    rowOffsets.push(at(rowOffsets, rowOffsets.length - 1) + rows);
  }
  const [S, T] = [at(keyOffsets, sequences.length), at(rowOffsets, sequences.length)];
  const q = bench.floats([T, heads, nope + rope]);
  const kv = bench.normal([S, heads, nope + value]);
  const kPe = bench.normal([S, rope]);
  const out = bench.output([T, heads, value]);
  const logSumExp = bench.output([T, heads]);
  /** Keys of some sequences' pieces, one behind the other. */
  const keysOf = (parts: readonly (readonly [from: number, end: number])[]) => {
    const pick = (values: Float32Array, width: number): number[] =>
      parts.flatMap(([from, end]) => [...values.subarray(from * width, end * width)]);
    const rows = parts.reduce((sum, [from, end]) => sum + end - from, 0);
    return {
      kv_THD: bench.floats([rows, heads, nope + value], pick(kv, heads * (nope + value))).tensor,
      kPe_TP: bench.floats([rows, rope], pick(kPe, rope)).tensor,
    };
  };
  const firsts = sequences.map(([before, rows], s): [number, number] => {
    const first = at(keyOffsets, s);
    return [first, first + Math.min(piece, before + rows)];
  });
  const firstOffsets = [0];
  for (const [from, end] of firsts) {
    firstOffsets.push(at(firstOffsets, firstOffsets.length - 1) + end - from);
  }
  bench.kernels.mlaAttention({
    out_THV: out,
    logSumExp_TH: logSumExp,
    q_THD: q.tensor,
    ...keysOf(firsts),
    sequences: rowOffsets,
    keys: { sequences: firstOffsets, before: sequences.map(([before]) => before) },
    scale,
  });
  for (const [s, [before, rows]] of sequences.entries()) {
    const first = at(keyOffsets, s);
    for (let from = piece; from < before + rows; from += piece) {
      const end = Math.min(from + piece, before + rows);
      const skipped = Math.max(0, from - before);
      const [row, lastRow] = [at(rowOffsets, s) + skipped, at(rowOffsets, s + 1)];
      bench.kernels.mlaAttention({
        out_THV: slices(out, row, lastRow),
        logSumExp_TH: slices(logSumExp, row, lastRow),
        q_THD: slices(q.tensor, row, lastRow),
        ...keysOf([[first + from, first + end]]),
        sequences: [0, lastRow - row],
        keys: { sequences: [0, end - from], before: [before + skipped - from] },
        accumulate: true,
        scale,
      });
    }
  }
  const whole = once((): ReturnType<typeof attend> => {
    const width = heads * (nope + rope);
    const queries = new Float32Array(S * width);
    for (const [s, [before]] of sequences.entries()) {
      const rows = q.values.subarray(at(rowOffsets, s) * width, at(rowOffsets, s + 1) * width);
      queries.set(rows, (at(keyOffsets, s) + before) * width);
    }
    const attended = { sequences: keyOffsets, heads, nope, rope, value, sharpness: 1 };
    return attend(attended, { q: queries, kv, kPe, scale });
  });
  /** Of the rows that were asked for; every piece rounds once more. */
  const asked = ({ values, bounds }: Expectation, width: number): Expectation => {
    const rows = sequences.flatMap(([before, count], s) =>
      Array.from({ length: count }, (_, i) => at(keyOffsets, s) + before + i),
    );
    const of = (all: ArrayLike<number>): number[] =>
      rows.flatMap((row) => Array.from({ length: width }, (_, i) => at(all, row * width + i)));
    const pieces = Math.ceil(S / piece);
    const roundings = of(values).map((x) => 8 * pieces * UNIT * (Math.abs(x) + 1));
    const bound = of(typeof bounds === 'number' ? new Float64Array(S * width) : bounds);
    return { values: of(values), bounds: bound.map((x, i) => 2 * x + at(roundings, i)) };
  };
  bench.expect(out, () => asked(whole().out, heads * value));
  bench.expect(logSumExp, () => asked(whole().logSumExp, heads));
}

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
  const forward = once(() => attend(shape, hostInputs(inputs)));
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
