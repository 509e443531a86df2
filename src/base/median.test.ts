/** The median against its definition. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { median } from './median.ts';

const someValues = fc.array(fc.double({ noNaN: true, min: -1e12, max: 1e12 }), {
  minLength: 1,
  maxLength: 40,
});

test('median: as many values lie above as below, whatever their order', () => {
  fc.assert(
    fc.property(someValues, (values) => {
      const middle = median(values);
      const above = values.filter((value) => value > middle).length;
      const below = values.filter((value) => value < middle).length;
      const half = values.length / 2;
      assert.ok(above <= half && below <= half, `${below} below and ${above} above ${middle}`);
      if (values.length % 2 === 1) assert.ok(values.some((value) => value === middle));
      assert.equal(median(values.toReversed()), middle);
    }),
  );
});

test('median: of an even number halfway between the two in the middle', () => {
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([10, 9]), 9.5);
  assert.equal(median([9, 10, 100]), 10);
  assert.equal(
    median([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]),
    Number.POSITIVE_INFINITY,
  );
});

test('median: its argument stays as it was, and nothing has none', () => {
  const values = [3, 1, 2];
  assert.equal(median(values), 2);
  assert.deepEqual(values, [3, 1, 2]);
  assert.throws(() => median([]), /the median of nothing/);
});
