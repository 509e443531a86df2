/** The slowest of many: order statistics of the normal distribution. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../base/random.ts';
import { expectedMaximum, slowestOf } from './variation.ts';

test('expectedMaximum: known order statistics, to a hundredth', () => {
  // Harter (1961), expected largest of n standard normal draws.
  const known = [
    [2, 0.5642],
    [10, 1.5388],
    [100, 2.5076],
    [400, 2.9682],
  ] as const;
  for (const [count, expected] of known) {
    assert.ok(Math.abs(expectedMaximum(count) / expected - 1) < 0.02 + 0.1 / count, `${count}`);
  }
  assert.equal(expectedMaximum(1), 0);
});

test('expectedMaximum: what draws come to', () => {
  const random = new Random(7);
  let sum = 0;
  const runs = 2000;
  for (let run = 0; run < runs; run++) {
    let largest = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < 64; i++) largest = Math.max(largest, random.normal());
    sum += largest;
  }
  assert.ok(Math.abs(sum / runs - expectedMaximum(64)) < 0.05);
});

test('slowestOf: one GPU is the mean one, more are slower', () => {
  assert.equal(slowestOf(1), 1);
  for (let count = 1; count < 1e5; count *= 2) assert.ok(slowestOf(2 * count) > slowestOf(count));
});
