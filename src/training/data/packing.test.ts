/** Packing as laws: every token once, and no target in another document. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { countTargets } from '../../program/microBatch.ts';
import type { EncodedDocuments } from './encode.ts';
import { type EpochContents, emptyBatch, PackedEpoch, type SequenceShape } from './packing.ts';

const boundary = { bos: 0, eos: 1 };

function encoded(documents: readonly (readonly number[])[]): EncodedDocuments {
  const offsets = [0];
  for (const document of documents) offsets.push((offsets.at(-1) ?? 0) + document.length);
  return { ids: Int32Array.from(documents.flat()), offsets: Uint32Array.from(offsets) };
}

function packed(documents: readonly (readonly number[])[], shape: SequenceShape): PackedEpoch {
  const order = Uint32Array.from(documents.keys());
  return new PackedEpoch({ documents: encoded(documents), order, boundary }, shape);
}

/** Every sequence of the epoch, as one batch. */
function wholeEpoch(epoch: PackedEpoch, shape: SequenceShape) {
  const batch = emptyBatch(epoch.numSequences, shape);
  for (let i = 0; i < epoch.numSequences; i++) epoch.write(i, batch, i);
  return batch;
}

/** Documents whose tokens say whose they are: 100·(d + 1) + position. */
const arbitraryDocuments = fc
  .array(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 12 })
  .map((lengths) => lengths.map((n, d) => Array.from({ length: n }, (_, i) => 100 * (d + 1) + i)));
const arbitraryShape = fc
  .record({ length: fc.integer({ min: 1, max: 16 }), mtpDepth: fc.integer({ min: 0, max: 3 }) })
  .filter(({ length, mtpDepth }) => length > mtpDepth);

test('PackedEpoch: a small epoch, written out', () => {
  const shape = { length: 4, mtpDepth: 1 };
  const epoch = packed([[10, 11, 12], [20], [30]], shape);
  assert.equal(epoch.numTokens, 11);
  assert.equal(epoch.numSequences, 3);
  const batch = wholeEpoch(epoch, shape);
  //                  sequence 0       sequence 1       sequence 2, one EOS of filling
  assert.deepEqual([...batch.ids], [0, 10, 11, 12, 1, 0, 20, 1, 0, 30, 1, 1]);
  assert.deepEqual([...batch.targets], [10, 11, 12, 1, -1, 20, 1, -1, 30, 1, -1, -1]);
  assert.deepEqual([...(batch.mtpTargets[0] ?? [])], [11, 12, 1, -1, 1, -1, 1, -1, -1]);
  assert.deepEqual(countTargets(batch), { main: 8, mtp: [5] });
});

test('PackedEpoch: every token of the epoch is an input exactly once, the rest is filling', () => {
  fc.assert(
    fc.property(arbitraryDocuments, arbitraryShape, (documents, shape) => {
      const epoch = packed(documents, shape);
      const stream = documents.flatMap((document) => [0, ...document, 1]);
      const { ids } = wholeEpoch(epoch, shape);
      assert.deepEqual([...ids.subarray(0, stream.length)], stream);
      assert.ok(ids.length - stream.length < shape.length);
      assert.ok(ids.subarray(stream.length).every((id) => id === 1));
    }),
  );
});

test('PackedEpoch: every token but BOS is a main target exactly once', () => {
  fc.assert(
    fc.property(arbitraryDocuments, arbitraryShape, (documents, shape) => {
      const { targets } = wholeEpoch(packed(documents, shape), shape);
      const wanted = documents.flatMap((document) => [...document, 1]);
      assert.deepEqual(
        [...targets].filter((target) => target >= 0),
        wanted,
      );
    }),
  );
});

test('PackedEpoch: no target, main or MTP, lies in another document than its input', () => {
  fc.assert(
    fc.property(arbitraryDocuments, arbitraryShape, (documents, shape) => {
      const batch = wholeEpoch(packed(documents, shape), shape);
      // The stream again, with its owners, as an independent truth.
      const stream = documents.flatMap((document, owner) =>
        [0, ...document, 1].map((id) => ({ id, owner })),
      );
      for (const [depth, targets] of [batch.targets, ...batch.mtpTargets].entries()) {
        const width = shape.length - depth;
        for (const [index, target] of targets.entries()) {
          const from = Math.floor(index / width) * shape.length + (index % width);
          const [input, output] = [stream[from], stream[from + depth + 1]];
          const wanted = input && output && input.owner === output.owner ? output.id : -1;
          assert.equal(target, wanted, `depth ${depth}, position ${from}`);
        }
      }
    }),
  );
});

test('PackedEpoch: the order given is the order packed, and replaced documents stand in', () => {
  const contents: EpochContents = {
    documents: encoded([[10], [20, 21], [30]]),
    order: [2, 0, 1],
    replaced: new Map([[0, Int32Array.of(7, 8, 9)]]),
    boundary,
  };
  const shape = { length: 13, mtpDepth: 0 };
  const { ids } = wholeEpoch(new PackedEpoch(contents, shape), shape);
  assert.deepEqual([...ids], [0, 30, 1, 0, 7, 8, 9, 1, 0, 20, 21, 1, 1]);
});

test('PackedEpoch: a sequence that is not there is our own mistake', () => {
  const shape = { length: 4, mtpDepth: 1 };
  const epoch = packed([[10, 11]], shape);
  assert.throws(() => epoch.write(1, emptyBatch(1, shape), 0), /sequence 1/);
  assert.throws(() => packed([[1]], { length: 1, mtpDepth: 1 }), /1 tokens for MTP depth 1/);
});
