/**
 * A hash table from a pair of token ids to a non-negative integer: pair → rank when encoding,
 * pair → index when training. Open addressing over one typed array, four words per slot, so that a
 * look-up touches one cache line and allocates nothing.
 */
const EMPTY = -1;
/** Words per slot: left, right, value, unused (keeps a slot inside one cache line). */
const STRIDE = 4;

export class PairTable {
  #table: Int32Array;
  #mask: number;
  #size = 0;

  /** `expected` pairs fit without growing. */
  constructor(expected: number) {
    let slots = 16;
    while (slots < expected * 2) slots *= 2;
    this.#mask = slots - 1;
    this.#table = new Int32Array(slots * STRIDE).fill(EMPTY);
  }

  get size(): number {
    return this.#size;
  }

  /** The value of a pair, or −1. */
  find(left: number, right: number): number {
    const table = this.#table;
    const mask = this.#mask;
    let slot = hashPair(left, right) & mask;
    for (;;) {
      const base = slot * STRIDE;
      const found = table[base] as number;
      if (found === left && table[base + 1] === right) return table[base + 2] as number;
      if (found === EMPTY) return -1;
      slot = (slot + 1) & mask;
    }
  }

  /** Sets the value of a pair, replacing an earlier one. Ids and value are non-negative. */
  set(left: number, right: number, value: number): void {
    if ((this.#size + 1) * 2 > this.#mask + 1) this.#grow();
    if (this.#place(left, right, value)) this.#size++;
  }

  /** Writes the pair; true when it was not there before. */
  #place(left: number, right: number, value: number): boolean {
    const table = this.#table;
    let slot = hashPair(left, right) & this.#mask;
    for (;;) {
      const base = slot * STRIDE;
      const found = table[base] as number;
      if (found === EMPTY || (found === left && table[base + 1] === right)) {
        table[base] = left;
        table[base + 1] = right;
        table[base + 2] = value;
        return found === EMPTY;
      }
      slot = (slot + 1) & this.#mask;
    }
  }

  #grow(): void {
    const old = this.#table;
    this.#mask = (this.#mask + 1) * 2 - 1;
    this.#table = new Int32Array((this.#mask + 1) * STRIDE).fill(EMPTY);
    for (let base = 0; base < old.length; base += STRIDE) {
      if (old[base] === EMPTY) continue;
      this.#place(old[base] as number, old[base + 1] as number, old[base + 2] as number);
    }
  }
}

function hashPair(left: number, right: number): number {
  const mixed = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca77);
  return mixed ^ (mixed >>> 15);
}
