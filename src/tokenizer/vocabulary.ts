/**
 * Tokens by id and ids by token: every token's spelling in the file, its exact bytes, and a hash
 * over the spellings. All of it lies in a few byte pools: no token is a string until one is asked
 * for, and a look-up takes a range of bytes, or two ranges read as one, so that 127,741 merge rules
 * load without 400,000 temporary strings.
 */
import { assert } from '../base/assert.ts';
import { MoebiusError } from '../base/errors.ts';
import { CODE_TO_BYTE } from './byteAlphabet.ts';

/** Ids beyond this are taken for a damaged file: the tables are as long as the largest id. */
export const MAX_TOKEN_ID: number = 2 ** 22 - 1;

/** Two ranges of bytes, read as if they were joined. */
export interface JoinedRange {
  readonly start: number;
  readonly middle: number;
  readonly resume: number;
  readonly end: number;
}

export class Vocabulary {
  #size = 0;
  #count = 0;
  #spellings = new BytePool();
  #bytes = new BytePool();
  /** Open addressing, two words per slot: id + 1 (or 0), and the hash, to spare compares. */
  #slots = new Int32Array(2 * 1024);
  readonly #encoder = new TextEncoder();
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  /** The largest id plus one: the rows an embedding needs. Ids below it may be unused. */
  get size(): number {
    return this.#size;
  }

  has(id: number): boolean {
    return this.#spellings.has(id);
  }

  /** The token's spelling in the file: added tokens as text, others in the byte alphabet. */
  token(id: number): string | undefined {
    return this.has(id) ? this.#decoder.decode(this.#spellings.get(id)) : undefined;
  }

  /**
   * The exact bytes a token stands for: a view of the vocabulary's own memory, not to be written.
   *
   * @throws tokenizer.unknownId when no token has this id
   */
  bytes(id: number): Uint8Array {
    if (this.has(id)) return this.#bytes.get(id);
    throw new MoebiusError('tokenizer.unknownId', `no token has the id ${id}`, {
      values: { id, vocabSize: this.size },
      hint: 'Use the tokenizer the ids were made with, and sample below its vocabSize.',
    });
  }

  /** The id of a spelling, or −1. */
  idOf(token: string): number {
    const bytes = this.#encoder.encode(token);
    return this.find(bytes, 0, bytes.length);
  }

  /** The id of the spelling `bytes[start … end)`, or −1. */
  find(bytes: Uint8Array, start: number, end: number): number {
    return this.findJoined(bytes, { start, middle: end, resume: end, end });
  }

