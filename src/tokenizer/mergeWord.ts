/**
 * Byte-pair merging of one word (Sennrich et al., 2016): while some adjacent pair has a rank, merge
 * the pair of lowest rank, the leftmost when several are equal.
 *
 * Two algorithms give the same answer. A short word keeps its symbols side by side and searches the
 * ranks for the minimum: O(n²), no bookkeeping, everything in a cache line or two. A long word (a
 * base64 blob, an unbroken line of Chinese, an attack) keeps a linked list and a heap: O(n log n).
 *
 *   symbols   t  h  e  r  e        ranks[i] belongs to the pair (symbols[i], symbols[i + 1])
 *   ranks     7  2  5  3  -        → merges (h, e), recomputes the two ranks beside it
 */
import type { PairTable } from './pairTable.ts';

/** Merge rules: `pairs` gives a pair's rank, `mergedIds[rank]` the token it becomes. */
export interface MergeTable {
  readonly pairs: PairTable;
  readonly mergedIds: Int32Array;
}

const NO_RANK = 0x7fffffff;
/** Heap keys are `rank × 2³¹ + position`: exact in a double while ranks stay below 2²². */
const POSITION_SPAN = 2 ** 31;
export const MAX_MERGES: number = 2 ** 22;

/** Where the quadratic search stops paying, measured on Chinese runs and hexadecimal blobs. */
const LONG_WORD = 100;

export class WordMerger {
  readonly #merges: MergeTable;
  readonly #ranks = new Int32Array(LONG_WORD);

  constructor(merges: MergeTable) {
    this.#merges = merges;
  }

  /**
   * Merges `symbols[0 … length − 1]` in place.
   *
   * @param symbols ids of single bytes, in order
   * @returns how many tokens are left, at the front of `symbols`
   */
  merge(symbols: Int32Array, length: number): number {
    if (length < 2) return length;
    return length <= LONG_WORD
      ? this.#mergeShort(symbols, length)
      : this.#mergeLong(symbols, length);
  }

  #mergeShort(symbols: Int32Array, length: number): number {
    const { pairs, mergedIds } = this.#merges;
    const ranks = this.#ranks;
    let last = length - 1;
    for (let i = 0; i < last; i++) {
      ranks[i] = rankOf(pairs, symbols[i] as number, symbols[i + 1] as number);
    }
    for (;;) {
      let best = NO_RANK;
      let at = 0;
      for (let i = 0; i < last; i++) {
        const rank = ranks[i] as number;
        if (rank < best) {
          best = rank;
          at = i;
        }
      }
      if (best === NO_RANK) return last + 1;
      const merged = mergedIds[best] as number;
      symbols[at] = merged;
      for (let i = at + 1; i < last; i++) {
        symbols[i] = symbols[i + 1] as number;
        ranks[i - 1] = ranks[i] as number;
      }
      // The loop above moved ranks[at + 1] to `at`; both neighbours' pairs have changed.
      last--;
      if (at > 0) ranks[at - 1] = rankOf(pairs, symbols[at - 1] as number, merged);
      if (at < last) ranks[at] = rankOf(pairs, merged, symbols[at + 1] as number);
    }
  }

  #mergeLong(symbols: Int32Array, length: number): number {
    const { pairs, mergedIds } = this.#merges;
    const previous = new Int32Array(length);
    const next = new Int32Array(length);
    const ranks = new Int32Array(length).fill(NO_RANK);
    // A merge takes one entry out and puts at most two in, and there are fewer merges than symbols.
    const heap = new RankHeap(2 * length);
    for (let i = 0; i < length; i++) {
      previous[i] = i - 1;
      next[i] = i + 1;
    }
    const rankPair = (position: number): void => {
      const right = next[position] as number;
      const rank =
        right < length
          ? rankOf(pairs, symbols[position] as number, symbols[right] as number)
          : NO_RANK;
      ranks[position] = rank;
      if (rank !== NO_RANK) heap.push(rank * POSITION_SPAN + position);
    };
    for (let i = 0; i + 1 < length; i++) rankPair(i);

    while (heap.size > 0) {
      const key = heap.pop();
      const rank = Math.floor(key / POSITION_SPAN);
      const left = key - rank * POSITION_SPAN;
      // A rank names its pair, so an entry is stale exactly when the position's rank has moved on.
      if (ranks[left] !== rank) continue;
      const right = next[left] as number;
      const after = next[right] as number;
      symbols[left] = mergedIds[rank] as number;
      ranks[right] = NO_RANK;
      next[left] = after;
      if (after < length) previous[after] = left;
      rankPair(left);
      const before = previous[left] as number;
      if (before >= 0) rankPair(before);
    }
    let count = 0;
    for (let i = 0; i < length; i = next[i] as number) symbols[count++] = symbols[i] as number;
    return count;
  }
}

function rankOf(pairs: PairTable, left: number, right: number): number {
  const rank = pairs.find(left, right);
  return rank < 0 ? NO_RANK : rank;
}

/** A binary min-heap of doubles with a fixed capacity. */
class RankHeap {
  size = 0;
  readonly #keys: Float64Array;

  constructor(capacity: number) {
    this.#keys = new Float64Array(capacity);
  }

  push(key: number): void {
    const keys = this.#keys;
    let at = this.size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = keys[parent] as number;
      if (above <= key) break;
      keys[at] = above;
      at = parent;
    }
    keys[at] = key;
  }

  pop(): number {
    const keys = this.#keys;
    const top = keys[0] as number;
    const key = keys[--this.size] as number;
    const size = this.size;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && (keys[child + 1] as number) < (keys[child] as number)) child++;
      const below = keys[child] as number;
      if (below >= key) break;
      keys[at] = below;
      at = child;
    }
    keys[at] = key;
    return top;
  }
}
