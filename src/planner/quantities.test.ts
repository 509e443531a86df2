/** Quantities: units by size, and derived values by the ending of their names. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatChange,
  formatDays,
  formatDerived,
  formatDifference,
  formatDollars,
  formatError,
  formatKilowattHours,
  formatRate,
  formatStep,
  formatTick,
  significant,
  wordsOf,
} from './quantities.ts';

test('quantities: each has its unit and three digits', () => {
  assert.equal(formatRate(1.979e15, 'FLOP/s'), '1.98 PFLOP/s');
  assert.equal(formatRate(999.6e9, 'B/s'), '1.00 TB/s');
  assert.equal(formatRate(40e9, 'B/s'), '40.0 GB/s');
  assert.equal(formatStep(19.926), '19.93 s');
  assert.equal(formatStep(0.0129), '12.9 ms');
  assert.equal(formatStep(4000), '1h 06m');
  assert.equal(formatDollars(5.576e6), '$5.58 M');
  assert.equal(formatDollars(999_600), '$1.00 M');
  assert.equal(formatDollars(23.4), '$23.4');
  assert.equal(formatDollars(9_876), '$9876');
  assert.equal(formatDays(54.2), '54.2 days');
  assert.equal(formatDays(null), '–');
  assert.equal(formatKilowattHours(3.59e6), '3.59 GWh');
  assert.equal(formatError(0.08), '± 8.0 %');
  assert.equal(formatError(0.3), '± 30 %');
});

test('quantities: changes say which way', () => {
  assert.equal(formatChange(22, 20), '10.0 % slower');
  assert.equal(formatChange(18, 20), '10.0 % faster');
  assert.equal(formatChange(20.001, 20), 'the same');
  assert.equal(formatDifference(1.15, 1), '+15.0 %');
  assert.equal(formatDifference(0.9, 1), '−10.0 %');
});

test('quantities: ticks are short, numbers keep what counts', () => {
  assert.deepEqual([0, 0.1, 5, 10, 100, 1.5e6, 2e15].map(formatTick), [
    '0',
    '0.1',
    '5',
    '10',
    '100',
    '1.5 M',
    '2 P',
  ]);
  assert.deepEqual([0.01234, 1.234, 123.4, 12345].map(significant), [
    '0.0123',
    '1.23',
    '123',
    '12345',
  ]);
});

test('formatDerived: a name’s ending is its unit', () => {
  assert.equal(formatDerived('scaleOut.bytesPerSecond', 40e9), '40.0 GB/s');
  assert.equal(formatDerived('dispatch.seconds', 0.0012), '1.2 ms');
  assert.equal(formatDerived('momentsBytes', 2 ** 30), '1.00 GiB');
  assert.equal(formatDerived('hiddenShare', 0.96), '96.0 %');
  assert.equal(formatDerived('nodes', 256), '256');
  assert.equal(formatDerived('ratio', 3.21987), '3.22');
  assert.equal(wordsOf('scaleOut.bytesPerSecond'), 'scale out: bytes per second');
});
