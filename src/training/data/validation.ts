/**
 * The held-out text as batches that are the same at every evaluation, and what their loss means.
 *
 * Bits per byte compare models with different vocabularies, and models with compressors: the loss
 * of every token of the held-out documents, their ends included, over the bytes of their text.
 */
import { at } from '../../base/assert.ts';
import type { TextDocument } from '../../base/document.ts';
import type { MicroBatch } from '../../program/microBatch.ts';
import { encodeDocuments, numDocuments } from './encode.ts';
import { emptyBatch, PackedEpoch, type SequenceShape } from './packing.ts';
import { boundaryTokens, type TextCodec } from './textCodec.ts';

export interface ValidationSet {
  readonly batches: readonly MicroBatch[];
  /** Bytes of text that the targets of all batches spell. */
  readonly numBytes: number;
  readonly numTokens: number;
}

export function validationSet(
  documents: readonly TextDocument[],
  codec: TextCodec,
  { shape, microBatch }: { shape: SequenceShape; microBatch: number },
): ValidationSet {
  const encoded = encodeDocuments(documents, codec);
  const order = Uint32Array.from({ length: numDocuments(encoded) }, (_, index) => index);
  const boundary = boundaryTokens(codec);
  const packed = new PackedEpoch({ documents: encoded, order, boundary }, shape);
  const batches: MicroBatch[] = [];
  for (let first = 0; first < packed.numSequences; first += microBatch) {
    const rows = Math.min(microBatch, packed.numSequences - first);
    const batch = emptyBatch(rows, shape);
    for (let row = 0; row < rows; row++) packed.write(first + row, batch, row);
    batches.push(batch);
  }
  return { batches, numBytes: spelledBytes(encoded.ids, codec), numTokens: packed.numTokens };
}

/** @param negativeLogLikelihood summed over targets, in nats */
export function bitsPerByte(negativeLogLikelihood: number, numBytes: number): number {
  return negativeLogLikelihood / Math.LN2 / numBytes;
}

/** Every id of a document is the target of the token before it, once; ends spell nothing. */
function spelledBytes(ids: Int32Array, codec: TextCodec): number {
  const lengths = new Int32Array(codec.vocabSize).fill(-1);
  let numBytes = 0;
  for (const id of ids) {
    if (at(lengths, id) < 0) lengths[id] = codec.tokenBytes(id).length;
    numBytes += at(lengths, id);
  }
  return numBytes;
}
