/** Interval arithmetic against a raster that counts microsecond by microsecond. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  fairShares,
  gapsWithin,
  type Interval,
  intersection,
  lengthOf,
  union,
  windowOf,
} from './intervals.ts';

const END = 60;

const intervals: fc.Arbitrary<Interval[]> = fc.array(
  fc
    .tuple(fc.integer({ min: 0, max: END }), fc.integer({ min: 0, max: 12 }))
    .map(([start, length]) => ({ start, end: Math.min(END, start + length) })),
  { maxLength: 14 },
);

/** Which microseconds are covered. */
function raster(list: readonly Interval[]): boolean[] {
  return Array.from({ length: END }, (_, t) =>
    list.some(({ start, end }) => start <= t && t < end),
  );
}

function assertDisjoint(list: readonly Interval[]): void {
  for (const [i, { start, end }] of list.entries()) {
    assert.ok(end > start);
    assert.ok(i === 0 || start > (list[i - 1]?.end ?? 0) - 1, 'sorted and disjoint');
  }
}

test('intervals: union, intersection and gaps are those of a raster of microseconds', () => {
  fc.assert(
    fc.property(intervals, intervals, (a, b) => {
      const [left, right] = [union(a), union(b)];
      assertDisjoint(left);
      assert.deepEqual(raster(left), raster(a));
      const both = raster(a).map((each, t) => each && raster(b)[t] === true);
      assert.deepEqual(raster(intersection(left, right)), both);
      assert.equal(lengthOf(intersection(left, right)), both.filter(Boolean).length);
      const gaps = gapsWithin({ start: 0, end: END }, left);
      assertDisjoint(gaps);
      assert.deepEqual(
        raster(gaps),
        raster(a).map((each) => !each),
      );
    }),
    { numRuns: 300 },
  );
});

test('intervals: gaps of a window that the busy time overlaps on both sides', () => {
  const busy = [
    { start: -5, end: 2 },
    { start: 4, end: 20 },
  ];
  assert.deepEqual(gapsWithin({ start: 0, end: 10 }, busy), [{ start: 2, end: 4 }]);
  assert.deepEqual(gapsWithin({ start: 0, end: 3 }, []), [{ start: 0, end: 3 }]);
  assert.equal(windowOf([]), null);
});

test('intervals: what runs at once shares its time, and nothing is counted twice', () => {
  fc.assert(
    fc.property(intervals, (list) => {
      const expected = list.map(({ start, end }) => {
        let share = 0;
        for (let t = start; t < end; t++) {
          share += 1 / list.filter((each) => each.start <= t && t < each.end).length;
        }
        return share;
      });
      const shares = fairShares(list);
      for (const [i, share] of expected.entries()) {
        assert.ok(Math.abs((shares[i] ?? 0) - share) < 1e-9);
      }
      const total = shares.reduce((sum, each) => sum + each, 0);
      assert.ok(Math.abs(total - lengthOf(union(list))) < 1e-9);
    }),
    { numRuns: 300 },
  );
});
