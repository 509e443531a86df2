/**
 * Samples have the stated distribution, obey their cuts, and depend on seed, position and logits
 * alone. Chi-square limits are the 99.9 % points; the seeds are fixed, so the tests are too.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { SamplingRule } from '../kernels.ts';
import { greedyToken, logProbability, sampleToken } from './sampling.ts';

const plain: SamplingRule = { temperature: 1, topK: 0, topP: 1, minP: 0, seed: 7 };
const logits = Float32Array.from([1, 0, 2, -1, 0.5, 0, -3, 1.5]);

function probabilities(values: ArrayLike<number>, temperature = 1): number[] {
  const weights = Array.from(values, (logit) => Math.exp(logit / temperature));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

/** Σ (seen − expected)² / expected over tokens that can occur. */
function chiSquare(counts: readonly number[], expected: readonly number[]): number {
  const total = counts.reduce((a, b) => a + b, 0);
  return expected.reduce((sum, p, id) => {
    if (p === 0) {
      assert.equal(counts[id], 0, `token ${id} was cut`);
      return sum;
    }
    return sum + ((counts[id] ?? 0) - p * total) ** 2 / (p * total);
  }, 0);
}

function countsOver(numSamples: number, rule: SamplingRule, values = logits): number[] {
  const counts = new Array<number>(values.length).fill(0);
  for (let position = 0; position < numSamples; position++) {
    const id = sampleToken(values, rule, position);
    counts[id] = (counts[id] ?? 0) + 1;
  }
  return counts;
}

// 99.9 % points of χ² with 7, 3, 4 and 2 degrees of freedom.
const LIMIT = { 2: 13.82, 3: 16.27, 4: 18.47, 7: 24.32 };

test('Samples over positions have the softmax distribution, at several temperatures', () => {
  for (const temperature of [0.5, 1, 2]) {
    const counts = countsOver(40_000, { ...plain, temperature });
    const statistic = chiSquare(counts, probabilities(logits, temperature));
    assert.ok(statistic < LIMIT[7], `χ² ${statistic} at ${temperature}`);
  }
});

test('Samples over seeds have the softmax distribution at one position', () => {
  const counts = new Array<number>(logits.length).fill(0);
  for (let seed = 0; seed < 40_000; seed++) {
    const id = sampleToken(logits, { ...plain, seed }, 3);
    counts[id] = (counts[id] ?? 0) + 1;
  }
  const statistic = chiSquare(counts, probabilities(logits));
  assert.ok(statistic < LIMIT[7], `χ² ${statistic}`);
});

test('Neighbouring positions are independent: pairs of samples fill the product table', () => {
  const values = Float32Array.from([0, 0.5]);
  const [p = 0, q = 0] = probabilities(values);
  const counts = [0, 0, 0, 0];
  for (let position = 0; position < 40_000; position += 2) {
    const pair =
      2 * sampleToken(values, plain, position) + sampleToken(values, plain, position + 1);
    counts[pair] = (counts[pair] ?? 0) + 1;
  }
  const statistic = chiSquare(counts, [p * p, p * q, q * p, q * q]);
  assert.ok(statistic < LIMIT[3], `χ² ${statistic}`);
});

test('Rare tokens occur as often as they should among very many', () => {
  // One token has 0.9; 4,000 share the rest, 2.5e-5 each: fewer than 24 bits would distort them.
  const many = new Float32Array(4_001);
  many[0] = Math.log(0.9 / (0.1 / 4_000));
  let rare = 0;
  const samples = 2_000;
  for (let position = 0; position < samples; position++) {
    if (sampleToken(many, plain, position) !== 0) rare++;
  }
  const deviation = Math.sqrt(samples * 0.1 * 0.9);
  assert.ok(Math.abs(rare - samples * 0.1) < 3.3 * deviation, `${rare} of ${samples}`);
});

test('Top-k keeps the k most likely, renormalised; ties go to the lower id', () => {
  const expected = probabilities(logits).map((p, id) => ([2, 7, 0].includes(id) ? p : 0));
  const mass = expected.reduce((a, b) => a + b, 0);
  const counts = countsOver(20_000, { ...plain, topK: 3 });
  assert.ok(
    chiSquare(
      counts,
      expected.map((p) => p / mass),
    ) < LIMIT[2],
  );
  // Tokens 1 and 5 tie for the fifth place.
  assert.equal(countsOver(20_000, { ...plain, topK: 5 })[5], 0);
});

