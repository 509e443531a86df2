/** Which span lies under a point of a window. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { at } from '../../src/base/assert.ts';
import { gapsAndLengths, rowOf } from '../../tests/support/timelineRows.ts';
import { timelineOf } from './timelineIndex.ts';
import { nearestSpan, spanAt } from './timelineView.ts';

test('spanAt: the span under a point is found in any window, and none far from all', () => {
  fc.assert(
    fc.property(gapsAndLengths, fc.nat(), fc.integer({ min: 1, max: 40 }), (spans, pick, zoom) => {
      const found = rowOf(spans);
      const timeline = timelineOf([rowOf([[0, 1]]), found]);
      const index = pick % found.starts.length;
      const middle = (at(found.starts, index) + at(found.ends, index)) / 2;
      const view = {
        from: middle - zoom,
        to: middle + zoom,
        width: 800,
        rowHeight: 16,
        top: 8,
        height: 100,
      };
      assert.deepEqual(spanAt(timeline, view, { x: 400, y: 16 }), { row: 1, span: index });
      assert.equal(spanAt(timeline, view, { x: 400, y: 60 }), null);
      assert.equal(nearestSpan(found, middle), index);
    }),
  );
  const timeline = timelineOf([rowOf([[100, 1]])]);
  const view = { from: 0, to: 101, width: 1010, rowHeight: 16, top: 0, height: 16 };
  assert.equal(spanAt(timeline, view, { x: 500, y: 5 }), null);
  assert.deepEqual(spanAt(timeline, view, { x: 998, y: 5 }), { row: 0, span: 0 });
});
