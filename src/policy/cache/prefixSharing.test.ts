/** Shared prefixes: what is found is what was computed, and blocks are never lost or mixed up. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BlockManager } from './blockManager.ts';

const SIZE = 4;

function filled(
  manager: BlockManager,
  sequenceId: number,
  ids: readonly number[],
  salt = '',
): void {
  manager.adopt(sequenceId, { ids, salt });
  manager.reserve(sequenceId, ids.length);
  manager.note(sequenceId, { ids, numComputed: ids.length, salt, isDrafted: false });
}

test('BlockManager: a prompt that begins like another one gets its full blocks', () => {
  const manager = new BlockManager({ numBlocks: 8, blockSize: SIZE });
  const ids = [1, 2, 3, 4, 5, 6, 7, 8, 9];
  filled(manager, 1, ids);
  const first = [...manager.blocksOf(1)];
  assert.deepEqual(manager.adopt(2, { ids, salt: '' }), { positions: 8, draftedPositions: 0 });
  assert.deepEqual(manager.blocksOf(2), first.slice(0, 2));
  manager.release(1);
  assert.equal(manager.numFree, 6, 'blocks in use by the second stay owned');
  assert.equal(manager.adopt(3, { ids: [1, 2, 3, 4, 0, 0], salt: '' }).positions, 4);
});

test('BlockManager: the last token of a prompt is always left to run', () => {
  const manager = new BlockManager({ numBlocks: 8, blockSize: SIZE });
  filled(manager, 1, [1, 2, 3, 4, 5, 6, 7, 8]);
  assert.equal(manager.adopt(2, { ids: [1, 2, 3, 4, 5, 6, 7, 8], salt: '' }).positions, 4);
});

test('BlockManager: requests of another salt find nothing', () => {
  const manager = new BlockManager({ numBlocks: 8, blockSize: SIZE });
  filled(manager, 1, [1, 2, 3, 4, 5], 'one');
  assert.equal(manager.adopt(2, { ids: [1, 2, 3, 4, 5], salt: 'two' }).positions, 0);
  assert.equal(manager.adopt(3, { ids: [1, 2, 3, 4, 5], salt: 'one' }).positions, 4);
});

test('BlockManager: what is known of drafts reaches up to the first block without them', () => {
  const manager = new BlockManager({ numBlocks: 8, blockSize: SIZE });
  const ids = [1, 2, 3, 4, 5, 6, 7, 8, 9];
  manager.reserve(1, ids.length);
  manager.note(1, { ids, numComputed: 4, salt: '', isDrafted: true });
  manager.note(1, { ids, numComputed: 9, salt: '', isDrafted: false });
  assert.deepEqual(manager.adopt(2, { ids, salt: '' }), { positions: 8, draftedPositions: 4 });
});

test('BlockManager: unused tokens give way when room is needed, the longest unused first', () => {
  const manager = new BlockManager({ numBlocks: 4, blockSize: SIZE });
  filled(manager, 1, [1, 1, 1, 1, 1]);
  manager.release(1);
  filled(manager, 2, [2, 2, 2, 2, 2]);
  manager.release(2);
  assert.equal(manager.numUnused, 2);
  manager.reserve(3, 3 * SIZE);
  assert.equal(manager.adopt(4, { ids: [1, 1, 1, 1, 1], salt: '' }).positions, 0);
  assert.equal(manager.adopt(5, { ids: [2, 2, 2, 2, 2], salt: '' }).positions, 4);
});

test('BlockManager: flush forgets what nobody uses and nothing else', () => {
  const manager = new BlockManager({ numBlocks: 4, blockSize: SIZE });
  filled(manager, 1, [1, 1, 1, 1, 1]);
  filled(manager, 2, [2, 2, 2, 2, 2]);
  manager.release(1);
  assert.equal(manager.flush(), 1);
  assert.equal(manager.numFree, 2);
  assert.equal(manager.adopt(3, { ids: [2, 2, 2, 2, 2], salt: '' }).positions, 4);
});

test('BlockManager: whatever happens, adopted blocks hold the tokens asked for', () => {
  const event = fc.record({
    sequenceId: fc.nat(4),
    ids: fc.array(fc.nat(1), { minLength: 1, maxLength: 14 }),
    what: fc.constantFrom('begin', 'grow', 'release', 'flush'),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      const manager = new BlockManager({ numBlocks: 9, blockSize: SIZE });
      /** What a real cache would hold, block by block. */
      const contents = new Map<number, string>();
      const live = new Map<number, number[]>();
      const run = (sequenceId: number, ids: number[], from: number): void => {
        const blocks = manager.blocksOf(sequenceId);
        for (let p = from; p < ids.length; p++) {
          const block = blocks[Math.floor(p / SIZE)] as number;
          const before = p % SIZE === 0 ? ids.slice(0, p).join() : (contents.get(block) ?? '');
          contents.set(block, `${before},${ids[p]}`);
        }
        manager.note(sequenceId, { ids, numComputed: ids.length, salt: '', isDrafted: false });
      };
      for (const { sequenceId, ids, what } of events) {
        if (what === 'flush') manager.flush();
        if (what === 'release') {
          manager.release(sequenceId);
          live.delete(sequenceId);
        }
        const known = live.get(sequenceId);
        if (what === 'begin' && known === undefined) {
          const needs = Math.ceil(ids.length / SIZE);
          const { numBlocks, numUnused } = manager.peek({ ids, salt: '' });
          if (needs - numBlocks > manager.numFree - numUnused) continue;
          const { positions } = manager.adopt(sequenceId, { ids, salt: '' });
          assert.ok(positions < ids.length);
          for (const [i, block] of manager.blocksOf(sequenceId).entries()) {
            const text = ids.slice(0, (i + 1) * SIZE).join();
            assert.equal(contents.get(block)?.replace(/^,/, ''), text);
          }
          manager.reserve(sequenceId, ids.length);
          run(sequenceId, ids, positions);
          live.set(sequenceId, ids);
        }
        if (what === 'grow' && known !== undefined) {
          const grown = [...known, ...ids];
          if (manager.numMissing(sequenceId, grown.length) > manager.numFree) continue;
          manager.reserve(sequenceId, grown.length);
          run(sequenceId, grown, known.length);
          live.set(sequenceId, grown);
        }
        const owned = new Set([...live.keys()].flatMap((id) => [...manager.blocksOf(id)]));
        assert.equal(manager.numFree, 9 - owned.size);
      }
    }),
    { numRuns: 300 },
  );
});
