/** Windows onto a timeline: the point under the cursor stays; nothing lies beyond the ends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { at } from '../../src/base/assert.ts';
import {
  keepWithin,
  type PressedKey,
  panView,
  revealSpan,
  viewAfterKey,
  wholeView,
  zoomView,
} from './moveView.ts';
import { rowsOf, type Timeline, timelineOf } from './timelineIndex.ts';
import type { TimelineView } from './timelineView.ts';

const timeline: Timeline = timelineOf(
  Array.from({ length: 50 }, (_, rank) =>
    rowsOf({ name: String(rank), source: 'real', bubble: { from: 0, to: 1000 } }, [
      { start: 10 * rank, end: 10 * rank + 5, kind: 'forward', label: '' },
    ]),
  ).flat(),
);

const views: fc.Arbitrary<TimelineView> = fc
  .record({
    from: fc.integer({ min: 0, max: 900 }),
    seconds: fc.integer({ min: 1, max: 1000 }),
    width: fc.integer({ min: 1, max: 1400 }),
    top: fc.integer({ min: 0, max: 900 }),
  })
  .map(({ from, seconds, width, top }) =>
    keepWithin({ from, to: from + seconds, width, top, rowHeight: 20, height: 200 }, timeline),
  );

function assertWithin(view: TimelineView): void {
  // A billionth of the timeline: sums of doubles, not layout.
  assert.ok(view.from >= 0 && view.to <= 1000 + 1e-6 && view.from < view.to);
  assert.ok(view.top >= 0 && view.top <= 800);
}

test('zoomView: the time under the cursor stays, unless an end of the timeline is reached', () => {
  fc.assert(
    fc.property(
      views,
      fc.nat(1000),
      fc.double({ min: 0.2, max: 5, noNaN: true }),
      (view, mille, factor) => {
        const x = (view.width * mille) / 1000;
        const zoomed = zoomView(view, timeline, { x, factor });
        assertWithin(zoomed);
        const timeAt = ({ from, to, width }: TimelineView): number =>
          from + ((to - from) * x) / width;
        const isAtEnd = zoomed.from === 0 || zoomed.to >= 1000;
        if (!isAtEnd) assert.ok(Math.abs(timeAt(zoomed) - timeAt(view)) < 1e-8);
        if (factor >= 1) assert.ok(Math.abs(timeAt(zoomed) - timeAt(view)) < 1e-8);
      },
    ),
  );
});

test('zoomView: in and out by the same factor at the same point is where one was', () => {
  fc.assert(
    fc.property(
      views,
      fc.nat(1000),
      fc.double({ min: 1, max: 5, noNaN: true }),
      (view, mille, factor) => {
        const x = (view.width * mille) / 1000;
        const back = zoomView(zoomView(view, timeline, { x, factor }), timeline, {
          x,
          factor: 1 / factor,
        });
        assert.ok(Math.abs(back.from - view.from) < 1e-8 && Math.abs(back.to - view.to) < 1e-8);
      },
    ),
  );
});

test('zoomView: however often one zooms in, the window keeps a width', () => {
  let view = wholeView(
    { from: 0, to: 1, width: 100, rowHeight: 20, top: 0, height: 200 },
    timeline,
  );
  for (let times = 0; times < 200; times++) view = zoomView(view, timeline, { x: 33, factor: 2 });
  assert.ok(view.to > view.from);
});

test('panView: moves as far as the pointer, and stops at the ends with its width', () => {
  const by = fc.integer({ min: -3000, max: 3000 });
  fc.assert(
    fc.property(views, by, by, (view, x, y) => {
      const panned = panView(view, timeline, { x, y });
      assertWithin(panned);
      assert.ok(Math.abs(panned.to - panned.from - (view.to - view.from)) < 1e-8);
      const seconds = (x * (view.to - view.from)) / view.width;
      const wanted = Math.min(1000 - (view.to - view.from), Math.max(0, view.from - seconds));
      assert.ok(Math.abs(panned.from - wanted) < 1e-8);
    }),
  );
});

test('viewAfterKey: every key stays within the timeline, and one that means nothing is none', () => {
  const keys = [
    ...['+', '=', '-', '_', '0', 'Home', 'End', 'PageUp', 'PageDown'],
    ...['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown'],
  ];
  fc.assert(
    fc.property(views, fc.constantFrom(...keys), (view, key) => {
      const moved = viewAfterKey(view, timeline, { key, shiftKey: false });
      assert.ok(moved !== null);
      assertWithin(moved);
    }),
  );
  const view = wholeView(
    { from: 0, to: 1, width: 100, rowHeight: 20, top: 0, height: 200 },
    timeline,
  );
  const press = (key: PressedKey): TimelineView | null => viewAfterKey(view, timeline, key);
  assert.equal(press({ key: 'Tab', shiftKey: false }), null);
  assert.equal(press({ key: 'ArrowLeft', shiftKey: true }), null);
});

test('viewAfterKey: Home and End go to the ends without zooming, 0 shows all', () => {
  const view = { from: 400, to: 500, width: 100, rowHeight: 20, top: 0, height: 200 };
  const times = (key: string): readonly number[] => {
    const moved = viewAfterKey(view, timeline, { key, shiftKey: false });
    return moved === null ? [] : [moved.from, moved.to];
  };
  assert.deepEqual(times('Home'), [0, 100]);
  assert.deepEqual(times('End'), [900, 1000]);
  assert.deepEqual(times('0'), [0, 1000]);
  assert.deepEqual(times('ArrowRight'), [410, 510]);
});

test('revealSpan: a span of any row is in the window afterwards, which keeps its width', () => {
  fc.assert(
    fc.property(views, fc.nat(49), (view, row) => {
      const shown = revealSpan(view, timeline, { row, span: 0 });
      assertWithin(shown);
      const { starts, ends } = at(timeline.rows, row);
      assert.ok(at(ends, 0) > shown.from && at(starts, 0) < shown.to);
      assert.ok(row * 20 >= shown.top && row * 20 + 20 <= shown.top + 200);
      assert.ok(Math.abs(shown.to - shown.from - (view.to - view.from)) < 1e-8);
    }),
  );
});
