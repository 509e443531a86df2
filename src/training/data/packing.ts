/**
 * Documents to sequences. An epoch is one stream, cut every T tokens:
 *
 *     BOS a a a a EOS BOS b b │ b EOS BOS c c c EOS │ …          inputs: every token exactly once
 *         a a a a EOS  −   b b │ b EOS  −   c c c EOS  − │       targets: the token after each
 *
 * A target never lies in another document than its input, neither the main one nor one of an MTP
 * depth: there it is −1 and counts for nothing (a document's end says nothing about the next).
 * Attention does cross, as in DeepSeek-V3's pre-training (report, 4.1). The epoch's last sequence
 * is filled up with EOS whose targets are −1; no token is dropped.
 */
import { assert, at } from '../../base/assert.ts';
import type { MicroBatch } from '../../program/microBatch.ts';
import { documentIds, type EncodedDocuments } from './encode.ts';
import type { BoundaryTokens } from './textCodec.ts';

export interface SequenceShape {
  /** T. */
  readonly length: number;
  readonly mtpDepth: number;
}

export interface EpochContents {
  readonly documents: EncodedDocuments;
  /** Which documents, and in which order. */
  readonly order: ArrayLike<number>;
  /** Documents that stand in changed form in this epoch (FIM), by index. */
  readonly replaced?: ReadonlyMap<number, Int32Array>;
  readonly boundary: BoundaryTokens;
}

/** Belongs to no document: filling. */
const NOBODY = -1;

export class PackedEpoch {
  readonly numTokens: number;
  readonly numSequences: number;
  readonly #contents: EpochContents;
  readonly #shape: SequenceShape;
  /** Where each document begins in the stream, in epoch order; one more for the end. */
  readonly #starts: Float64Array;
  readonly #ids: Int32Array;
  readonly #owners: Int32Array;

  constructor(contents: EpochContents, shape: SequenceShape) {
    assert(shape.length > shape.mtpDepth, `${shape.length} tokens for MTP depth ${shape.mtpDepth}`);
    this.#contents = contents;
    this.#shape = shape;
    const count = contents.order.length;
    this.#starts = new Float64Array(count + 1);
    for (let i = 0; i < count; i++) {
      this.#starts[i + 1] = at(this.#starts, i) + this.#document(i).length + 2;
    }
    this.numTokens = at(this.#starts, count);
    this.numSequences = Math.ceil(this.numTokens / shape.length);
    // A sequence looks 1 + depth tokens past its end, for its last targets.
    const window = shape.length + 1 + shape.mtpDepth;
    this.#ids = new Int32Array(window);
    this.#owners = new Int32Array(window);
  }

  /** Writes a sequence into one row of a batch that `emptyBatch` made for the same shape. */
  write(sequence: number, batch: MicroBatch, row: number): void {
    assert(sequence >= 0 && sequence < this.numSequences, `sequence ${sequence}`);
    const { length } = this.#shape;
    const [ids, owners] = [this.#ids, this.#owners];
    this.#read(sequence * length);
    batch.ids.set(ids.subarray(0, length), row * length);
    writeTargets(batch.targets.subarray(row * length, (row + 1) * length), {
      ids,
      owners,
      ahead: 1,
    });
    for (const [index, targets] of batch.mtpTargets.entries()) {
      const depth = index + 1;
      const width = length - depth;
      const rowTargets = targets.subarray(row * width, (row + 1) * width);
      writeTargets(rowTargets, { ids, owners, ahead: depth + 1 });
    }
  }

  #document(position: number): Int32Array {
    const { documents, order, replaced } = this.#contents;
    const index = at(order, position);
    return replaced?.get(index) ?? documentIds(documents, index);
  }

  /** Fills the window with the stream from `start` on, and with whose token each is. */
  #read(start: number): void {
    const { bos, eos } = this.#contents.boundary;
    const [ids, owners] = [this.#ids, this.#owners];
    let position = lastAtMost(this.#starts, start);
    let filled = 0;
    while (filled < ids.length && position < this.#contents.order.length) {
      const document = this.#document(position);
      const size = document.length + 2;
      for (
        let i = start + filled - at(this.#starts, position);
        i < size && filled < ids.length;
        i++
      ) {
        ids[filled] = i === 0 ? bos : i === size - 1 ? eos : at(document, i - 1);
        owners[filled] = position;
        filled++;
      }
      position++;
    }
    ids.fill(eos, filled);
    owners.fill(NOBODY, filled);
  }
}

/** @returns a batch of zeros, every row of which is to be written */
export function emptyBatch(numSequences: number, shape: SequenceShape): MicroBatch {
  const { length, mtpDepth } = shape;
  return {
    numSequences,
    length,
    ids: new Int32Array(numSequences * length),
    targets: new Int32Array(numSequences * length),
    mtpTargets: Array.from(
      { length: mtpDepth },
      (_, index) => new Int32Array(numSequences * (length - index - 1)),
    ),
  };
}

function writeTargets(
  targets: Int32Array,
  { ids, owners, ahead }: { ids: Int32Array; owners: Int32Array; ahead: number },
): void {
  for (let i = 0; i < targets.length; i++) {
    const owner = owners[i];
    const isInside = owner !== NOBODY && owner === owners[i + ahead];
    targets[i] = isInside ? at(ids, i + ahead) : -1;
  }
}

/** The last index whose value is at most `value`; values rise from 0. */
function lastAtMost(values: Float64Array, value: number): number {
  let low = 0;
  let high = values.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (at(values, middle) <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}
