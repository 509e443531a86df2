/** The word cache: it may forget, and never answers wrongly. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { IntList } from './intList.ts';
import { WordCache } from './wordCache.ts';

/** Ids that only this word has. */
function idsOf(word: Uint8Array): number[] {
  return [...word].map((byte, i) => byte * 1000 + i);
}

test('WordCache: what it answers is what was stored, however often it overflows', () => {
  const words = fc.array(fc.uint8Array({ minLength: 1, maxLength: 60 }), { maxLength: 400 });
  fc.assert(
    fc.property(words, (list) => {
      const cache = new WordCache(16);
      for (const word of [...list, ...list]) {
        const bytes = Uint8Array.of(255, ...word, 255);
        const out = new IntList(1);
        out.push(7);
        if (cache.append(bytes, 1, word.length + 1, out)) {
          assert.deepEqual([...out.toArray()], [7, ...idsOf(word)]);
        } else {
          assert.equal(out.length, 1);
          for (const id of idsOf(word)) out.push(id);
          cache.store({ bytes, start: 1, end: word.length + 1 }, out, 1);
        }
      }
    }),
    { numRuns: 60 },
  );
});

test('WordCache: knows a word that was just stored, and not one too long to keep', () => {
  const cache = new WordCache(16);
  const out = new IntList(8);
  out.push(1);
  const bytes = new Uint8Array(49).fill(65);
  for (const [end, isKept] of [
    [3, true],
    [48, true],
    [49, false],
  ] as const) {
    cache.store({ bytes, start: 0, end }, out, 0);
    assert.equal(cache.append(bytes, 0, end, new IntList(8)), isKept);
  }
});
