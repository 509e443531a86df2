/** The held-out split, and what a validation set counts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { TextDocument } from '../../base/document.ts';
import { MoebiusError } from '../../base/errors.ts';
import { countTargets } from '../../program/microBatch.ts';
import { byteTokenizer } from '../../tokenizer/byteTokenizer.ts';
import { splitSources, utf8Length } from './split.ts';
import { bitsPerByte, validationSet } from './validation.ts';

const rules = { share: 0.1, maxBytes: 1e9 };

function documents(count: number, length = 100): readonly TextDocument[] {
  return Array.from({ length: count }, (_, i) => ({
    id: `document ${i}`,
    text: 'x'.repeat(length),
  }));
}

const ids = (list: readonly TextDocument[] | undefined): string[] =>
  (list ?? []).map((document) => document.id);

test('splitSources: whole documents up to the share, each on one side only', () => {
  const all = documents(50);
  const { training, validation, cut } = splitSources([all], rules);
  assert.equal(validation.length, 5);
  assert.equal(training[0]?.length, 45);
  assert.deepEqual(ids([...(training[0] ?? []), ...validation]).sort(), ids(all).sort());
  assert.deepEqual(cut, []);
});

test('splitSources: order and neighbours do not change who is held out', () => {
  const all = documents(50);
  const once = ids(splitSources([all], rules).validation);
  const reversed = ids(splitSources([all.toReversed()], rules).validation);
  assert.deepEqual(reversed.toSorted(), once.toSorted());
  const two = splitSources([all, documents(30, 10)], rules).validation;
  assert.deepEqual(ids(two).slice(0, 5), once);
});

test('splitSources: maxBytes holds over all sources together', () => {
  const sources = [documents(100), documents(100, 300)];
  const { validation } = splitSources(sources, { share: 0.5, maxBytes: 2000 });
  const bytes = validation.reduce((sum, { text }) => sum + text.length, 0);
  assert.ok(bytes <= 2000 && bytes >= 1000, `${bytes}`);
});

test('splitSources: of a single document the end is held out, from a line or a word on', () => {
  const lines = Array.from({ length: 100 }, (_, i) => `line ${i} of the text\n`).join('');
  const words = lines.replaceAll('\n', ' ');
  for (const [text, separator] of [
    [lines, '\n'],
    [words, ' '],
  ] as const) {
    const { training, validation, cut } = splitSources([[{ id: 'book', text }]], rules);
    const [kept, held] = [training[0]?.[0]?.text ?? '', validation[0]?.text ?? ''];
    assert.equal(kept + held, text);
    assert.ok(kept.endsWith(separator));
    assert.ok(held.length > 0.05 * text.length && held.length <= 0.1 * text.length + 1);
    assert.deepEqual(cut, ['book']);
    assert.deepEqual(ids(validation), ['book/end']);
  }
});

test('splitSources: a cut never splits a letter, and no byte is lost', () => {
  const arbitrary = fc.string({ unit: 'grapheme', minLength: 5, maxLength: 80 });
  fc.assert(
    fc.property(arbitrary, fc.double({ min: 0.01, max: 0.9, noNaN: true }), (text, share) => {
      const source = [{ id: 'a', text: `start ${text} end` }];
      const { training, validation } = splitSources([source], { share, maxBytes: 1e6 });
      const [kept, held] = [training[0]?.[0]?.text ?? '', validation[0]?.text ?? ''];
      assert.equal(kept + held, source[0]?.text);
      assert.ok(kept.isWellFormed() && held.isWellFormed());
    }),
  );
});

test('splitSources: too little text is refused', () => {
  for (const text of ['', 'x', '   y']) {
    assert.throws(
      () => splitSources([[{ id: 'a', text }]], rules),
      (error: unknown) => error instanceof MoebiusError && error.code === 'data.tooShort',
    );
  }
});

test('utf8Length: as TextEncoder counts, lone surrogates too', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme' }), (a, b) => {
      const text = `${a}\ud800${b}\udc00`;
      assert.equal(utf8Length(text), new TextEncoder().encode(text).length);
    }),
  );
});

test('validationSet: fixed batches whose targets spell exactly the bytes of the text', () => {
  const codec = byteTokenizer();
  const texts = ['Call me Ishmael. 🐋', 'Some years ago — never mind', 'x'].map((text, i) => ({
    id: `${i}`,
    text,
  }));
  const options = { shape: { length: 10, mtpDepth: 1 }, microBatch: 2 };
  const set = validationSet(texts, codec, options);
  const bytes = texts.reduce((sum, { text }) => sum + new TextEncoder().encode(text).length, 0);
  assert.equal(set.numBytes, bytes);
  assert.deepEqual(validationSet(texts, codec, options), set);
  const targets = set.batches.reduce((sum, batch) => sum + countTargets(batch).main, 0);
  assert.equal(targets, bytes + texts.length, 'every byte, and the end of every document');
  const spelled = set.batches
    .flatMap((batch) => [...batch.targets])
    .filter((target) => target >= 0 && target !== codec.eosTokenId);
  assert.equal(codec.decode(spelled), texts.map(({ text }) => text).join(''));
  const last = set.batches.at(-1);
  assert.equal(last?.ids.length, (last?.numSequences ?? 0) * 10);
});

test('bitsPerByte: a uniform guess over 256 bytes costs eight bits each', () => {
  assert.ok(Math.abs(bitsPerByte(1000 * Math.log(256), 1000) - 8) < 1e-12);
});
