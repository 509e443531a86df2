/** A layer over time: every column is a frame, the first and the newest are always there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EMPTY_HISTORY, withLines } from './expertFrames.ts';
import { timePicture } from './timePicture.ts';

function historyOf(numSteps: number) {
  const lines = Array.from({ length: numSteps }, (_, i) => {
    const layers = [
      { layer: 3, utilisation: [i, 1, 2] },
      { layer: 4, utilisation: [1, 1] },
    ];
    return `${JSON.stringify({ kind: 'step', step: i + 1, balance: { layers } })}\n`;
  });
  return withLines(EMPTY_HISTORY, lines.join(''));
}

test('timePicture: experts as rows, frames as columns, with the numbers of the frames', () => {
  const history = historyOf(3);
  const asked = { layer: 3, measure: 'load', mostColumns: 10 } as const;
  assert.deepEqual(timePicture(history, asked), {
    grid: { numRows: 3, numColumns: 3, values: [0, 1, 2, 1, 1, 1, 2, 2, 2] },
    frames: [0, 1, 2],
  });
  const { grid } = timePicture(history, { ...asked, layer: 9 });
  assert.equal(grid.numRows, 0, 'a layer that is not there');
});

test('timePicture: a long run is thinned evenly, its ends stay', () => {
  const sizes = fc.record({
    numSteps: fc.integer({ min: 1, max: 400 }),
    mostColumns: fc.integer({ min: 1, max: 120 }),
  });
  fc.assert(
    fc.property(sizes, ({ numSteps, mostColumns }) => {
      const history = historyOf(numSteps);
      const { grid, frames } = timePicture(history, { layer: 4, measure: 'load', mostColumns });
      assert.equal(frames.length, Math.min(numSteps, mostColumns));
      assert.equal(grid.values.length, grid.numRows * grid.numColumns);
      assert.equal(frames.at(-1), numSteps - 1);
      if (frames.length > 1) assert.equal(frames[0], 0);
      assert.equal(new Set(frames).size, frames.length);
    }),
    { numRuns: 40 },
  );
});
