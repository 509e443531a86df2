/** The word cache: it may forget, and never answers wrongly. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Random } from '../base/random.ts';
import { IntList } from './intList.ts';
import { WordCache } from './wordCache.ts';

/** Ids that only this word has, fewer or more than its bytes. */
function idsOf(word: Uint8Array): number[] {
  const name = word.reduce((sum, byte) => (sum * 257 + byte + 1) % 1_000_003, 7);
  return Array.from({ length: 1 + (name % 5) }, (_, i) => name * 10 + i);
}

test('WordCache: what it answers is what was stored, however often it overflows', () => {
  const word = fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 60, size: 'max' }),
    // Few letters, so that what is left of forgotten words looks like others.
    fc.uint8Array({ max: 1, minLength: 1, maxLength: 12, size: 'max' }),
  );
  const words = fc.array(word, { maxLength: 400, size: 'max' });
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

test('WordCache: words with one hash are told apart', () => {
  // Among so many words, several of those kept share all 32 bits of the hash with one asked for.
  const cache = new WordCache(2 ** 15);
  const random = new Random(1);
  const bytes = new Uint8Array(8);
  const words = new Uint32Array(bytes.buffer);
  for (let i = 0; i < 400_000; i++) {
    words[0] = i;
    words[1] = random.uint32();
    const out = new IntList(1);
    assert.equal(cache.append(bytes, 0, 8, out), false);
    out.push(i);
    cache.store({ bytes, start: 0, end: 8 }, out, 0);
  }
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
