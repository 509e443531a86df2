/** The heat map's laws: symmetry around the ideal, a box without seams, a hit for every cell. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  cellAt,
  cellBox,
  css,
  DARK_COLOURS,
  type HeatColours,
  heatCells,
  heatColour,
  heatLegend,
  LIGHT_COLOURS,
  limitFor,
  placeOnScale,
  type Rgb,
  valueOnScale,
} from './heatMap.ts';

const ratio = { kind: 'ratio', limit: 4 } as const;
const signed = { kind: 'signed', limit: 0.02 } as const;
const box = { left: 10, top: 20, width: 300, height: 100 };

test('placeOnScale: twice the ideal is as far from the middle as half of it', () => {
  const above = fc.double({ min: 1, max: 100, noNaN: true });
  fc.assert(
    fc.property(above, (value) => {
      const sum = placeOnScale(value, ratio) + placeOnScale(1 / value, ratio);
      // Logarithms round.
      assert.ok(Math.abs(sum) < 1e-12);
    }),
  );
  assert.equal(placeOnScale(1, ratio), 0);
  assert.equal(placeOnScale(4, ratio), 1);
  assert.equal(placeOnScale(0, signed), 0);
  assert.equal(placeOnScale(-1, signed), -1);
});

test('valueOnScale: undoes placeOnScale within the limits', () => {
  for (const scale of [ratio, signed]) {
    fc.assert(
      fc.property(fc.double({ min: -1, max: 1, noNaN: true }), (place) => {
        const back = placeOnScale(valueOnScale(place, scale), scale);
        assert.ok(Math.abs(back - place) < 1e-12);
      }),
    );
  }
});

test('heatColour: the ideal has the middle colour, what lies beyond the limit its end', () => {
  for (const colours of [LIGHT_COLOURS, DARK_COLOURS]) {
    assert.deepEqual(heatColour(1, ratio, colours), colours.middle);
    assert.deepEqual(heatColour(100, ratio, colours), colours.high);
    assert.deepEqual(heatColour(0.01, ratio, colours), colours.low);
    assert.deepEqual(heatColour(-1, signed, colours), colours.low);
  }
});

test('The palettes: ends differ from one another and the middle for dichromats too', () => {
  for (const colours of [LIGHT_COLOURS, DARK_COLOURS]) {
    for (const seen of [asProtanope, asDeuteranope, (colour: Rgb) => colour]) {
      const { low, middle, high } = seenBy(colours, seen);
      assert.ok(distance(low, high) > 80, `${low} and ${high}`);
      assert.ok(distance(low, middle) > 80, `${low} and ${middle}`);
      assert.ok(distance(high, middle) > 80, `${high} and ${middle}`);
    }
  }
});

test('heatCells: values stay as they are, the dead and the unknown are marked', () => {
  const values = [0, 0.5, Number.NaN, 1, 2, 4];
  const plan = { scale: ratio, colours: LIGHT_COLOURS, box };
  const cells = heatCells({ numRows: 2, numColumns: 3, values }, plan);
  assert.deepEqual(
    cells.map(({ value }) => value),
    values,
  );
  assert.deepEqual(
    cells.map(({ mark }) => mark),
    ['dead', 'none', 'unknown', 'none', 'none', 'none'],
  );
  assert.equal(cells[3]?.fill, css(LIGHT_COLOURS.middle));
  const [still] = heatCells({ numRows: 1, numColumns: 1, values: [0] }, { ...plan, scale: signed });
  assert.equal(still?.mark, 'none', 'a bias of 0 is no dead expert');
});

test('heatCells: refuses values that fill no grid', () => {
  const plan = { scale: ratio, colours: LIGHT_COLOURS, box };
  assert.throws(
    () => heatCells({ numRows: 2, numColumns: 2, values: [1, 2, 3] }, plan),
    /3 values/,
  );
});

test('cellAt: the middle of every cell hits that cell, and nothing is hit outside', () => {
  const size = fc.integer({ min: 1, max: 300 });
  fc.assert(
    fc.property(size, size, fc.nat(), fc.nat(), (numRows, numColumns, a, b) => {
      const grid = { numRows, numColumns };
      const cell = { row: a % numRows, column: b % numColumns };
      const { left, top, width, height } = cellBox(grid, cell, box);
      assert.deepEqual(cellAt(grid, { x: left + width / 2, y: top + height / 2 }, box), cell);
      assert.equal(cellAt(grid, { x: box.left - 1, y: 30 }, box), null);
      assert.equal(cellAt(grid, { x: box.left + box.width, y: 30 }, box), null);
      assert.equal(cellAt(grid, { x: 30, y: Number.NaN }, box), null);
    }),
  );
});

test('heatLegend: runs from end to end, the ideal in the middle', () => {
  const labels = (scale: typeof ratio | typeof signed) =>
    heatLegend(5, { scale, colours: LIGHT_COLOURS }).map(({ label }) => label);
  assert.deepEqual(labels(ratio), ['0.25×', '0.5×', '1×', '2×', '4×']);
  assert.deepEqual(labels(signed), ['−0.02', '−0.01', '0', '0.01', '0.02']);
});

test('limitFor: holds all values both ways; zeros and gaps do not stretch it', () => {
  assert.equal(limitFor([0, Number.NaN, 1, 1.5], 'ratio', 2), 2);
  assert.equal(limitFor([0.125, 3], 'ratio', 2), 8);
  assert.equal(limitFor([-0.5, 0.25], 'signed', 0.01), 0.5);
});

function seenBy(colours: HeatColours, eye: (colour: Rgb) => Rgb) {
  return { low: eye(colours.low), middle: eye(colours.middle), high: eye(colours.high) };
}

/** Viénot, Brettel and Mollon 1999, in plain sRGB: enough to tell same from different. */
function asProtanope([red, green, blue]: Rgb): Rgb {
  const yellow = 0.11238 * red + 0.88762 * green;
  return [yellow, yellow, 0.00401 * red - 0.00401 * green + blue];
}

function asDeuteranope([red, green, blue]: Rgb): Rgb {
  const yellow = 0.29275 * red + 0.70725 * green;
  return [yellow, yellow, -0.02234 * red + 0.02234 * green + blue];
}

function distance(a: Rgb, b: Rgb): number {
  return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}
