/** Fill-in-the-middle: nothing is lost, and the rate is kept. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MoebiusError } from '../../base/errors.ts';
import { Random } from '../../base/random.ts';
import { byteTokenizer } from '../../tokenizer/byteTokenizer.ts';
import { BOS_TOKEN, EOS_TOKEN } from '../../tokenizer/specialTokens.ts';
import { encodeDocuments } from './encode.ts';
import { fimDocuments } from './fim.ts';

const codec = byteTokenizer();

test('FIM: prefix, suffix and middle, put back in place, are the document', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), fc.nat(1000), (text, seed) => {
      const documents = encodeDocuments([{ id: 'a', text }], codec);
      const random = new Random(seed);
      const ids = fimDocuments(documents, codec, { rate: 1, random }).get(0);
      const shown = codec.decode(ids ?? []);
      const parts = /^<｜fim▁begin｜>(.*)<｜fim▁hole｜>(.*)<｜fim▁end｜>(.*)$/su.exec(shown);
      assert.ok(parts, shown);
      const [, prefix, suffix, middle] = parts;
      assert.equal(`${prefix}${middle}${suffix}`, text);
    }),
  );
});

test('FIM: a tenth of the documents at rate 0.1, none at 0, by the seed', () => {
  const texts = Array.from({ length: 2000 }, (_, i) => ({ id: `${i}`, text: `document ${i}` }));
  const documents = encodeDocuments(texts, codec);
  const at = (rate: number, seed: number) =>
    fimDocuments(documents, codec, { rate, random: new Random(seed) });
  assert.equal(at(0, 1).size, 0);
  // Binomial: 200 ± 13, five deviations allowed.
  assert.ok(Math.abs(at(0.1, 1).size - 200) < 67);
  assert.deepEqual(at(0.1, 1), at(0.1, 1));
  assert.notDeepEqual([...at(0.1, 1).keys()], [...at(0.1, 2).keys()]);
});

test('FIM: a tokenizer without its tokens is refused', () => {
  const plain = byteTokenizer([BOS_TOKEN, EOS_TOKEN, '<a>', '<b>', '<c>', '<d>', '<e>', '<f>']);
  const documents = encodeDocuments([{ id: 'a', text: 'abc' }], plain);
  assert.throws(
    () => fimDocuments(documents, plain, { rate: 0.1, random: new Random(1) }),
    (error: unknown) => error instanceof MoebiusError && error.code === 'data.noFim',
  );
});
