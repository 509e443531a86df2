/** The supply of sequences: order, shares, and positions that resume exactly. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { TextDocument } from '../../base/document.ts';
import { MoebiusError } from '../../base/errors.ts';
import type { MicroBatch } from '../../program/microBatch.ts';
import { byteTokenizer } from '../../tokenizer/byteTokenizer.ts';
import { DEFAULT_SPECIAL_TOKENS } from '../../tokenizer/specialTokens.ts';
import { encodeDocuments } from './encode.ts';
import { TrainingData, type TrainingDataOptions } from './mixture.ts';

const FIRST_BYTE_ID = DEFAULT_SPECIAL_TOKENS.length;
const codec = byteTokenizer();

/** Documents that consist of one letter, so that every token says where it comes from. */
function letters(alphabet: string, length: number): readonly TextDocument[] {
  return [...alphabet].map((letter) => ({ id: letter, text: letter.repeat(length) }));
}

function dataOf(
  sources: readonly { documents: readonly TextDocument[]; weight?: number }[],
  changes: Partial<TrainingDataOptions> = {},
): TrainingData {
  return new TrainingData({
    pools: sources.map(({ documents, weight }) => ({
      documents: encodeDocuments(documents, codec),
      weight: weight ?? null,
    })),
    shape: { length: 8, mtpDepth: 1 },
    seed: 7,
    fimRate: 0,
    codec,
    ...changes,
  });
}

const textOf = (batch: MicroBatch): string => codec.decode(batch.ids, { skipSpecialTokens: true });

test('TrainingData: an epoch holds every token once, and the next one in another order', () => {
  const data = dataOf([{ documents: letters('abcdefgh', 6) }]);
  // 8 documents of 6 letters and two ends: 64 tokens, 8 sequences.
  const epochs = [0, 1, 2].map(() => textOf(data.next(8)));
  for (const epoch of epochs) {
    for (const letter of 'abcdefgh') {
      assert.equal([...epoch].filter((one) => one === letter).length, 6, letter);
    }
  }
  assert.equal(new Set(epochs).size, 3);
  assert.equal(data.epochs, 3);
});

test('TrainingData: the same seed gives the same batches, another seed others', () => {
  const source = { documents: letters('abcdefgh', 6) };
  const [one, same, other] = [dataOf([source]), dataOf([source]), dataOf([source], { seed: 8 })];
  const batch = one.next(20);
  assert.deepEqual(same.next(20), batch);
  assert.notDeepEqual(other.next(20), batch);
});

test('TrainingData: from a saved position it draws what the uninterrupted run draws', () => {
  const sources = [{ documents: letters('abcde', 9) }, { documents: letters('vwxyz', 30) }];
  fc.assert(
    fc.property(fc.nat(40), fc.integer({ min: 1, max: 9 }), (before, batchSize) => {
      const changes = { fimRate: 0.3 };
      const whole = dataOf(sources, changes);
      for (let i = 0; i < before; i++) whole.next(batchSize);
      const saved = JSON.stringify(whole.position);
      const resumed = dataOf(sources, changes);
      resumed.seek(JSON.parse(saved));
      for (let i = 0; i < 6; i++) assert.deepEqual(resumed.next(3), whole.next(3));
      assert.deepEqual(resumed.position, whole.position);
    }),
  );
});

test('TrainingData: weights are met within one sequence at every moment', () => {
  const data = dataOf([
    { documents: letters('a', 50), weight: 3 },
    { documents: letters('b', 500), weight: 1 },
  ]);
  for (let drawn = 1; drawn <= 60; drawn++) {
    data.next(1);
    const [first, second] = data.position.pools.map((pool) => pool.total);
    assert.ok(Math.abs((first ?? 0) - 0.75 * drawn) < 1, `${first} and ${second} of ${drawn}`);
  }
});

test('TrainingData: without weights sources are drawn by size, so that epochs end together', () => {
  const data = dataOf([{ documents: letters('a', 158) }, { documents: letters('b', 478) }]);
  // 160 and 480 tokens: 20 and 60 sequences.
  data.next(80);
  assert.deepEqual(
    data.position.pools.map(({ epoch, drawn }) => [epoch, drawn]),
    [
      [0, 20],
      [0, 60],
    ],
  );
});

test('TrainingData: a position of other data, seed or shape is refused', () => {
  const documents = letters('abc', 20);
  const { position } = dataOf([{ documents }]);
  const others = [
    dataOf([{ documents: letters('abd', 20) }]),
    dataOf([{ documents: letters('abc', 21) }]),
    dataOf([{ documents: documents.toReversed() }]),
    dataOf([{ documents, weight: 2 }]),
    dataOf([{ documents }], { seed: 8 }),
    dataOf([{ documents }], { shape: { length: 16, mtpDepth: 1 } }),
    dataOf([{ documents }], { shape: { length: 8, mtpDepth: 2 } }),
    dataOf([{ documents }], { fimRate: 0.1 }),
  ];
  for (const other of others) {
    assert.throws(
      () => other.seek(position),
      (error: unknown) => error instanceof MoebiusError && error.code === 'data.changed',
    );
  }
  dataOf([{ documents }]).seek(position);
});

test('TrainingData: a tokenizer without BOS or EOS is refused', () => {
  const documents = encodeDocuments(letters('abc', 9), codec);
  assert.throws(
    () =>
      dataOf([], { pools: [{ documents, weight: null }], codec: byteTokenizer(['<a>', '<b>']) }),
    (error: unknown) => error instanceof MoebiusError && error.code === 'data.noBoundary',
  );
});

test('encodeDocuments: text that spells a control token stays text', () => {
  const text = '<｜end▁of▁sentence｜>';
  const { ids } = encodeDocuments([{ id: 'forged', text }], codec);
  assert.equal(ids.length, new TextEncoder().encode(text).length);
  assert.ok(ids.every((id) => id >= FIRST_BYTE_ID));
});
