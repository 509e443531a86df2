/** Axes: ticks at round numbers within the axis; labels never upon one another. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { boxAround, linearScale, logScale, placeLabels } from './scales.ts';

const pixels = { from: 0, to: 100 };

test('linearScale: ticks are multiples of 1, 2 or 5 times a power of ten, inside the domain', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 1e6, noNaN: true }),
      fc.double({ min: 1e-3, max: 1e6, noNaN: true }),
      (from, width) => {
        const { ticks } = linearScale({ from, to: from + width }, pixels);
        assert.ok(ticks.length >= 2 && ticks.length <= 8, `${ticks.length} ticks`);
        for (const tick of ticks) {
          assert.ok(tick >= from - width * 1e-6 && tick <= from + width * (1 + 1e-6));
        }
      },
    ),
  );
  assert.deepEqual(
    linearScale({ from: 0, to: 20 }, pixels, 10).ticks,
    [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20],
  );
});

test('logScale: a decade has the same width everywhere; few decades get ticks between', () => {
  const { at, ticks } = logScale({ from: 1, to: 1e4 }, pixels);
  assert.deepEqual(ticks, [1, 10, 100, 1000, 10000]);
  assert.ok(Math.abs(at(100) - 50) < 1e-9);
  assert.deepEqual(logScale({ from: 10, to: 100 }, pixels).ticks, [10, 20, 50, 100]);
});

test('placeLabels: no label covers another, a marker, or the edge; what has no room is left out', () => {
  const bounds = { left: 0, right: 300, top: 0, bottom: 200 };
  const point = fc.record({
    x: fc.double({ min: 0, max: 300, noNaN: true }),
    y: fc.double({ min: 0, max: 200, noNaN: true }),
    radius: fc.constant(5),
    width: fc.double({ min: 10, max: 120, noNaN: true }),
  });
  fc.assert(
    fc.property(fc.array(point, { maxLength: 12 }), (wishes) => {
      const obstacles = wishes.map((wish) => boxAround(wish, wish.radius));
      const boxes = placeLabels(wishes, { bounds, obstacles }).flatMap((place, index) => {
        if (place === null) return [];
        const width = wishes[index]?.width ?? 0;
        const left = place.anchor === 'start' ? place.x : place.x - width;
        return [{ left, right: left + width, top: place.y - 10, bottom: place.y + 2 }];
      });
      for (const [index, box] of boxes.entries()) {
        assert.ok(box.left >= -1e-9 && box.right <= 300 + 1e-9);
        for (const other of [...boxes.slice(index + 1), ...obstacles]) {
          const isApart =
            box.left >= other.right - 1e-9 ||
            other.left >= box.right - 1e-9 ||
            box.top >= other.bottom - 1e-9 ||
            other.top >= box.bottom - 1e-9;
          assert.ok(isApart, JSON.stringify([box, other]));
        }
      }
    }),
  );
  const alone = placeLabels([{ x: 10, y: 20, radius: 5, width: 40 }], { bounds, obstacles: [] });
  assert.deepEqual(alone, [{ x: 20, y: 24, anchor: 'start', leader: null }]);
  const small = { left: 0, right: 30, top: 0, bottom: 30 };
  assert.deepEqual(
    placeLabels([{ x: 10, y: 20, radius: 5, width: 40 }], { bounds: small, obstacles: [] }),
    [null],
  );
});
