/** Blocks of the cache: conservation, exclusivity and refusal. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MoebiusError } from '../../base/errors.ts';
import { BlockManager } from './blockManager.ts';

test('BlockManager: no order of events loses, shares or invents a block', () => {
  const event = fc.record({
    sequenceId: fc.integer({ min: 0, max: 3 }),
    positions: fc.integer({ min: 0, max: 40 }),
    isRelease: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), (events) => {
      const manager = new BlockManager({ numBlocks: 7, blockSize: 4 });
      const owned = new Map<number, readonly number[]>();
      for (const { sequenceId, positions, isRelease } of events) {
        const before = manager.numFree;
        if (isRelease) {
          manager.release(sequenceId);
          owned.delete(sequenceId);
        } else {
          try {
            owned.set(sequenceId, [...manager.reserve(sequenceId, positions)]);
          } catch (error) {
            assert.ok(error instanceof MoebiusError && error.code === 'cache.full');
            assert.equal(manager.numFree, before);
          }
        }
        const all = [...owned.values()].flat();
        assert.equal(new Set(all).size, all.length);
        assert.ok(all.every((block) => block >= 0 && block < 7));
        assert.equal(manager.numFree, 7 - all.length);
      }
    }),
  );
});

test('BlockManager: a growing sequence keeps the blocks it has, in order', () => {
  const manager = new BlockManager({ numBlocks: 4, blockSize: 2 });
  const first = [...manager.reserve(1, 3)];
  manager.reserve(2, 1);
  assert.deepEqual(manager.reserve(1, 5).slice(0, 2), first);
  assert.throws(() => manager.reserve(2, 3), { code: 'cache.full' });
});
