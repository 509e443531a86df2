/** Numbers as people read them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatBytes, formatCount, formatPercent, formatSeconds } from './units.ts';

test('formatBytes: binary units, two digits above bytes', () => {
  assert.equal(formatBytes(0), '0 B');
  assert.equal(formatBytes(1023), '1023 B');
  assert.equal(formatBytes(1536), '1.50 KiB');
  assert.equal(formatBytes(64 * 2 ** 20), '64.00 MiB');
  assert.equal(formatBytes(688_574_839_360), '641.29 GiB');
  assert.equal(formatBytes(2 ** 60), '1024.00 PiB');
});

test('formatCount: decimal units, the plain number below a thousand', () => {
  assert.equal(formatCount(0), '0');
  assert.equal(formatCount(999), '999');
  assert.equal(formatCount(1000), '1.00K');
  assert.equal(formatCount(671_026_404_352), '671.03B');
  assert.equal(formatCount(-1500), '-1.50K');
});

test('formatSeconds: from microseconds to hours', () => {
  assert.equal(formatSeconds(0), '0 s');
  assert.equal(formatSeconds(42e-6), '42.0 µs');
  assert.equal(formatSeconds(0.0123), '12.3 ms');
  assert.equal(formatSeconds(1.25), '1.3 s');
  assert.equal(formatSeconds(62.5), '1m 03s');
  assert.equal(formatSeconds(3723), '1h 02m');
  assert.equal(formatSeconds(100 * 3600), '100h 00m');
  assert.equal(formatSeconds(Number.POSITIVE_INFINITY), '–');
  assert.equal(formatSeconds(Number.NaN), '–');
});

test('formatPercent: of a share, with the digits asked for', () => {
  assert.equal(formatPercent(0.1234), '12.3 %');
  assert.equal(formatPercent(1, 0), '100 %');
});
