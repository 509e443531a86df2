/**
 * Memory for tensors, taken by moving a mark and given back by moving it down again.
 *
 * A step marks, allocates as it goes, and releases to its mark at the end: chunks stay, so after
 * the first step nothing is allocated. Contents are whatever was there before: an operation writes
 * all of its output, or the caller fills it first.
 */
import { assert, at } from '../base/assert.ts';
import { bytesPerElement, type DType } from './dtype.ts';
import { type Memory, numElements, type Tensor } from './tensor.ts';

export interface ArenaMark {
  readonly chunk: number;
  readonly offset: number;
  readonly usedBytes: number;
}

export interface Arena {
  allocate<D extends DType>(dtype: D, shape: readonly number[]): Tensor<D>;
  mark(): ArenaMark;
  /** Gives back everything allocated since the mark; tensors from there on are dead. */
  release(mark: ArenaMark): void;
  /** Bytes in use now, padding included. */
  readonly usedBytes: number;
  /** The most ever in use. */
  readonly peakBytes: number;
  /** Bytes taken from the system; shrinks by `free` only. */
  readonly reservedBytes: number;
  /** Gives all memory back to the system at once, where it would wait to be collected. */
  free(): void;
}

/** Cache lines and the widest vectors. */
const ALIGNMENT = 64;
const CHUNK_BYTES = 64 * 2 ** 20;

export interface ChunkSettings {
  /**
   * Chunks double with the arena up to this size. What is left over at the end of a chunk is not
   * much of it then; only for memory that costs nothing before it is written to.
   */
  readonly mostChunkBytes?: number;
  /** What `free` does with a chunk; by default it is dropped. */
  readonly giveBack?: (memory: Memory) => void;
}

export class ChunkArena implements Arena {
  readonly #allocateMemory: (byteLength: number) => Memory;
  readonly #chunkBytes: number;
  readonly #settings: ChunkSettings;
  readonly #chunks: Memory[] = [];
  #chunk = 0;
  #offset = 0;
  #usedBytes = 0;
  #peakBytes = 0;
  #reservedBytes = 0;

  /** @param allocateMemory gives memory of at least that many bytes, aligned to a page */
  constructor(
    allocateMemory: (byteLength: number) => Memory,
    chunkBytes: number = CHUNK_BYTES,
    settings: ChunkSettings = {},
  ) {
    this.#allocateMemory = allocateMemory;
    this.#chunkBytes = chunkBytes;
    this.#settings = settings;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  get peakBytes(): number {
    return this.#peakBytes;
  }

  get reservedBytes(): number {
    return this.#reservedBytes;
  }

  allocate<D extends DType>(dtype: D, shape: readonly number[]): Tensor<D> {
    const exact = numElements(shape) * bytesPerElement(dtype);
    const isWhole = shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0);
    assert(isWhole && Number.isSafeInteger(exact), `allocation of shape [${shape}]`);
    const bytes = Math.ceil(exact / ALIGNMENT) * ALIGNMENT;
    const memory = this.#room(bytes);
    const byteOffset = this.#offset;
    this.#offset += bytes;
    this.#usedBytes += bytes;
    this.#peakBytes = Math.max(this.#peakBytes, this.#usedBytes);
    return { dtype, shape, rowStride: shape[shape.length - 1] ?? 1, memory, byteOffset };
  }

  mark(): ArenaMark {
    return { chunk: this.#chunk, offset: this.#offset, usedBytes: this.#usedBytes };
  }

  release(mark: ArenaMark): void {
    assert(mark.usedBytes <= this.#usedBytes, 'release to a mark above the arena’s top');
    this.#chunk = mark.chunk;
    this.#offset = mark.offset;
    this.#usedBytes = mark.usedBytes;
  }

  free(): void {
    for (const chunk of this.#chunks.splice(0)) this.#settings.giveBack?.(chunk);
    this.#chunk = 0;
    this.#offset = 0;
    this.#usedBytes = 0;
    this.#reservedBytes = 0;
  }

  /** The current chunk, or the next one that has the room (a chunk too small is passed over). */
  #room(bytes: number): Memory {
    while (this.#chunk < this.#chunks.length) {
      const chunk = at(this.#chunks, this.#chunk);
      if (this.#offset + bytes <= chunk.byteLength) return chunk;
      this.#chunk++;
      this.#offset = 0;
    }
    const { mostChunkBytes = this.#chunkBytes } = this.#settings;
    const grown = Math.min(this.#reservedBytes, mostChunkBytes);
    const memory = this.#allocateMemory(Math.max(bytes, this.#chunkBytes, grown));
    this.#reservedBytes += memory.byteLength;
    this.#chunks.push(memory);
    this.#offset = 0;
    return memory;
  }
}
