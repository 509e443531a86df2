/** Marks of a token's experts lie in their cells, and grow with their weight. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { at } from '../../src/base/assert.ts';
import { cellBox, LIGHT_COLOURS } from './heatMap.ts';
import { routeCells, routeLegend, routeMarks } from './routeMap.ts';

const colours = LIGHT_COLOURS;
const box = { left: 4, top: 6, width: 640, height: 200 };

test('routeMarks: every mark lies in the cell of its expert', () => {
  const sizes = fc.record({
    numRows: fc.integer({ min: 1, max: 60 }),
    numColumns: fc.integer({ min: 1, max: 256 }),
    row: fc.nat(1000),
    column: fc.nat(1000),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
  });
  fc.assert(
    fc.property(sizes, ({ numRows, numColumns, share, ...place }) => {
      const grid = { numRows, numColumns };
      const choice = { row: place.row % numRows, column: place.column % numColumns, share };
      const mark = at(routeMarks(grid, [choice], { box, colours }), 0);
      const cell = cellBox(grid, choice, box);
      const slack = 1e-9;
      assert.ok(mark.left >= cell.left - slack && mark.top >= cell.top - slack);
      assert.ok(mark.left + mark.width <= cell.left + cell.width + slack);
      assert.ok(mark.top + mark.height <= cell.top + cell.height + slack);
      assert.equal(mark.form, Math.min(cell.width, cell.height) < 8 ? 'filled' : 'ringed');
    }),
  );
});

test('routeMarks: more weight, a larger mark', () => {
  const grid = { numRows: 4, numColumns: 8 };
  const choices = [0.1, 0.3, 0.6].map((share, column) => ({ row: 1, column, share }));
  const widths = routeMarks(grid, choices, { box, colours }).map(({ width }) => width);
  assert.deepEqual(
    widths,
    [...widths].sort((a, b) => a - b),
  );
});

test('routeCells: an expert without a token has the colour of the ground, one with all the end', () => {
  const grid = { numRows: 1, numColumns: 3, values: [0, 2, 4] };
  const [none, some, all] = routeCells(grid, 4, { box, colours });
  assert.equal(none?.fill, 'rgb(247, 247, 247)');
  assert.equal(all?.fill, 'rgb(200, 80, 0)');
  assert.notEqual(some?.fill, all?.fill);
  assert.deepEqual(
    [none, some, all].map((cell) => cell?.mark),
    ['none', 'none', 'none'],
  );
});

test('routeLegend: whole numbers of tokens from none to the most, each once', () => {
  const counts = (most: number): number[] => routeLegend(most, colours).map(({ count }) => count);
  assert.deepEqual(
    [counts(19), counts(2), counts(1), counts(0)],
    [
      [0, 10, 19],
      [0, 1, 2],
      [0, 1],
      [0, 1],
    ],
  );
  assert.equal(routeLegend(19, colours)[2]?.fill, 'rgb(200, 80, 0)');
});
