/**
 * An operation's scratch: bumped out of one block that is kept, so that after the largest operation
 * ran once nothing is allocated any more. What does not fit gets a range of its own, and the block
 * that replaces them all would have held them.
 */
import type { WasmHeap } from './heap.ts';

const ALIGNMENT = 64;

export class Scratch {
  readonly #heap: WasmHeap;
  #address = 0;
  #capacity = 0;
  #used = 0;
  /** Since the last reset, all together. */
  #wanted = 0;
  #extra: { readonly address: number; readonly byteLength: number }[] = [];

  constructor(heap: WasmHeap) {
    this.#heap = heap;
  }

  /** @throws kernels.outOfMemory */
  allocate(byteLength: number): number {
    const size = Math.ceil(byteLength / ALIGNMENT) * ALIGNMENT;
    this.#wanted += size;
    if (this.#used + size <= this.#capacity) {
      const address = this.#address + this.#used;
      this.#used += size;
      return address;
    }
    const address = this.#heap.allocate(size);
    this.#extra.push({ address, byteLength: size });
    return address;
  }

  /** Everything handed out is free again. */
  reset(): void {
    if (this.#extra.length > 0) this.#replaceBlock();
    this.#used = 0;
    this.#wanted = 0;
  }

  #replaceBlock(): void {
    for (const { address, byteLength } of this.#extra) this.#heap.release(address, byteLength);
    if (this.#capacity > 0) this.#heap.release(this.#address, this.#capacity);
    this.#extra = [];
    this.#capacity = 0;
    const address = this.#heap.tryAllocate(this.#wanted);
    if (address === undefined) return; // in pieces, then
    this.#address = address;
    this.#capacity = this.#wanted;
  }
}
