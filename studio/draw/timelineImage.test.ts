/** A part of a timeline as an image: each row in its lines and colours, and a pan shifts it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { at } from '../../src/base/assert.ts';
import { gapsAndLengths, rowOf } from '../../tests/support/timelineRows.ts';
import { type ImageStyle, pixelOf, rowAtPixel, timelineImage, topOfRow } from './timelineImage.ts';
import { rowsOf, type TimelineSpan, timelineOf } from './timelineIndex.ts';

/** Colours that are told apart: kinds from 10 on, of the simulated rows from 30 on. */
const style: ImageStyle = {
  scale: 1,
  rowPixels: 1,
  gapPixels: 0,
  colors: {
    spans: {
      real: Uint32Array.from({ length: 8 }, (_, kind) => 10 + kind),
      simulated: Uint32Array.from({ length: 8 }, (_, kind) => 30 + kind),
    },
    bubble: 1,
    hatch: 2,
  },
  pixelRatio: 1,
};

const span = (start: number, end: number, kind: TimelineSpan['kind']): TimelineSpan => ({
  start,
  end,
  kind,
  label: '',
});
const bubble = { from: 0, to: 8 };
const timeline = timelineOf([
  ...rowsOf({ name: '0', source: 'real', bubble }, [span(0, 3, 'forward'), span(5, 5.2, 'weight')]),
  ...rowsOf({ name: '0', source: 'simulated', bubble: null }, [span(9, 10, 'weight')]),
]);
const all = { left: 0, right: 10, top: 0, bottom: 2 };

test('timelineImage: spans, bubbles and ground are told apart, line by line', () => {
  const pixels = timelineImage(timeline, style, all);
  assert.deepEqual([...pixels.subarray(0, 10)], [10, 10, 10, 1, 1, 12, 1, 1, 0, 0]);
  assert.deepEqual([...pixels.subarray(10)], [0, 0, 0, 0, 0, 0, 0, 0, 0, 32]);
});

test('timelineImage: a row fills its height but for the gap, its bubble hatched', () => {
  const high = { ...style, rowPixels: 8, gapPixels: 2 };
  const pixels = timelineImage(timeline, high, { ...all, bottom: 16 });
  const lines = Array.from({ length: 16 }, (_, y) => [...pixels.subarray(10 * y, 10 * y + 10)]);
  for (const [y, line] of lines.entries()) {
    if (y % 8 >= 6) assert.deepEqual(new Set(line), new Set([0]));
    else assert.equal(line.at(y < 8 ? 0 : 9), y < 8 ? 10 : 32);
  }
  const shades = lines.slice(0, 6).flatMap((line) => [3, 4, 6, 7].map((x) => at(line, x)));
  assert.deepEqual(new Set(shades), new Set([1, 2]));
});

test('timelineImage: a part of the picture is what the whole has there, for rows of any height', () => {
  const rowPixels = fc.oneof(
    fc.integer({ min: 1, max: 20 }),
    fc.double({ min: 0.1, max: 30, noNaN: true }),
  );
  fc.assert(
    fc.property(
      fc.array(gapsAndLengths, { minLength: 1, maxLength: 5 }),
      rowPixels,
      fc.constantFrom(1, 1.5, 2),
      fc.record({ x: fc.nat(60), y: fc.nat(30), width: fc.nat(30), height: fc.nat(30) }),
      (rows, height, pixelRatio, { x, y, width, height: tall }) => {
        const drawn = timelineOf(rows.map((pairs) => rowOf(pairs, { from: 0, to: 70 })));
        const look = { ...style, rowPixels: height, gapPixels: height > 4 ? 2 : 0, pixelRatio };
        const whole = timelineImage(drawn, look, { left: 0, right: 100, top: 0, bottom: 64 });
        const part = { left: x, right: x + width + 1, top: y, bottom: y + tall + 1 };
        const pixels = timelineImage(drawn, look, part);
        for (let line = 0; line <= tall; line++) {
          const from = (y + line) * 100 + x;
          assert.deepEqual(
            pixels.subarray(line * (width + 1), (line + 1) * (width + 1)),
            whole.subarray(from, from + width + 1),
          );
        }
      },
    ),
  );
});

test('topOfRow: the first line whose row is this one', () => {
  const rowPixels = fc.double({ min: 1, max: 40, noNaN: true });
  fc.assert(
    fc.property(fc.nat(3000), rowPixels, (row, height) => {
      const top = topOfRow(row, height);
      assert.equal(rowAtPixel(top, height), row);
      if (row > 0) assert.equal(rowAtPixel(top - 1, height), row - 1);
    }),
  );
});

test('pixelOf: bytes lie in the order of an image', () => {
  assert.deepEqual(
    [...new Uint8Array(Uint32Array.of(pixelOf('#102030')).buffer)],
    [0x10, 0x20, 0x30, 255],
  );
});