  /** The id of the spelling `bytes[start … middle)` followed by `bytes[resume … end)`, or −1. */
  findJoined(bytes: Uint8Array, range: JoinedRange): number {
    const { start, middle, resume, end } = range;
    let hash = HASH_SEED;
    for (let i = start; i < middle; i++) hash = step(hash, bytes[i] as number);
    for (let i = resume; i < end; i++) hash = step(hash, bytes[i] as number);
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let slot = firstSlot(hash) & mask; ; slot = (slot + 2) & mask) {
      const id = (slots[slot] as number) - 1;
      if (id < 0) return -1;
      if (slots[slot + 1] === hash && this.isSpelled(id, bytes, range)) return id;
    }
  }

  /** Whether token `id` is spelled `bytes[start … middle)` followed by `bytes[resume … end)`. */
  isSpelled(id: number, bytes: Uint8Array, { start, middle, resume, end }: JoinedRange): boolean {
    const headLength = middle - start;
    const length = headLength + end - resume;
    if (this.#spellings.lengthOf(id) !== length) return false;
    const { pool } = this.#spellings;
    const at = this.#spellings.startOf(id);
    const shift = resume - headLength;
    let i = 0;
    while (i < headLength && pool[at + i] === bytes[start + i]) i++;
    if (i < headLength) return false;
    while (i < length && pool[at + i] === bytes[shift + i]) i++;
    return i === length;
  }

  /**
   * Enters a token under an id that is free.
   *
   * @returns −1, or the id that has this spelling already; then nothing is entered
   */
  add(id: number, bytes: Uint8Array, start: number, end: number): number {
    assert(!this.has(id), `id ${id} is free`);
    if (this.#count * 4 >= this.#slots.length) this.#grow();
    const other = this.find(bytes, start, end);
    if (other >= 0) return other;
    this.#spellings.set(id, bytes, start, end);
    this.#bytes.set(id, bytes, start, end);
    this.#bytes.unspell(id);
    this.#size = Math.max(this.#size, id + 1);
    this.#count++;
    let hash = HASH_SEED;
    for (let i = start; i < end; i++) hash = step(hash, bytes[i] as number);
    this.#place(id + 1, hash);
    return -1;
  }

  /** Enters an added token, whose bytes are its text; the model may have it already. */
  addLiteral(id: number, text: string): void {
    const bytes = this.#encoder.encode(text);
    if (!this.has(id)) this.add(id, bytes, 0, bytes.length);
    this.#bytes.set(id, bytes, 0, bytes.length);
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Int32Array(old.length * 4);
    for (let slot = 0; slot < old.length; slot += 2) {
      if (old[slot] !== 0) this.#place(old[slot] as number, old[slot + 1] as number);
    }
  }

  #place(entry: number, hash: number): void {
    const mask = this.#slots.length - 1;
    let slot = firstSlot(hash) & mask;
    while (this.#slots[slot] !== 0) slot = (slot + 2) & mask;
    this.#slots[slot] = entry;
    this.#slots[slot + 1] = hash;
  }
}

/** Byte strings by id, one after the other in one array. */
class BytePool {
  pool = new Uint8Array(4096);
  #used = 0;
  /** Start and length of each id's bytes; length −1 where there are none. */
  #ranges = new Int32Array(1024).fill(-1);

  has(id: number): boolean {
    // Ids come from callers: 1.5 would read the middle of an entry.
    return id >>> 0 === id && this.lengthOf(id) >= 0;
  }

  startOf(id: number): number {
    return this.#ranges[2 * id] as number;
  }

  lengthOf(id: number): number {
    return this.#ranges[2 * id + 1] ?? -1;
  }

  get(id: number): Uint8Array {
    const start = this.startOf(id);
    return this.pool.subarray(start, start + this.lengthOf(id));
  }

  set(id: number, bytes: Uint8Array, start: number, end: number): void {
    if (2 * id + 1 >= this.#ranges.length) {
      const ranges = new Int32Array(Math.max(2 * id + 2, this.#ranges.length * 2)).fill(-1);
      ranges.set(this.#ranges);
      this.#ranges = ranges;
    }
    const length = end - start;
    if (this.#used + length > this.pool.length) {
      const pool = new Uint8Array(Math.max(this.#used + length, this.pool.length * 2));
      pool.set(this.pool);
      this.pool = pool;
    }
    this.#ranges[2 * id] = this.#used;
    this.#ranges[2 * id + 1] = length;
    for (let i = start; i < end; i++) this.pool[this.#used++] = bytes[i] as number;
  }

  /**
   * Turns the last entry from the byte alphabet, as UTF-8, into the bytes it spells. A token that
   * is not spelled in that alphabet keeps its UTF-8, as Hugging Face's decoder has it.
   */
  unspell(id: number): void {
    const start = this.startOf(id);
    let to = start;
    let from = start;
    // The alphabet ends at U+0143, so each of its characters is one byte of UTF-8 or two; the
    // spelling is first checked, as it is rewritten in place.
    for (; from < this.#used; from += this.#sizeAt(from)) if (this.#byteAt(from) < 0) return;
    for (from = start; from < this.#used; ) {
      const byte = this.#byteAt(from);
      from += this.#sizeAt(from);
      this.pool[to++] = byte;
    }
    this.#used = to;
    this.#ranges[2 * id + 1] = to - start;
  }

  #sizeAt(at: number): number {
    return (this.pool[at] as number) < 0x80 ? 1 : 2;
  }

  #byteAt(at: number): number {
    const lead = this.pool[at] as number;
    if (lead < 0x80) return CODE_TO_BYTE[lead] as number;
    if (lead < 0xc2 || lead > 0xdf || at + 1 >= this.#used) return -1;
    const code = ((lead & 0x1f) << 6) | ((this.pool[at + 1] as number) & 0x3f);
    return CODE_TO_BYTE[code] ?? -1;
  }
}

const HASH_SEED = 0x811c9dc5;

function step(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, 0x01000193);
}

/** An even number: slots are two words wide. */
function firstSlot(hash: number): number {
  return (hash ^ (hash >>> 15)) << 1;
}
