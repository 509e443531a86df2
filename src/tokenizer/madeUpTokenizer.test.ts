/** A made-up vocabulary: its size, its words, and every text back as it was. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { madeUpTokenizer } from './madeUpTokenizer.ts';

test('madeUpTokenizer: has the size that is asked for, and no token twice', () => {
  for (const size of [264, 265, 264 + 676, 1000, 20_000]) {
    const tokenizer = madeUpTokenizer(size);
    assert.equal(tokenizer.vocabSize, size);
    const words = new Set(Array.from({ length: size }, (_, id) => tokenizer.idToToken(id)));
    assert.equal(words.size, size);
  }
  assert.equal(madeUpTokenizer(1000).idToToken(264), 'aa');
  assert.equal(madeUpTokenizer(1000).idToToken(264 + 676), 'aaa');
});

test('madeUpTokenizer: any text comes back', () => {
  const tokenizer = madeUpTokenizer(1000);
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      assert.equal(tokenizer.decode(tokenizer.encode(text)), text);
    }),
  );
});