test('Top-p keeps the smallest set that holds the mass', () => {
  const sorted = probabilities(logits).sort((a, b) => b - a);
  const three = sorted.slice(0, 3).reduce((a, b) => a + b, 0);
  const kept = (topP: number): number[] =>
    countsOver(20_000, { ...plain, topP }).flatMap((count, id) => (count > 0 ? [id] : []));
  assert.deepEqual(kept(three - 1e-6), [0, 2, 7]);
  assert.deepEqual(kept(three + 1e-6), [0, 2, 4, 7]);
  assert.deepEqual(kept(1e-9), [2]);
});

test('Top-p works on what top-k left', () => {
  // Of 2, 7 and 0 the first two hold 0.506 / 0.632 of the mass.
  const rule = { ...plain, topK: 3, topP: 0.8 };
  const ids = countsOver(5_000, rule).flatMap((count, id) => (count > 0 ? [id] : []));
  assert.deepEqual(ids, [2, 7]);
});

test('Min-p drops what is too unlikely beside the most likely token', () => {
  // exp(1 − 2) = 0.37 stays, exp(0.5 − 2) = 0.22 goes.
  const ids = countsOver(20_000, { ...plain, minP: 0.3 });
  assert.deepEqual(
    ids.flatMap((count, id) => (count > 0 ? [id] : [])),
    [0, 2, 7],
  );
});

test('Temperature 0 is greedy, and so is any draw with one token left', () => {
  const tied = Float32Array.from([1, 3, 3, 2]);
  assert.equal(greedyToken(tied), 1);
  for (const rule of [{ temperature: 0 }, { topK: 1 }, { topP: 1e-12 }, { minP: 1 }]) {
    for (let position = 0; position < 20; position++) {
      const id = sampleToken(tied, { ...plain, ...rule }, position);
      assert.ok(id === 1 || (id === 2 && 'minP' in rule), JSON.stringify(rule));
    }
  }
});

test('A draw is a function of logits, rule and position', () => {
  const logit = fc.double({ min: -20, max: 20, noNaN: true });
  fc.assert(
    fc.property(
      fc.array(logit, { minLength: 1, maxLength: 50 }),
      fc.nat(1_000_000),
      fc.nat(10_000),
      (values, seed, position) => {
        const all = Float32Array.from(values);
        const rule = { ...plain, seed, topK: 5, topP: 0.9 };
        const id = sampleToken(all, rule, position);
        assert.ok(id >= 0 && id < all.length);
        assert.equal(sampleToken(all.slice(), rule, position), id);
        // Rows of greater length do not change the order of what stays.
        const shifted = all.map((value) => value + 1);
        if (all.every((value) => Math.fround(value + 1) - 1 === value)) {
          assert.equal(sampleToken(shifted, rule, position), id);
        }
      },
    ),
    { numRuns: 200, seed: 1 },
  );
});

test('A draft from a similar distribution mostly meets the target’s own draw', () => {
  const target = probabilities(logits);
  const near = logits.map((logit, id) => logit + (id % 2 === 0 ? 0.2 : -0.2));
  const distance =
    probabilities(near).reduce((sum, p, id) => sum + Math.abs(p - (target[id] ?? 0)), 0) / 2;
  let agreed = 0;
  const samples = 20_000;
  for (let position = 0; position < samples; position++) {
    if (sampleToken(logits, plain, position) === sampleToken(near, plain, position)) agreed++;
  }
  const bound = (1 - distance) / (1 + distance);
  assert.ok(agreed / samples > bound - 0.01, `${agreed / samples} agreed, bound ${bound}`);
});

test('Log-probabilities are those of the model, before temperature and cuts', () => {
  for (const [id, p] of probabilities(logits).entries()) {
    assert.ok(Math.abs(logProbability(logits, id) - Math.log(p)) < 1e-12);
  }
  const wide = Float32Array.from([1e4, -1e4]);
  assert.deepEqual([logProbability(wide, 0), logProbability(wide, 1)], [0, -2e4]);
});

test('A high temperature makes no ties: cuts go by the logits', () => {
  const near = Float32Array.from([1e-8, 3e-8, 2e-8]);
  const counts = countsOver(2_000, { ...plain, temperature: 1e10, topK: 2 }, near);
  assert.deepEqual(
    counts.map((count) => count > 0),
    [false, true, true],
  );
});

test('Logits that are not usable give −1 − id of the first NaN, or of the infinite largest', () => {
  const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
  const rows: [number[], number][] = [
    [[0, nan, 1], -2],
    [[nan, inf, nan], -1],
    [[0, 1, inf, inf], -3],
    [[-inf, -inf], -1],
    // A forbidden token may be −∞, all of them may not.
    [[-inf, 1], 1],
  ];
  for (const [row, expected] of rows) {
    const values = Float32Array.from(row);
    assert.equal(greedyToken(values), expected);
    assert.equal(sampleToken(values, plain, 0), expected);
  }
});
