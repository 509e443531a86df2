/** The balancing rule and the measures of balance. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { biasUpdate, maxViolation, numDeadExperts, utilisation } from './biasUpdate.ts';

test('Bias falls for loads above the mean, rises below it, and rests on it', () => {
  const bias = biasUpdate([0.5, 0.5, 0.5], [9, 1, 5], 0.001);
  assert.deepEqual([...bias], [0.499, 0.501, 0.5].map(Math.fround));
});

test('Perfect balance moves nothing, and neither does speed 0', () => {
  assert.deepEqual([...biasUpdate([0.25, -1], [4, 4], 0.1)], [0.25, -1]);
  assert.deepEqual([...biasUpdate([0.25, -1], [7, 1], 0)], [0.25, -1]);
});

test('Bias moves by the speed or not at all, whatever the loads', () => {
  const loads = fc.array(fc.nat(1000), { minLength: 1, maxLength: 64 });
  fc.assert(
    fc.property(loads, (counts) => {
      const moved = biasUpdate(new Float32Array(counts.length), counts, 0.001);
      const mean = counts.reduce((a, b) => a + b, 0) / counts.length;
      for (const [i, load] of counts.entries()) {
        assert.equal(moved[i], Math.fround(0.001 * Math.sign(mean - load)));
      }
    }),
    { seed: 1 },
  );
});

test('MaxVio is the largest load over the mean, less one', () => {
  assert.equal(maxViolation([4, 4, 4, 4]), 0);
  assert.equal(maxViolation([8, 0, 0, 0]), 3);
  assert.equal(maxViolation([6, 2]), 0.5);
});

test('Nothing routed, or no experts, is no violation', () => {
  assert.equal(maxViolation([0, 0]), 0);
  assert.equal(maxViolation([]), 0);
  assert.deepEqual([...utilisation([0, 0])], [0, 0]);
});

test('Dead experts and utilisation say who is idle', () => {
  assert.equal(numDeadExperts([3, 0, 5, 0]), 2);
  assert.deepEqual([...utilisation([3, 0, 5, 0])], [1.5, 0, 2.5, 0]);
});
