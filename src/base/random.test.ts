/** Chance: the published generator, even spread, and a state that resumes exactly. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at } from './assert.ts';
import { Random, type RandomState, uniformAt } from './random.ts';

/** xoshiro128** as its authors state it, in whole numbers without tricks. */
function* xoshiro(state: RandomState): Generator<number> {
  const low = (value: bigint): bigint => value & 0xffffffffn;
  const rotate = (value: bigint, by: bigint): bigint =>
    low((value << by) | (low(value) >> (32n - by)));
  let [a = 0n, b = 0n, c = 0n, d = 0n] = state.map(BigInt);
  for (;;) {
    yield Number(low(rotate(low(b * 5n), 7n) * 9n));
    const shifted = low(b << 9n);
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = rotate(d, 11n);
  }
}

test('random: the numbers are xoshiro128**’s', () => {
  const state: RandomState = [1, 2, 3, 4];
  const random = Random.restore(state);
  const expected = xoshiro(state);
  assert.equal(Random.restore(state).uint32(), 11520);
  for (let i = 0; i < 1000; i++) assert.equal(random.uint32(), expected.next().value);
});

test('random: the same seed and stream give the same numbers, another of either does not', () => {
  const first = (random: Random): number[] => [random.uint32(), random.uint32(), random.uint32()];
  assert.deepEqual(first(new Random(7, 'init')), first(new Random(7, 'init')));
  const seen = new Set<string>();
  for (let seed = 0; seed < 50; seed++) {
    for (const stream of ['', 'init', 'shuffle']) seen.add(String(first(new Random(seed, stream))));
  }
  assert.equal(seen.size, 150);
  assert.notDeepEqual(first(new Random(2 ** 32 + 7)), first(new Random(7)));
});

test('random: a restored state continues where it was taken', () => {
  const random = new Random(3);
  for (let i = 0; i < 10; i++) random.normal();
  const copy = Random.restore(JSON.parse(JSON.stringify(random.state)) as RandomState);
  for (let i = 0; i < 10; i++) assert.equal(copy.normal(), random.normal());
  assert.deepEqual(copy.state, random.state);
});

// Bounds: five standard deviations of the statistic, with the seed fixed.
test('random: uniform numbers are even over [0, 1) and exact in float32', () => {
  const random = new Random(11);
  const bins = new Uint32Array(64);
  const count = 64_000;
  for (let i = 0; i < count; i++) {
    const value = random.uniform();
    assert(value >= 0 && value < 1 && Math.fround(value) === value);
    const bin = Math.floor(value * 64);
    bins[bin] = at(bins, bin) + 1;
  }
  const expected = count / 64;
  const chiSquare = bins.reduce((sum, seen) => sum + (seen - expected) ** 2 / expected, 0);
  assert(Math.abs(chiSquare - 63) < 5 * Math.sqrt(2 * 63), `χ² ${chiSquare}`);
});

test('random: normal numbers have mean 0, variance 1 and the tails of a normal', () => {
  const random = new Random(5);
  const count = 40_000;
  let [sum, squares, beyondTwo] = [0, 0, 0];
  for (let i = 0; i < count; i++) {
    const value = random.normal();
    assert(Number.isFinite(value));
    sum += value;
    squares += value * value;
    if (Math.abs(value) > 2) beyondTwo++;
  }
  assert(Math.abs(sum / count) < 5 / Math.sqrt(count));
  assert(Math.abs(squares / count - 1) < 5 * Math.sqrt(2 / count));
  assert(Math.abs(beyondTwo / count - 0.0455) < 5 * Math.sqrt(0.0455 / count));
});

test('random: integers cover their range evenly, powers of two and others', () => {
  const random = new Random(8);
  for (const bound of [1, 2, 3, 10, 64]) {
    const counts = new Uint32Array(bound);
    for (let i = 0; i < 1000 * bound; i++) {
      const value = random.integer(bound);
      counts[value] = at(counts, value) + 1;
    }
    for (const seen of counts) assert(Math.abs(seen - 1000) < 5 * Math.sqrt(1000));
  }
});

test('random: a shuffle is a permutation, and every order of three comes up', () => {
  const random = new Random(2);
  const orders = new Map<string, number>();
  for (let i = 0; i < 6000; i++) {
    const order = random.shuffle(Int32Array.of(0, 1, 2));
    assert.deepEqual([...order].sort(), [0, 1, 2]);
    orders.set(String(order), (orders.get(String(order)) ?? 0) + 1);
  }
  assert.equal(orders.size, 6);
  for (const seen of orders.values()) assert(Math.abs(seen - 1000) < 5 * Math.sqrt(1000));
  assert.deepEqual(random.shuffle([]), []);
});

test('uniformAt: a number in [0, 1) for each pair, even over indices and over seeds', () => {
  assert.equal(uniformAt(3, 9), uniformAt(3, 9));
  for (const draw of [(i: number) => uniformAt(7, i), (i: number) => uniformAt(i, 7)]) {
    const bins = new Uint32Array(32);
    for (let i = 0; i < 32_000; i++) {
      const value = draw(i);
      assert(value >= 0 && value < 1);
      const bin = Math.floor(value * 32);
      bins[bin] = at(bins, bin) + 1;
    }
    const chiSquare = bins.reduce((sum, seen) => sum + (seen - 1000) ** 2 / 1000, 0);
    assert(Math.abs(chiSquare - 31) < 5 * Math.sqrt(2 * 31), `χ² ${chiSquare}`);
  }
});

// Bounds: five standard deviations of mean and of variance (kurtosis of gamma: 3 + 6 / shape).
test('random: gamma numbers have the mean and the variance of their shape, also below one', () => {
  const count = 40_000;
  for (const shape of [0.25, 0.5, 1, 2, 7.5]) {
    const random = new Random(5, `gamma ${shape}`);
    const values = Array.from({ length: count }, () => random.gamma(shape));
    assert.ok(values.every((value) => value >= 0 && Number.isFinite(value)));
    const mean = values.reduce((sum, value) => sum + value, 0) / count;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count;
    assert.ok(Math.abs(mean - shape) < 5 * Math.sqrt(shape / count), `mean ${mean} of ${shape}`);
    const spread = shape * Math.sqrt((2 + 6 / shape) / count);
    assert.ok(Math.abs(variance - shape) < 5 * spread, `variance ${variance} of ${shape}`);
  }
});

// The exponential law: P(X > t) is e^−t; bounds of five standard deviations.
test('random: gamma of shape one is exponential', () => {
  const random = new Random(6);
  const values = Array.from({ length: 40_000 }, () => random.gamma(1));
  for (const t of [0.1, 0.5, 1, 2, 4]) {
    const share = values.filter((value) => value > t).length / values.length;
    const p = Math.exp(-t);
    assert.ok(Math.abs(share - p) < 5 * Math.sqrt((p * (1 - p)) / values.length), `${t}: ${share}`);
  }
});
