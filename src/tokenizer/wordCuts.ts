/**
 * Cuts a long word into parts that byte-pair merging cannot tell apart from the whole.
 *
 * Merging joins two neighbours only when the joined token is in the vocabulary. So where a
 * character boundary is crossed by no token at all, nothing is ever merged across it, the two sides
 * cannot influence each other, and the ids of the word are the ids of its parts. Chinese needs
 * this: its words are whole clauses, which never come twice, while their parts, one to three
 * characters long, come all the time and are answered by the word cache.
 *
 *   是阿拉伯联合酋长国的  →  是 | 阿拉伯 | 联合 | 酋长 | 国的
 *
 * The table holds every pair of neighbouring characters that lie in one token. Tokens that begin or
 * end inside a character are few; for them a coarser rule is kept, which can only cut less often.
 */
import { PairTable } from './pairTable.ts';
import type { Vocabulary } from './vocabulary.ts';

/** Added to a lead byte, so that it is no code point: "any right character beginning with it". */
const LEAD = 0x110000;

export class WordCuts {
  /** Pairs of code points in one token, and pairs (code point, LEAD + lead byte). */
  readonly #joined: PairTable;
  /** `last byte × 256 + lead byte` of boundaries in tokens that begin inside the left character. */
  readonly #joinedBytes = new Uint8Array(65536);

  constructor(vocabulary: Vocabulary) {
    this.#joined = new PairTable(vocabulary.size >> 2);
    for (let id = 0; id < vocabulary.size; id++) {
      if (vocabulary.has(id)) this.#learn(vocabulary.bytes(id));
    }
  }

  /**
   * Writes the positions in `bytes[start … end)`, well-formed UTF-8, at which the word may be cut.
   *
   * @returns how many were written; at most one per byte
   */
  find(
    bytes: Uint8Array,
    { start, end }: { readonly start: number; readonly end: number },
    cuts: Int32Array,
  ): number {
    let count = 0;
    let left = pointAt(bytes, start);
    for (let at = start + sizeOf(bytes[start] as number); at < end; ) {
      const lead = bytes[at] as number;
      const right = pointAt(bytes, at);
      const isCut =
        (left >= 0x80 || right >= 0x80) &&
        this.#joinedBytes[((bytes[at - 1] as number) << 8) | lead] === 0 &&
        this.#joined.find(left, right) < 0 &&
        this.#joined.find(left, LEAD + lead) < 0;
      if (isCut) cuts[count++] = at;
      left = right;
      at += sizeOf(lead);
    }
    return count;
  }

  #learn(token: Uint8Array): void {
    for (let at = 1; at < token.length; at++) {
      const lead = token[at] as number;
      const last = token[at - 1] as number;
      if (isContinuation(lead) || (lead < 0x80 && last < 0x80)) continue;
      let from = at - 1;
      while (from > 0 && isContinuation(token[from] as number)) from--;
      if (isContinuation(token[from] as number)) {
        this.#joinedBytes[(last << 8) | lead] = 1;
        continue;
      }
      const isWhole = at + sizeOf(lead) <= token.length;
      this.#joined.set(pointAt(token, from), isWhole ? pointAt(token, at) : LEAD + lead, 1);
    }
  }
}

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}

function sizeOf(lead: number): number {
  if (lead < 0x80) return 1;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

function pointAt(bytes: Uint8Array, at: number): number {
  const lead = bytes[at] as number;
  if (lead < 0x80) return lead;
  let point = (bytes[at + 1] as number) & 0x3f;
  if (lead < 0xe0) return point | ((lead & 0x1f) << 6);
  point = (point << 6) | ((bytes[at + 2] as number) & 0x3f);
  if (lead < 0xf0) return point | ((lead & 0x0f) << 12);
  return (point << 6) | ((bytes[at + 3] as number) & 0x3f) | ((lead & 0x07) << 18);
}
