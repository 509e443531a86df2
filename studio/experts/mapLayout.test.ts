/** Maps of any size: cells keep their least size, labels their room, keys their bounds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { labelSteps, leastMapWidth, mapBox, mapHeight, placeAfterKey } from './mapLayout.ts';

const grids = fc.record({
  numRows: fc.integer({ min: 1, max: 61 }),
  numColumns: fc.integer({ min: 1, max: 384 }),
});

test('a map: rows from 10 to 34 pixels, columns from 6, labels that do not touch', () => {
  fc.assert(
    fc.property(grids, fc.integer({ min: 320, max: 1440 }), (grid, page) => {
      const height = mapHeight(grid);
      const width = Math.max(page, leastMapWidth(grid));
      const rowHeight = height / grid.numRows;
      assert.ok(rowHeight > 9.5 && rowHeight < 35);
      assert.ok(width / grid.numColumns >= 6);
      const steps = labelSteps(grid, mapBox(width, height));
      assert.ok(steps.row * rowHeight >= 13.9);
      assert.ok((steps.column * width) / grid.numColumns >= 25.9);
    }),
  );
});

test('placeAfterKey: arrows stay on the map, and begin in its corner', () => {
  const grid = { numRows: 3, numColumns: 4 };
  assert.deepEqual(placeAfterKey('ArrowDown', null, grid), { row: 0, column: 0 });
  const from = { row: 1, column: 3 };
  assert.deepEqual(placeAfterKey('ArrowRight', from, grid), from);
  assert.deepEqual(placeAfterKey('ArrowUp', from, grid), { row: 0, column: 3 });
  assert.equal(placeAfterKey('Enter', from, grid), null);
});
