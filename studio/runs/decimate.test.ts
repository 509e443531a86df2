/** Laws of decimation: what can be seen stays. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decimate, overlay } from './decimate.ts';
import type { Curve } from './series.ts';

const curves = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 5 }), fc.double({ noDefaultInfinity: true })), {
    maxLength: 400,
  })
  .map((pairs): Curve => {
    let x = 0;
    return {
      x: Float64Array.from(pairs, ([gap]) => {
        x += gap;
        return x;
      }),
      y: Float64Array.from(pairs, ([, y]) => y),
    };
  });

test('decimate: every bucket keeps its first, its least, its most and its last value', () => {
  fc.assert(
    fc.property(curves, fc.integer({ min: 1, max: 30 }), (curve, numBuckets) => {
      const from = curve.x[0] ?? 0;
      const to = curve.x.at(-1) ?? 0;
      const kept = decimate(curve, { from, to, numBuckets });
      const bucketOf = (x: number): number =>
        Math.min(numBuckets - 1, Math.floor((x - from) * (numBuckets / (to - from))));
      for (let bucket = 0; bucket < numBuckets; bucket++) {
        const inside = ({ x, y }: Curve): readonly number[] =>
          [...y].filter((_value, index) => bucketOf(x[index] ?? 0) === bucket);
        const [before, after] = [inside(curve), inside(kept)];
        const finite = (values: readonly number[]): readonly number[] =>
          values.filter((value) => !Number.isNaN(value));
        assert.equal(Math.min(...finite(after)), Math.min(...finite(before)));
        assert.equal(Math.max(...finite(after)), Math.max(...finite(before)));
        assert.equal(after[0], before[0]);
        assert.equal(after.at(-1), before.at(-1));
        assert.equal(after.some(Number.isNaN), before.some(Number.isNaN));
      }
    }),
  );
});

test('decimate: gives points of the curve only, in their order', () => {
  fc.assert(
    fc.property(curves, fc.integer(), fc.nat(), fc.nat(40), (curve, from, width, numBuckets) => {
      const kept = decimate(curve, { from, to: from + width, numBuckets });
      const places = [...kept.x].map((x) => curve.x.indexOf(x));
      assert.deepEqual(
        [...kept.y],
        places.map((place) => curve.y[place]),
      );
      for (let index = 1; index < places.length; index++) {
        assert.ok((places[index] ?? 0) > (places[index - 1] ?? 0));
      }
    }),
  );
});

test('decimate: 100,000 points on 800 pixels become 4 a pixel at most, the spike among them', () => {
  const y = Float64Array.from({ length: 100_000 }, (_value, index) => Math.sin(index / 7));
  y[54_321] = 1000;
  const x = Float64Array.from(y, (_value, index) => index);
  const kept = decimate({ x, y }, { from: 0, to: 99_999, numBuckets: 800 });
  assert.ok(kept.x.length <= 3200);
  assert.equal(Math.max(...kept.y), 1000);
});

test('decimate: a window keeps the neighbours outside it, so that lines reach the edge', () => {
  const x = Float64Array.from({ length: 100 }, (_value, index) => index);
  const kept = decimate({ x, y: x }, { from: 40.5, to: 42.5, numBuckets: 10 });
  assert.deepEqual([...kept.x], [40, 41, 42, 43, 44]);
});

test('overlay: curves of different steps share one x; a missing point is no gap', () => {
  const a = { x: Float64Array.of(1, 2, 4), y: Float64Array.of(10, Number.NaN, 40) };
  const b = { x: Float64Array.of(2, 3), y: Float64Array.of(20, 30) };
  assert.deepEqual(overlay([a, b]), [
    [1, 2, 3, 4],
    [10, null, undefined, 40],
    [undefined, 20, 30, undefined],
  ]);
});
