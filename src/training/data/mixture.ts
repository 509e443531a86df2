/**
 * The endless supply of training sequences: one pool of documents per source, each packed anew
 * every epoch, and a rule which pool gives the next sequence.
 *
 * The rule is no chance but arithmetic: the pool that lags furthest behind its share. So shares are
 * met within one sequence at any moment, and the position is a handful of counts, from which a
 * resumed run draws exactly the batches it would have drawn.
 */
import { assert, at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import type { MicroBatch } from '../../program/microBatch.ts';
import { type EncodedDocuments, numDocuments } from './encode.ts';
import { fimDocuments } from './fim.ts';
import { emptyBatch, PackedEpoch, type SequenceShape } from './packing.ts';
import { epochOrder, epochRandom } from './shuffle.ts';
import { type BoundaryTokens, boundaryTokens, type TextCodec } from './textCodec.ts';

export interface DataPool {
  readonly documents: EncodedDocuments;
  /** Share of sequences relative to the other pools; null everywhere: by tokens. */
  readonly weight: number | null;
}

export interface TrainingDataOptions {
  readonly pools: readonly DataPool[];
  readonly shape: SequenceShape;
  readonly seed: number;
  readonly fimRate: number;
  readonly codec: TextCodec;
}

/** Plain data; valid for the data and settings whose fingerprint it carries. */
export interface DataPosition {
  readonly fingerprint: string;
  readonly pools: readonly PoolPosition[];
}

export interface PoolPosition {
  readonly epoch: number;
  /** Sequences already drawn from this epoch. */
  readonly drawn: number;
  /** Sequences drawn from this pool in all. */
  readonly total: number;
}

export class TrainingData {
  readonly numTokens: number;
  readonly fingerprint: string;
  readonly #shape: SequenceShape;
  readonly #pools: readonly Pool[];
  readonly #shares: readonly number[];

  constructor(options: TrainingDataOptions) {
    assert(options.pools.length > 0, 'training data without a pool');
    const boundary = boundaryTokens(options.codec);
    this.#shape = options.shape;
    this.#pools = options.pools.map((_, index) => new Pool(options, boundary, index));
    const sizes = options.pools.map(({ documents }) => streamLength(documents));
    this.numTokens = sizes.reduce((sum, size) => sum + size, 0);
    const weights = options.pools.map(({ weight }, index) => weight ?? at(sizes, index));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    this.#shares = weights.map((weight) => weight / sum);
    this.fingerprint = fingerprintOf(options);
  }

  /** The next sequences, as one micro-batch. */
  next(numSequences: number): MicroBatch {
    const batch = emptyBatch(numSequences, this.#shape);
    for (let row = 0; row < numSequences; row++) this.#laggard().draw(batch, row);
    return batch;
  }

  get position(): DataPosition {
    return { fingerprint: this.fingerprint, pools: this.#pools.map((pool) => pool.position) };
  }

  /** How often the data has been seen, over all pools. */
  get epochs(): number {
    return (this.#totalDrawn() * this.#shape.length) / this.numTokens;
  }

  /** @throws data.changed when the position belongs to other data or settings */
  seek(position: DataPosition): void {
    if (position.fingerprint !== this.fingerprint) {
      throw new MoebiusError('data.changed', 'the data is not what the checkpoint was trained on', {
        values: { expected: position.fingerprint, found: this.fingerprint },
        hint: 'Resume with the same files, tokenizer, seed, batch.length and data settings.',
      });
    }
    for (const [index, pool] of this.#pools.entries()) pool.seek(at(position.pools, index));
  }

  #laggard(): Pool {
    const next = this.#totalDrawn() + 1;
    let best = at(this.#pools, 0);
    let largest = Number.NEGATIVE_INFINITY;
    for (const [index, pool] of this.#pools.entries()) {
      const lag = at(this.#shares, index) * next - pool.position.total;
      if (lag > largest) [best, largest] = [pool, lag];
    }
    return best;
  }

  #totalDrawn(): number {
    return this.#pools.reduce((sum, pool) => sum + pool.position.total, 0);
  }
}

/** One source: epoch after epoch of its documents. */
class Pool {
  readonly #options: TrainingDataOptions;
  readonly #boundary: BoundaryTokens;
  readonly #index: number;
  #position: PoolPosition = { epoch: 0, drawn: 0, total: 0 };
  #packed: PackedEpoch;
  #order: Uint32Array;

  constructor(options: TrainingDataOptions, boundary: BoundaryTokens, index: number) {
    this.#options = options;
    this.#boundary = boundary;
    this.#index = index;
    [this.#packed, this.#order] = this.#pack(0);
  }

  get position(): PoolPosition {
    return this.#position;
  }

  seek(position: PoolPosition): void {
    this.#position = position;
    [this.#packed, this.#order] = this.#pack(position.epoch);
  }

  draw(batch: MicroBatch, row: number): void {
    let { epoch, drawn } = this.#position;
    if (drawn === this.#packed.numSequences) {
      epoch++;
      drawn = 0;
      [this.#packed, this.#order] = this.#pack(epoch);
    }
    this.#packed.write(at(this.#order, drawn), batch, row);
    this.#position = { epoch, drawn: drawn + 1, total: this.#position.total + 1 };
  }

  #pack(epoch: number): [PackedEpoch, Uint32Array] {
    const { pools, shape, seed, fimRate, codec } = this.#options;
    const { documents } = at(pools, this.#index);
    const key = { seed, pool: this.#index, epoch };
    const random = epochRandom('fim', key);
    const replaced = fimDocuments(documents, codec, { rate: fimRate, random });
    const order = epochOrder(numDocuments(documents), 'documents', key);
    const contents = { documents, order, replaced, boundary: this.#boundary };
    const packed = new PackedEpoch(contents, shape);
    return [packed, epochOrder(packed.numSequences, 'sequences', key)];
  }
}

/** Tokens of an epoch, boundary tokens included. */
function streamLength(documents: EncodedDocuments): number {
  return documents.ids.length + 2 * numDocuments(documents);
}

/** Everything that decides which batches come, in 16 hexadecimal digits. */
function fingerprintOf({ pools, shape, seed, fimRate }: TrainingDataOptions): string {
  let [a, b] = [0x811c9dc5, 0x9e3779b9];
  const add = (value: number): void => {
    a = Math.imul(a ^ value, 0x01000193);
    b = Math.imul((b << 13) | (b >>> 19), 5) ^ Math.imul(value, 0xcc9e2d51);
  };
  for (const value of [shape.length, shape.mtpDepth, seed, Math.round(fimRate * 1e9)]) add(value);
  for (const { documents, weight } of pools) {
    add(weight === null ? -1 : Math.round(weight * 1e6));
    for (const offset of documents.offsets) add(offset);
    for (const id of documents.ids) add(id);
  }
  return [a, b].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('');
}
