/**
 * Remembers the ids of words already encoded. Text repeats its words (Zipf), so nearly every word
 * of English or code is answered here and never reaches the merges.
 *
 * A word is a range of the caller's UTF-8 bytes: it is hashed and compared in place, and nothing is
 * copied. Memory is fixed. A word may sit in one of four neighbouring slots; when all are
 * taken, one is overwritten, so that no choice of words (an attack on the hash) makes a look-up
 * slow. When the pools are full everything is forgotten at once, which costs a few milliseconds per
 * hundreds of thousands of words.
 */
import type { IntList } from './intList.ts';

/** Longer words rarely come twice and would fill the pools. */
const MAX_BYTES = 48;
/** Words per slot: hash, where its key starts, length (low 16 bits) and id count (high), ids. */
const STRIDE = 4;
const WAYS = 4;
const DEFAULT_SLOTS = 2 ** 16;

export class WordCache {
  readonly #slots: Int32Array;
  readonly #mask: number;
  readonly #keys: Uint8Array;
  readonly #ids: Int32Array;
  #keysUsed = 0;
  #idsUsed = 0;

  /** `slots` is a power of two. */
  constructor(slots: number = DEFAULT_SLOTS) {
    this.#slots = new Int32Array(slots * STRIDE);
    this.#mask = slots - 1;
    this.#keys = new Uint8Array(slots * 8 + MAX_BYTES);
    this.#ids = new Int32Array(slots * 4 + MAX_BYTES);
  }

  /** Appends the ids of the word `bytes[start … end)` to `out`; false when they are not known. */
  append(bytes: Uint8Array, start: number, end: number, out: IntList): boolean {
    const length = end - start;
    if (length > MAX_BYTES) return false;
    const hash = hashOf(bytes, start, end);
    const slots = this.#slots;
    const keys = this.#keys;
    for (let way = 0; way < WAYS; way++) {
      const base = ((hash + way) & this.#mask) * STRIDE;
      const sizes = slots[base + 2] as number;
      if (sizes === 0) return false;
      if (slots[base] !== hash || (sizes & 0xffff) !== length) continue;
      const keyStart = slots[base + 1] as number;
      let i = 0;
      while (i < length && keys[keyStart + i] === bytes[start + i]) i++;
      if (i < length) continue;
      const count = sizes >>> 16;
      const idStart = slots[base + 3] as number;
      out.reserve(count);
      const { data } = out;
      for (let k = 0; k < count; k++) data[out.length++] = this.#ids[idStart + k] as number;
      return true;
    }
    return false;
  }

  /** Keeps `ids[from …)` for the word `bytes[start … end)`, which `append` did not know. */
  store(
    { bytes, start, end }: { bytes: Uint8Array; start: number; end: number },
    ids: IntList,
    from: number,
  ): void {
    const length = end - start;
    if (length > MAX_BYTES) return;
    const count = ids.length - from;
    const isFull =
      this.#keysUsed + length > this.#keys.length || this.#idsUsed + count > this.#ids.length;
    if (isFull) {
      this.#slots.fill(0);
      this.#keysUsed = 0;
      this.#idsUsed = 0;
    }
    const hash = hashOf(bytes, start, end);
    const base = this.#slotFor(hash);
    this.#slots[base] = hash;
    this.#slots[base + 1] = this.#keysUsed;
    this.#slots[base + 2] = length | (count << 16);
    this.#slots[base + 3] = this.#idsUsed;
    for (let i = start; i < end; i++) this.#keys[this.#keysUsed++] = bytes[i] as number;
    for (let i = from; i < ids.length; i++) this.#ids[this.#idsUsed++] = ids.data[i] as number;
  }

  /** The first empty slot of the word's four, or the one that the hash gives up. */
  #slotFor(hash: number): number {
    for (let way = 0; way < WAYS; way++) {
      const base = ((hash + way) & this.#mask) * STRIDE;
      if (this.#slots[base + 2] === 0) return base;
    }
    return ((hash + ((hash >>> 28) % WAYS)) & this.#mask) * STRIDE;
  }
}

function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = end - start;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193);
  return hash ^ (hash >>> 15);
}
