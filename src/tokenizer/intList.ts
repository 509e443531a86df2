/** A growing list of int32: ids are gathered here, so encoding allocates once, not per token. */
export class IntList {
  data: Int32Array;
  length = 0;

  constructor(capacity: number) {
    this.data = new Int32Array(Math.max(16, capacity));
  }

  push(value: number): void {
    if (this.length === this.data.length) this.reserve(1);
    this.data[this.length++] = value;
  }

  /** Makes room for `count` more values, so that a caller may write to `data` directly. */
  reserve(count: number): void {
    const needed = this.length + count;
    if (needed <= this.data.length) return;
    const grown = new Int32Array(Math.max(needed, this.data.length * 2));
    grown.set(this.data);
    this.data = grown;
  }

  toArray(): Int32Array {
    return this.data.slice(0, this.length);
  }
}
