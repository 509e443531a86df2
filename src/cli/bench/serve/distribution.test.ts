/** Percentiles: the published rule, its ends, and what holds for any numbers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { distributionOf, percentile } from './distribution.ts';

test('percentile: lies between the nearest ranks in proportion, as numpy has it', () => {
  // numpy.percentile([15, 20, 35, 40, 50], [5, 30, 40, 50, 95, 100])
  const sorted = [15, 20, 35, 40, 50];
  const expected = [
    [5, 16],
    [30, 23],
    [40, 29],
    [50, 35],
    [95, 48],
    [100, 50],
  ] as const;
  for (const [percent, value] of expected) {
    assert.ok(Math.abs(percentile(sorted, percent) - value) < 1e-12, `${percent}`);
  }
  assert.equal(percentile([7], 99), 7);
});

test('distributionOf: mean and deviation are those of the population', () => {
  const of = distributionOf([2, 4, 4, 4, 5, 5, 7, 9]);
  assert.deepEqual([of?.mean, of?.deviation, of?.median, of?.count], [5, 2, 4.5, 8]);
  assert.equal(distributionOf([]), null);
});

test('distributionOf: percentiles rise, stay within the values, and order does not matter', () => {
  const numbers = fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 1 });
  fc.assert(
    fc.property(numbers, (values) => {
      const of = distributionOf(values);
      assert.ok(of !== null);
      const rising = [Math.min(...values), of.median, of.p90, of.p95, of.p99, Math.max(...values)];
      for (const [i, value] of rising.entries()) {
        // Between two equal neighbours a product may round a bit past them.
        assert.ok(value >= (rising[i - 1] ?? value) * (1 - 1e-12), rising.join());
      }
      assert.deepEqual(distributionOf(values.toReversed()), of);
    }),
  );
});
