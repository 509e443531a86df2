/** Times in words: short by themselves, told apart in a row. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatSeconds, formatUnits } from './numbers.ts';

test('formatSeconds: a time alone has four digits and a unit that leaves few zeros', () => {
  const times = [0, 4.05512, 0.0123456, 0.0000125];
  assert.deepEqual(
    times.map((time) => formatSeconds(time)),
    ['0 s', '4.055 s', '12.35 ms', '12.5 µs'],
  );
});

test('formatSeconds: times in a row have one unit and the digits of their step', () => {
  const row = (times: number[], step: number): string[] =>
    times.map((time) => formatSeconds(time, step));
  assert.deepEqual(row([0, 0.5, 1], 0.5), ['0.0 s', '0.5 s', '1.0 s']);
  assert.deepEqual(row([4.0001, 4.0002], 0.0001), ['4000.1 ms', '4000.2 ms']);
  assert.deepEqual(row([1.000002, 1.000004], 0.000002), ['1000002 µs', '1000004 µs']);
});

test('formatUnits: times in a row have the digits of their step', () => {
  assert.equal(formatUnits(66.123456), '66.12');
  assert.deepEqual(
    [20, 20.2, 20.4].map((time) => formatUnits(time, 0.2)),
    ['20.0', '20.2', '20.4'],
  );
  assert.equal(formatUnits(1000, 200), '1000');
});
