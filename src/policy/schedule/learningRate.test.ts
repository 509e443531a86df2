/** The learning rate, held to the numbers of DeepSeek-V3's report, 4.2. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type LearningRateSchedule, learningRateAt, V3_LEARNING_RATE } from './learningRate.ts';

const v3 = (tokens: number, step = 1e6): number =>
  learningRateAt(V3_LEARNING_RATE, { step, tokens });

test("V3's learning rate: 2K warm-up steps rise linearly from 0 to 2.2e-4", () => {
  // Tokens of the ramp are far below the first boundary; only the step matters here.
  assert.equal(v3(0, 0), 2.2e-4 / 2000);
  assert.equal(v3(0, 999), 1.1e-4);
  assert.equal(v3(0, 1999), 2.2e-4);
  assert.equal(v3(0, 2000), 2.2e-4);
});

test("V3's learning rate: constant to 10T, cosine over 4.3T, tails of 333B and 167B", () => {
  assert.equal(v3(9.999e12), 2.2e-4);
  assert.equal(v3(10e12), 2.2e-4);
  // The cosine is half-way down in its middle.
  assert.ok(Math.abs(v3(10e12 + 2.15e12) - (2.2e-4 + 2.2e-5) / 2) < 1e-18);
  assert.ok(Math.abs(v3(14.3e12 - 1) - 2.2e-5) < 1e-15);
  assert.equal(v3(14.3e12), 2.2e-5);
  assert.equal(v3(14.633e12 - 1), 2.2e-5);
  assert.equal(v3(14.633e12), 7.3e-6);
  assert.equal(v3(14.8e12), 7.3e-6);
});

test("V3's learning rate: the pieces close at exactly 14.8T tokens", () => {
  const { constantTokens, cosineTokens, tails } = V3_LEARNING_RATE;
  const total = tails.reduce((sum, tail) => sum + tail.tokens, constantTokens + cosineTokens);
  assert.equal(total, 14.8e12);
});

test('Learning rate: after the warm-up it never rises and stays within its ends', () => {
  const share = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(
    fc.property(fc.nat(1e9), fc.nat(1e9), share, share, (constant, cosine, a, b) => {
      const schedule: LearningRateSchedule = {
        peak: 1e-3,
        warmupSteps: 0,
        constantTokens: constant,
        cosineTokens: cosine,
        cosineEnd: 1e-4,
        tails: [{ tokens: 1000, learningRate: 1e-5 }],
      };
      const total = constant + cosine + 1000;
      const [early, late] = [Math.min(a, b) * total, Math.max(a, b) * total];
      const first = learningRateAt(schedule, { step: 0, tokens: early });
      const second = learningRateAt(schedule, { step: 0, tokens: late });
      assert.ok(first >= second && first <= 1e-3 && second >= 1e-5);
    }),
  );
});

test('Learning rate: without tails the end of the cosine holds', () => {
  const schedule = { ...V3_LEARNING_RATE, tails: [] };
  assert.equal(learningRateAt(schedule, { step: 9999, tokens: 99e12 }), 2.2e-5);
});
