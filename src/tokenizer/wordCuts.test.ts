/** Cuts: where no token crosses, and nowhere else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { spellBytes } from './byteAlphabet.ts';
import { Vocabulary } from './vocabulary.ts';
import { WordCuts } from './wordCuts.ts';

const encoder = new TextEncoder();

/** A vocabulary of these byte strings. */
function vocabularyOf(tokens: readonly Uint8Array[]): Vocabulary {
  const vocabulary = new Vocabulary();
  tokens.forEach((token, id) => {
    const spelled = encoder.encode(spellBytes(token));
    vocabulary.add(id, spelled, 0, spelled.length);
  });
  return vocabulary;
}

function cutsOf(vocabulary: Vocabulary, text: string): readonly string[] {
  const bytes = encoder.encode(text);
  const cuts = new Int32Array(bytes.length);
  const count = new WordCuts(vocabulary).find(bytes, { start: 0, end: bytes.length }, cuts);
  const ends = [...cuts.subarray(0, count), bytes.length];
  const decoder = new TextDecoder('utf-8', { fatal: true });
  return ends.map((end, i) => decoder.decode(bytes.subarray(i === 0 ? 0 : ends[i - 1], end)));
}

test('WordCuts: cuts between characters that no token joins', () => {
  const vocabulary = vocabularyOf(['阿拉', '拉伯', '联合', 'the'].map((t) => encoder.encode(t)));
  assert.deepEqual(cutsOf(vocabulary, '是阿拉伯联合the国'), ['是', '阿拉伯', '联合', 'the', '国']);
  assert.deepEqual(cutsOf(vocabulary, 'abc'), ['abc']);
});

test('WordCuts: minds tokens that begin or end inside a character', () => {
  const bytes = encoder.encode('中国');
  const tail = vocabularyOf([bytes.subarray(2, 6)]);
  assert.deepEqual(cutsOf(tail, '中国'), ['中国']);
  const head = vocabularyOf([bytes.subarray(0, 4)]);
  assert.deepEqual(cutsOf(head, '中国'), ['中国']);
  assert.deepEqual(cutsOf(head, '国中'), ['国', '中']);
});

test('WordCuts: no token crosses a cut, whatever the vocabulary', () => {
  const text = fc.string({
    unit: fc.constantFrom('a', 'é', 'ж', '中', '国', '😀', '😁'),
    maxLength: 9,
  });
  const piece = fc.tuple(text, fc.nat(40), fc.nat(40)).map(([one, from, length]) => {
    const bytes = encoder.encode(one);
    const start = from % (bytes.length + 1);
    return bytes.slice(start, start + 1 + (length % 8));
  });
  const pieces = fc.uniqueArray(piece, {
    selector: (bytes) => bytes.join(),
    maxLength: 12,
    size: 'max',
  });
  fc.assert(
    fc.property(pieces, text, (tokens, word) => {
      const parts = cutsOf(vocabularyOf(tokens.filter((token) => token.length > 0)), word);
      assert.equal(parts.join(''), word);
      const bytes = encoder.encode(word).join();
      let cut = 0;
      for (const part of parts.slice(0, -1)) {
        cut += encoder.encode(part).length;
        for (const token of tokens) {
          for (let inside = 1; inside < token.length; inside++) {
            const at = cut - inside;
            const here = encoder.encode(word).slice(Math.max(0, at), at + token.length);
            assert.ok(
              at < 0 || here.join() !== token.join(),
              `${token} crosses ${cut} of ${bytes}`,
            );
          }
        }
      }
    }),
    { numRuns: 500 },
  );
});
