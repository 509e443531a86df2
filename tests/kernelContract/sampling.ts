/**
 * The contract of sampling: the very tokens of an oracle in doubles, which sorts all of a row where
 * a rule cuts, and log probabilities to a few float32 roundings.
 */
import fc from 'fast-check';
import { at } from '../../src/base/assert.ts';
import { uniformAt } from '../../src/base/random.ts';
import type { SamplingRule } from '../../src/kernels/kernels.ts';
import { type KernelCase, kernelCase, size, sizeOrNone } from './kernelCase.ts';
import { exactly, TINY, UNIT } from './oracle.ts';
import type { Workbench } from './workbench.ts';

interface SamplingShape {
  readonly tokens: number;
  readonly vocabulary: number;
  readonly rule: Omit<SamplingRule, 'seed'>;
  /** Standard deviation of the logits. */
  readonly spread: number;
  /** Whether logits are whole numbers, most of which tie. */
  readonly isRounded: boolean;
}

const rules: fc.Arbitrary<SamplingShape['rule']> = fc.record({
  temperature: fc.constantFrom(0, 1, 0.7, 2, 0.01, 1e-30, 1e10),
  topK: fc.oneof(fc.constantFrom(0, 0, 1, 5, 50), fc.nat(300)),
  topP: fc.constantFrom(1, 1, 0.95, 0.5, 1e-9, 1 - 1e-12),
  minP: fc.constantFrom(0, 0, 0.05, 0.3, 1),
});
const spreads: fc.Arbitrary<number> = fc.constantFrom(0, 1e-6, 0.1, 1, 5, 30, 1e4);
const plain = { temperature: 1, topK: 0, topP: 1, minP: 0 };
const wide = { tokens: 2, vocabulary: 9_001, spread: 3, isRounded: false };

export const samplingCases: readonly KernelCase[] = [
  kernelCase({
    name: 'sampleTokens: the token of a race in doubles, by every kind of rule',
    shapes: fc.record({
      tokens: sizeOrNone(5),
      vocabulary: size(300),
      rule: rules,
      spread: spreads,
      isRounded: fc.boolean(),
    }),
    runs: 150,
    always: [
      { ...wide, rule: { ...plain, temperature: 0 } },
      { ...wide, rule: plain },
      { ...wide, rule: { ...plain, topK: 1_500, temperature: 0.8 } },
      { ...wide, rule: { ...plain, topP: 0.95 } },
      { ...wide, rule: { ...plain, topK: 40, topP: 0.9, minP: 0.02 } },
      { ...wide, spread: 0, rule: { ...plain, topK: 5_000, topP: 0.9 } },
      { ...wide, isRounded: true, rule: { ...plain, topP: 0.9 } },
    ],
    lay: laySamples,
  }),
  kernelCase({
    name: 'sampleTokens: −1 − id and the logit of what makes a row unusable, and only that row',
    shapes: fc.record({
      vocabulary: size(300),
      fault: fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
      place: fc.nat(),
      rule: rules,
    }),
    runs: 60,
    always: [{ vocabulary: 9_001, fault: Number.NaN, place: 8_999, rule: plain }],
    lay: (bench, { vocabulary, fault, place, rule }) => {
      const bad = place % vocabulary;
      const values = bench.normal([2, vocabulary]);
      if (fault === Number.NEGATIVE_INFINITY) values.fill(fault, vocabulary);
      // Whatever comes behind the first one does not count.
      values[vocabulary + bad] = fault;
      values[2 * vocabulary - 1] = fault;
      const { ids, logProbabilities, drawn } = runSamples(bench, { values, vocabulary, rule });
      const first = fault === Number.NEGATIVE_INFINITY ? 0 : bad;
      bench.expect(ids, () => exactly([drawn(0).id, -1 - first]));
      bench.expect(logProbabilities, () => ({
        values: [drawn(0).logProbability, fault],
        bounds: [boundOf(drawn(0).logProbability), 0],
      }));
    },
  }),
];

