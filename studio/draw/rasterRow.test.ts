/** Rows as pixels: each span is seen, a pan shifts the picture, a row costs what is visible. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { at } from '../../src/base/assert.ts';
import { gapsAndLengths, rowOf } from '../../tests/support/timelineRows.ts';
import {
  BUBBLE,
  FIRST_KIND,
  NOTHING,
  type PixelRange,
  pixelAt,
  rasterRow,
  wideSpans,
} from './rasterRow.ts';
import type { TimelineRow } from './timelineIndex.ts';

const scales = fc.double({ min: 0.01, max: 12, noNaN: true });
const ranges = fc.record({
  left: fc.integer({ min: -50, max: 900 }),
  width: fc.integer({ min: 1, max: 500 }),
});

interface Drawn {
  readonly codes: Uint8Array;
  readonly visits: number;
}

function draw(row: TimelineRow, scale: number, { left, right }: PixelRange): Drawn {
  const codes = new Uint8Array(right - left);
  const visits = { spans: 0 };
  rasterRow(row, { start: 0, scale }, { left, right, codes, visits });
  return { codes, visits: visits.spans };
}

test('rasterRow: each pixel shows a span of its own, or nothing where no span is near', () => {
  fc.assert(
    fc.property(gapsAndLengths, scales, ranges, (pairs, scale, { left, width }) => {
      const row = rowOf(pairs);
      const { codes } = draw(row, scale, { left, right: left + width });
      for (const [pixel, code] of codes.entries()) {
        const spans = spansAt(row, scale, left + pixel);
        if (code !== NOTHING) {
          assert.ok(spans.some((span) => FIRST_KIND + at(row.kinds, span) === code));
        } else if (spans.length > 0) {
          // The last pixel of a span that spares one before its neighbour.
          const [span, ...others] = spans;
          assert.deepEqual(others, []);
          const end = pixelAt({ start: 0, scale }, at(row.ends, span ?? 0));
          assert.equal(left + pixel, end - 1);
          assert.ok(pixelAt({ start: 0, scale }, at(row.starts, (span ?? 0) + 1)) <= end);
        }
      }
    }),
  );
});

/** Spans that own a pixel: those that begin in it or reach over it. */
function spansAt({ starts, ends }: TimelineRow, scale: number, pixel: number): number[] {
  return [...starts.keys()].filter((span) => {
    const begin = pixelAt({ start: 0, scale }, at(starts, span));
    return (
      begin <= pixel && pixel < Math.max(begin + 1, pixelAt({ start: 0, scale }, at(ends, span)))
    );
  });
}

test('rasterRow: any part of a row is that part of the whole row, pixel by pixel', () => {
  fc.assert(
    fc.property(gapsAndLengths, scales, ranges, (pairs, scale, { left, width }) => {
      const bubble = { from: 1, to: 90 };
      const row = rowOf(pairs, bubble);
      const whole = draw(row, scale, { left: -60, right: 1500 });
      const part = draw(row, scale, { left, right: left + width });
      assert.deepEqual(part.codes, whole.codes.subarray(left + 60, left + 60 + width));
    }),
  );
});

test('rasterRow: where no span is, a bubble is shown from its start to its end', () => {
  const row = rowOf(
    [
      [0, 3],
      [2, 1],
    ],
    { from: 0, to: 8 },
  );
  const { codes } = draw(row, 1, { left: 0, right: 10 });
  const [F, B] = [FIRST_KIND, FIRST_KIND + 1];
  assert.deepEqual([...codes], [F, F, F, BUBBLE, BUBBLE, B, BUBBLE, BUBBLE, NOTHING, NOTHING]);
});

test('rasterRow: a row looks at O(visible + log n) spans, and at no more than pixels allow', () => {
  fc.assert(
    fc.property(gapsAndLengths, scales, ranges, (pairs, scale, { left, width }) => {
      const row = rowOf(pairs);
      const { visits } = draw(row, scale, { left, right: left + width });
      const visible = [...row.starts.keys()].filter((span) => {
        const begin = pixelAt({ start: 0, scale }, at(row.starts, span));
        const end = Math.max(begin + 1, pixelAt({ start: 0, scale }, at(row.ends, span)));
        return end > left && begin < left + width;
      }).length;
      const log2 = Math.ceil(Math.log2(row.starts.length + 1));
      assert.ok(visits <= 4 * visible + log2 + 1, `${visits} visits of ${visible}`);
      assert.ok(visits <= width * (1 + 2 * (1 + log2)) + log2 + 1, `${visits} on ${width} px`);
    }),
  );
});

test('rasterRow: of 400,000 spans a window looks at no more than of 4,000', () => {
  const rows = [4000, 400_000].map((spans) => rowOf(Array.from({ length: spans }, () => [1, 3])));
  const seen = rows.map((row) => draw(row, 12, { left: 96_000, right: 97_200 }).visits);
  assert.ok(at(seen, 0) <= 26 + 13, `${at(seen, 0)} visits`);
  assert.ok(at(seen, 1) <= at(seen, 0) + 8);
  // The whole on 1,200 pixels: 333 spans in each, found by doubling.
  const all = draw(at(rows, 1), 1200 / 1_600_000, { left: 0, right: 1200 });
  assert.ok(all.visits <= 1200 * 2 * 12, `${all.visits} visits`);
  assert.ok(all.codes.every((code) => code !== NOTHING));
});

test('wideSpans: all spans of that many pixels in the range, and no other', () => {
  const widths = fc.integer({ min: 1, max: 40 });
  fc.assert(
    fc.property(gapsAndLengths, scales, ranges, widths, (pairs, scale, range, width) => {
      const row = rowOf(pairs);
      const [left, right] = [range.left, range.left + range.width];
      const found = [...wideSpans(row, { start: 0, scale }, { left, right, width })];
      const expected = [...row.starts.keys()].flatMap((span) => {
        const begin = pixelAt({ start: 0, scale }, at(row.starts, span));
        const end = pixelAt({ start: 0, scale }, at(row.ends, span));
        const isSeen = Math.max(end, begin + 1) > left && begin < right;
        return isSeen && end - begin >= width ? [{ span, begin, end }] : [];
      });
      assert.deepEqual(found, expected);
    }),
  );
});
