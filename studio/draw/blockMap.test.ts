/** Blocks of a cache as squares: every block once, inside the picture, counted as it is drawn. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BlockManager } from '../../src/policy/cache/blockManager.ts';
import { blockBoxes, blockStates, countBlocks, layoutBlocks } from './blockMap.ts';

const colors = { empty: 'empty', unused: 'unused', requests: ['a', 'b', 'c'] };

test('blockStates: a manager’s requests, its remembered blocks, and the rest', () => {
  const manager = new BlockManager({ numBlocks: 12, blockSize: 4 });
  const ids = Array.from({ length: 9 }, (_, i) => i);
  const known = { ids, numComputed: 9, salt: '', isDrafted: false };
  for (const sequence of [1, 2, 3]) {
    manager.adopt(sequence, { ids, salt: '' });
    manager.reserve(sequence, 9);
    manager.note(sequence, known);
  }
  manager.reserve(4, 8);
  manager.note(4, { ...known, ids: ids.map((id) => id + 50), numComputed: 8 });
  manager.release(4);
  const requests = [1, 2, 3].map((id) => ({
    requestId: `${id}`,
    blocks: manager.blocksOf(id),
  }));
  const map = { numBlocks: 12, blockSize: 4, requests, unused: manager.unusedBlocks };
  const states = blockStates(map);
  // Two blocks of a common beginning, and for each its last one.
  assert.deepEqual(countBlocks(states), { owned: 5, shared: 2, unused: 2, empty: 5 });
  assert.equal(countBlocks(states).empty + countBlocks(states).unused, manager.numFree);
  const [first] = manager.blocksOf(1);
  assert.deepEqual(states[first ?? -1], { kind: 'owned', requests: [0, 1, 2] });
});

test('blockBoxes: every block has its square, none leaves the picture or covers another', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 4000 }),
      fc.integer({ min: 60, max: 1440 }),
      (n, width) => {
        const states = blockStates({ numBlocks: n, blockSize: 64, requests: [], unused: [0] });
        const layout = layoutBlocks(n, width);
        const boxes = blockBoxes(states, layout, colors);
        assert.equal(boxes.length, n);
        assert.equal(new Set(boxes.map(({ left, top }) => `${left} ${top}`)).size, n);
        for (const { left, top, width: side, height } of boxes) {
          assert.ok(left >= 0 && left + side <= width && side <= layout.pitch);
          assert.ok(top + height <= layout.rows * layout.pitch);
        }
        assert.equal(boxes[0]?.fill, 'unused');
      },
    ),
  );
});

test('blockBoxes: a shared block has the colours of its first and its last request', () => {
  const requests = [[0], [0, 1], [0, 2]].map((blocks, i) => ({ requestId: `${i}`, blocks }));
  const states = blockStates({ numBlocks: 4, blockSize: 64, requests, unused: [] });
  const boxes = blockBoxes(states, { columns: 4, rows: 1, pitch: 10 }, colors);
  assert.deepEqual(
    boxes.map(({ left, width, fill }) => [left, width, fill]),
    [
      [0, 9, 'a'],
      [4, 5, 'c'],
      [10, 9, 'b'],
      [20, 9, 'c'],
      [30, 9, 'empty'],
    ],
  );
});
