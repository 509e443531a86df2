/**
 * How often each word comes in a corpus, the words as bytes. One byte pool and one hash table: no
 * string per word, and a corpus is read text by text, so that it need not fit in memory.
 */
import { scanDeepseekV3 } from './deepseekScanner.ts';

export class WordCounts {
  /** Words in the order they first came. */
  size = 0;
  bytes: Uint8Array = new Uint8Array(1 << 16);
  /** Word `w` is `bytes[starts[w] … starts[w + 1])`. */
  starts: Int32Array = new Int32Array(1 << 12);
  counts: Float64Array = new Float64Array(1 << 12);
  #hashes = new Int32Array(1 << 12);
  #slots = new Int32Array(1 << 13);
  readonly #ends = new Int32Array(4096);
  readonly #encoder = new TextEncoder();
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  /**
   * Counts the words of one text, cut as DeepSeek-V3 cuts them. Bytes that are no UTF-8 count as
   * U+FFFD, which is what they will be when the text is encoded.
   *
   * @returns the text's length in bytes
   */
  add(text: string | Uint8Array): number {
    const bytes = this.#encoder.encode(
      typeof text === 'string' ? text : this.#decoder.decode(text),
    );
    for (let at = 0; at < bytes.length; ) {
      const numWords = scanDeepseekV3(bytes, { start: at, end: bytes.length }, this.#ends);
      for (let i = 0; i < numWords; i++) {
        const end = this.#ends[i] as number;
        this.#count(bytes, at, end);
        at = end;
      }
    }
    return bytes.length;
  }

  #count(bytes: Uint8Array, start: number, end: number): void {
    let hash = 0x811c9dc5;
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193);
    hash ^= hash >>> 15;
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    for (; this.#slots[slot] !== 0; slot = (slot + 1) & mask) {
      const word = (this.#slots[slot] as number) - 1;
      if (this.#hashes[word] === hash && this.#isWord(word, bytes, start, end)) {
        this.counts[word] = (this.counts[word] as number) + 1;
        return;
      }
    }
    this.#slots[slot] = this.size + 1;
    this.#append(bytes, start, end, hash);
  }

  #isWord(word: number, bytes: Uint8Array, start: number, end: number): boolean {
    const from = this.starts[word] as number;
    if ((this.starts[word + 1] as number) - from !== end - start) return false;
    for (let i = start; i < end; i++) {
      if (this.bytes[from + i - start] !== bytes[i]) return false;
    }
    return true;
  }

  #append(bytes: Uint8Array, start: number, end: number, hash: number): void {
    const word = this.size++;
    const from = this.starts[word] as number;
    const to = from + end - start;
    if (to > this.bytes.length) {
      const larger = new Uint8Array(Math.max(to, this.bytes.length * 2));
      larger.set(this.bytes);
      this.bytes = larger;
    }
    this.bytes.set(bytes.subarray(start, end), from);
    if (this.size + 1 >= this.starts.length) this.#growTables();
    this.starts[word + 1] = to;
    this.counts[word] = 1;
    this.#hashes[word] = hash;
    if (this.size * 2 > this.#slots.length) this.#rehash();
  }

  #growTables(): void {
    const length = this.starts.length * 2;
    const [starts, counts, hashes] = [this.starts, this.counts, this.#hashes];
    this.starts = new Int32Array(length);
    this.starts.set(starts);
    this.counts = new Float64Array(length);
    this.counts.set(counts);
    this.#hashes = new Int32Array(length);
    this.#hashes.set(hashes);
  }

  #rehash(): void {
    this.#slots = new Int32Array(this.#slots.length * 4);
    const mask = this.#slots.length - 1;
    for (let word = 0; word < this.size; word++) {
      let slot = (this.#hashes[word] as number) & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = word + 1;
    }
  }
}
