/** What the page says of a curve in words. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { curveFacts } from './curveFacts.ts';
import { formatDuration, formatNumber } from './duration.ts';

test('curveFacts: the newest, the least and the most finite value, and where', () => {
  const x = Float64Array.of(1, 2, 3, 4);
  const y = Float64Array.of(5, 2, 5, Number.NaN);
  assert.deepEqual(curveFacts({ x, y }), {
    numPoints: 4,
    newest: { step: 3, value: 5 },
    least: { step: 2, value: 2 },
    most: { step: 1, value: 5 },
  });
  const none = { x: Float64Array.of(1), y: Float64Array.of(Number.NaN) };
  assert.equal(curveFacts(none), undefined);
});

test('formatDuration: the two largest units', () => {
  const shown = [0, 45, 60, 200, 7500, 86_400 * 3 + 4 * 3600 + 59].map(formatDuration);
  assert.deepEqual(shown, ['0 s', '45 s', '1 min', '3 min 20 s', '2 h 5 min', '3 d 4 h']);
});

test('formatNumber: four digits, exponents only for the very small and the very large', () => {
  const shown = [3.33333, 123456.7, 0, 0.00012346, 12_345_678, Number.NaN].map(formatNumber);
  assert.deepEqual(shown, ['3.333', '123500', '0', '1.235e-4', '1.235e+7', '–']);
  assert.equal(formatNumber(undefined), '–');
});
