/**
 * The linear memory above the module's own data, given out in ranges: first fit, neighbours joined
 * when they come back, and the memory grown when nothing fits. Few and large ranges are asked for
 * (chunks of arenas, scratch, stacks), so a sorted list is enough.
 */
import { assert } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import { PAGE_BYTES, type WasmLinearMemory } from './webAssembly.ts';

export interface Range {
  readonly begin: number;
  readonly end: number;
}

/** Cache lines and the widest vectors. */
const ALIGNMENT = 64;
/** Grown by no less, so that small requests do not each move the buffer. */
const LEAST_GROWTH = 2 ** 20;

export class WasmHeap {
  readonly #memory: WasmLinearMemory;
  readonly #maxBytes: number;
  readonly #free: Range[] = [];
  #buffer: ArrayBuffer | SharedArrayBuffer;
  #end: number;

  /** @param begin the first byte that is nobody's */
  constructor(memory: WasmLinearMemory, begin: number, maxBytes: number) {
    this.#memory = memory;
    this.#buffer = memory.buffer;
    this.#maxBytes = maxBytes;
    this.#end = this.#buffer.byteLength;
    const first = Math.ceil(begin / ALIGNMENT) * ALIGNMENT;
    if (first < this.#end) this.#free.push({ begin: first, end: this.#end });
  }

  /** The whole memory now; the object before the last growth is of no use any more. */
  get buffer(): ArrayBuffer | SharedArrayBuffer {
    return this.#buffer;
  }

  /** Bytes that could still be had, in pieces perhaps. */
  get availableBytes(): number {
    const free = this.#free.reduce((sum, { begin, end }) => sum + end - begin, 0);
    return free + this.#maxBytes - this.#end;
  }

  /**
   * @returns the address, a multiple of 64
   * @throws kernels.outOfMemory
   */
  allocate(byteLength: number): number {
    const address = this.tryAllocate(byteLength);
    if (address === undefined) throw this.#outOfMemory(byteLength);
    return address;
  }

  tryAllocate(byteLength: number): number | undefined {
    const size = roundedUp(byteLength);
    const fits = ({ begin, end }: Range): boolean => end - begin >= size;
    let index = this.#free.findIndex(fits);
    if (index < 0) {
      this.#grow(size);
      index = this.#free.findIndex(fits);
    }
    const range = this.#free[index];
    if (range === undefined) return undefined;
    const { begin, end } = range;
    if (end - begin === size) this.#free.splice(index, 1);
    else this.#free[index] = { begin: begin + size, end };
    return begin;
  }

  /** Gives back what `allocate` gave for that many bytes. */
  release(address: number, byteLength: number): void {
    this.#insert({ begin: address, end: address + roundedUp(byteLength) });
  }

  /** Grows so that the last free range has the size, where the engine allows. */
  #grow(size: number): void {
    const last = this.#free.at(-1);
    const reach = last?.end === this.#end ? last.end - last.begin : 0;
    const wanted = Math.max(size - reach, Math.min(LEAST_GROWTH, this.#maxBytes - this.#end));
    const pages = Math.ceil(wanted / PAGE_BYTES);
    const before = this.#end;
    if (before + pages * PAGE_BYTES > this.#maxBytes || !this.#hasGrown(pages)) return;
    this.#buffer = this.#memory.buffer;
    this.#end = this.#buffer.byteLength;
    this.#insert({ begin: before, end: this.#end });
  }

  /** An engine may refuse what the maximum promised: its machine is full. */
  #hasGrown(pages: number): boolean {
    try {
      this.#memory.grow(pages);
      return true;
    } catch (error) {
      if (error instanceof RangeError) return false;
      throw error;
    }
  }

  #insert(range: Range): void {
    let index = this.#free.findIndex(({ begin }) => begin >= range.begin);
    if (index < 0) index = this.#free.length;
    const [before, after] = [this.#free[index - 1], this.#free[index]];
    const isFree = (before?.end ?? 0) <= range.begin && range.end <= (after?.begin ?? this.#end);
    assert(isFree, `bytes ${range.begin} to ${range.end} were free already`);
    const joinsBefore = before?.end === range.begin;
    const joinsAfter = after?.begin === range.end;
    const joined = {
      begin: joinsBefore ? (before?.begin ?? 0) : range.begin,
      end: joinsAfter ? (after?.end ?? 0) : range.end,
    };
    const first = joinsBefore ? index - 1 : index;
    this.#free.splice(first, Number(joinsBefore) + Number(joinsAfter), joined);
  }

  #outOfMemory(wantedBytes: number): MoebiusError {
    return new MoebiusError('kernels.outOfMemory', 'WebAssembly has no more memory to give', {
      values: {
        wantedBytes,
        availableBytes: this.availableBytes,
        maxBytes: this.#maxBytes,
      },
      hint:
        'Take a smaller model, batch or context; or install a C++ compiler and run ' +
        'npm run build:native: the native kernels have no such limit.',
    });
  }
}

function roundedUp(byteLength: number): number {
  assert(Number.isSafeInteger(byteLength) && byteLength >= 0, `${byteLength} bytes of memory`);
  return Math.max(1, Math.ceil(byteLength / ALIGNMENT)) * ALIGNMENT;
}