function laySamples(bench: Workbench, shape: SamplingShape): void {
  const { tokens, vocabulary, spread, isRounded, rule } = shape;
  const values = bench.normal([tokens, vocabulary]).map((value) => {
    const logit = value * spread;
    return isRounded ? Math.round(logit) : logit;
  });
  const rows = Array.from({ length: tokens }, (_, t) => t);
  // A row may forbid tokens, but not its first.
  for (let i = 0; i < values.length; i++) {
    if (i % vocabulary > 0 && bench.random.integer(40) === 0) values[i] = Number.NEGATIVE_INFINITY;
  }
  const { ids, logProbabilities, drawn } = runSamples(bench, { values, vocabulary, rule });
  bench.expect(ids, () => exactly(rows.map((t) => drawn(t).id)));
  bench.expect(logProbabilities, () => {
    const expected = rows.map((t) => drawn(t).logProbability);
    return { values: expected, bounds: expected.map(boundOf) };
  });
}

/** Every exponential is right to 2 ulp, and the sum of them is at least 1. */
function boundOf(logProbability: number): number {
  return 8 * UNIT * Math.max(1, Math.abs(logProbability)) + TINY;
}

interface Drawn {
  readonly id: number;
  readonly logProbability: number;
}

function runSamples(
  bench: Workbench,
  args: {
    readonly values: Float32Array;
    readonly vocabulary: number;
    readonly rule: SamplingShape['rule'];
  },
): {
  ids: ReturnType<Workbench['outputInts']>;
  logProbabilities: ReturnType<Workbench['output']>;
  drawn: (row: number) => Drawn;
} {
  const { values, vocabulary, rule } = args;
  const tokens = values.length / vocabulary;
  const all = Array.from({ length: tokens }, () => ({ ...rule, seed: bench.random.uint32() }));
  const positions = all.map(() => bench.random.integer(200_000));
  const ids = bench.outputInts([tokens]);
  const logProbabilities = bench.output([tokens]);
  bench.kernels.sampleTokens({
    ids_T: ids,
    logProbabilities_T: logProbabilities,
    logits_TV: bench.floats([tokens, vocabulary], values).tensor,
    rules: all,
    positions,
  });
  const drawn = (t: number): Drawn =>
    draw(values.subarray(t * vocabulary, (t + 1) * vocabulary), at(all, t), at(positions, t));
  return { ids, logProbabilities, drawn };
}

/** A list of tokens that every rule shortens, and the whole race of those left. */
function draw(logits: Float32Array, rule: SamplingRule, position: number): Drawn {
  const order = [...logits.keys()].sort((a, b) => at(logits, b) - at(logits, a) || a - b);
  const best = at(order, 0);
  const below = (id: number): number => at(logits, id) - at(logits, best);
  const total = order.reduceRight((sum, id) => sum + Math.exp(below(id)), 0);
  const logProbability = (id: number): number => below(id) - Math.log(total);
  if (rule.temperature === 0) return { id: best, logProbability: logProbability(best) };
  let kept = order.map((id) => ({ id, weight: Math.exp(below(id) / rule.temperature) }));
  if (rule.topK > 0) kept = kept.slice(0, rule.topK);
  const enough = rule.topP * kept.reduce((sum, { weight }) => sum + weight, 0);
  let mass = 0;
  if (rule.topP < 1) {
    kept = kept.filter(({ weight }) => {
      const isNeeded = mass < enough;
      mass += weight;
      return isNeeded;
    });
  }
  kept = kept.filter(({ weight }) => weight >= rule.minP);
  const bits = (index: number): number => uniformAt(rule.seed, index) * 2 ** 24;
  const seed = ((bits(2 * position) << 8) ^ bits(2 * position + 1)) >>> 0;
  const times = kept.map(({ id, weight }) => {
    const coarse = uniformAt(seed, 2 * id);
    const fine = (uniformAt(seed, 2 * id + 1) + 2 ** -25) * 2 ** -24;
    const u = coarse < 2 ** -10 ? coarse + fine : coarse;
    return { id, time: -Math.log1p(-u) / weight };
  });
  const first = times.reduce((a, b) =>
    b.time < a.time || (b.time === a.time && b.id < a.id) ? b : a,
  );
  return { id: first.id, logProbability: logProbability(first.id) };
}
