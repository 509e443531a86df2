/**
 * The contract of what surrounds a draw: adjusted logits are right to half a float32 step, the
 * likeliest tokens are those of a sorted row, and log probabilities those of doubles.
 */
import fc from 'fast-check';
import { at } from '../../src/base/assert.ts';
import { type KernelCase, kernelCase, size, sizeOrNone } from './kernelCase.ts';
import { exactly, TINY, UNIT } from './oracle.ts';
import type { Workbench } from './workbench.ts';

interface AdjustedShape {
  readonly tokens: number;
  readonly vocabulary: number;
  /** Of each row, on average; several may be of one token. */
  readonly changes: number;
  readonly isMasked: boolean;
  readonly isInPlace: boolean;
}

interface LikelyShape {
  readonly tokens: number;
  readonly vocabulary: number;
  readonly most: number;
  readonly temperature: number;
  /** Standard deviation of the logits. */
  readonly spread: number;
  /** Whether logits are whole numbers, most of which tie. */
  readonly isRounded: boolean;
}

const wide = { tokens: 2, vocabulary: 9_001 };

export const likelihoodCases: readonly KernelCase[] = [
  kernelCase({
    name: 'adjustLogits: −∞ where a mask forbids, then every change in its order',
    shapes: fc.record({
      tokens: sizeOrNone(4),
      vocabulary: size(300),
      changes: fc.nat(6),
      isMasked: fc.boolean(),
      isInPlace: fc.boolean(),
    }),
    runs: 60,
    always: [{ ...wide, changes: 40, isMasked: true, isInPlace: false }],
    lay: layAdjusted,
  }),
  kernelCase({
    name: 'topTokens: the front of a sorted row, and log probabilities of it and of one more',
    shapes: fc.record({
      tokens: sizeOrNone(4),
      vocabulary: size(300),
      most: fc.nat(20),
      temperature: fc.constantFrom<number[]>(1, 1, 0.7, 2, 0.01, 1e10),
      spread: fc.constantFrom<number[]>(0, 1e-6, 0.1, 1, 5, 30),
      isRounded: fc.boolean(),
    }),
    runs: 100,
    always: [
      { ...wide, most: 20, temperature: 1, spread: 3, isRounded: false },
      { ...wide, most: 20, temperature: 0.8, spread: 3, isRounded: true },
      { ...wide, most: 0, temperature: 1, spread: 3, isRounded: false },
    ],
    lay: layLikely,
  }),
];

function layAdjusted(bench: Workbench, shape: AdjustedShape): void {
  const { tokens, vocabulary, changes, isMasked, isInPlace } = shape;
  const { random } = bench;
  const values = bench.normal([tokens, vocabulary]);
  const width = Math.ceil(vocabulary / 32);
  const words = Int32Array.from({ length: tokens * width }, () => random.uint32() | 0);
  const offsets = [0];
  for (let t = 0; t < tokens; t++) offsets.push(at(offsets, t) + random.integer(2 * changes + 1));
  const length = at(offsets, tokens);
  const each = Array.from({ length }, (_, n) => n);
  const ids = each.map(() => random.integer(vocabulary));
  const factors = Float32Array.from(each, () => 0.5 + 2 * random.uniform());
  const addends = Float32Array.from(each, () => 3 * random.uniform() - 2);
  const logits = isInPlace
    ? bench.changed('f32', [tokens, vocabulary], values).tensor
    : bench.floats([tokens, vocabulary], values).tensor;
  const out = isInPlace ? logits : bench.output([tokens, vocabulary]);
  bench.kernels.adjustLogits({
    out_TV: out,
    logits_TV: logits,
    ...(isMasked ? { allowed_TW: bench.ints([tokens, width], words).tensor } : {}),
    ids_N: bench.ints([length], ids).tensor,
    factors_N: bench.floats([length], factors).tensor,
    addends_N: bench.floats([length], addends).tensor,
    offsets,
  });
  bench.expect(out, () => {
    const expected = Float64Array.from(values, (logit, i) => {
      const [t, v] = [Math.floor(i / vocabulary), i % vocabulary];
      const word = at(words, t * width + Math.floor(v / 32));
      return isMasked && ((word >> (v % 32)) & 1) === 0 ? Number.NEGATIVE_INFINITY : logit;
    });
    const bounds = new Float64Array(expected.length);
    for (let t = 0; t < tokens; t++) {
      for (let n = at(offsets, t); n < at(offsets, t + 1); n++) {
        const place = t * vocabulary + at(ids, n);
        const z = at(expected, place);
        const scaled = z > 0 ? z / at(factors, n) : z * at(factors, n);
        // Rounded to float32 once; the next change of the same token starts from that.
        expected[place] = Math.fround(scaled + at(addends, n));
      }
    }
    return { values: expected, bounds };
  });
}

function layLikely(bench: Workbench, shape: LikelyShape): void {
  const { tokens, vocabulary, spread, isRounded, temperature } = shape;
  const most = Math.min(shape.most, vocabulary);
  const values = bench.normal([tokens, vocabulary]).map((value) => {
    const logit = value * spread;
    return isRounded ? Math.round(logit) : logit;
  });
  // A row may forbid tokens, but not its first.
  for (let i = 0; i < values.length; i++) {
    if (i % vocabulary > 0 && bench.random.integer(9) === 0) values[i] = Number.NEGATIVE_INFINITY;
  }
  const rows = Array.from({ length: tokens }, (_, t) => t);
  const chosen = rows.map(() => bench.random.integer(vocabulary));
  const ids = bench.outputInts([tokens, most]);
  const logProbabilities = bench.output([tokens, most]);
  const ofChosen = bench.output([tokens]);
  bench.kernels.topTokens({
    ids_TN: ids,
    logProbabilities_TN: logProbabilities,
    chosenLogProbabilities_T: ofChosen,
    chosen_T: bench.ints([tokens], chosen).tensor,
    logits_TV: bench.floats([tokens, vocabulary], values).tensor,
    temperatures: rows.map(() => temperature),
  });
  const row = (t: number): Float32Array => values.subarray(t * vocabulary, (t + 1) * vocabulary);
  const sorted = (t: number): number[] =>
    [...row(t).keys()].sort((a, b) => at(row(t), b) - at(row(t), a) || a - b).slice(0, most);
  const near = (expected: readonly number[]) => ({
    values: expected,
    bounds: expected.map((each) => (Number.isFinite(each) ? boundOf(each) : 0)),
  });
  bench.expect(ids, () => exactly(rows.flatMap(sorted)));
  bench.expect(logProbabilities, () =>
    near(rows.flatMap((t) => sorted(t).map((id) => likelihood(row(t), { id, temperature })))),
  );
  bench.expect(ofChosen, () =>
    near(rows.map((t) => likelihood(row(t), { id: at(chosen, t), temperature }))),
  );
}

function likelihood(
  logits: Float32Array,
  { id, temperature }: { id: number; temperature: number },
): number {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const below = (logit: number): number => (logit - largest) / temperature;
  const total = logits.reduceRight((sum, logit) => sum + Math.exp(below(logit)), 0);
  return below(at(logits, id)) - Math.log(total);
}

/** Every exponential is right to 2 ulp, and the sum of them is at least 1. */
function boundOf(logProbability: number): number {
  return 8 * UNIT * Math.max(1, Math.abs(logProbability)) + TINY;
}
