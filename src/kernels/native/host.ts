/** The addon as a host of compiled operations, with one instruction set and thread count. */
import { assert } from '../../base/assert.ts';
import type { Memory } from '../../tensor/tensor.ts';
import type { KernelHost } from '../compiled/call.ts';
import type { NativeAddon } from './addon.ts';

/** Memory from the addon, whose address is known without asking. */
class NativeMemory implements Memory {
  readonly buffer: ArrayBuffer;
  readonly byteLength: number;
  readonly address: number;

  constructor(buffer: ArrayBuffer, address: number) {
    this.buffer = buffer;
    this.byteLength = buffer.byteLength;
    this.address = address;
  }
}

/** The first two entries of the addon's array: instruction set and thread count. */
const FIRST_ARGUMENT = 2;

export class NativeHost implements KernelHost {
  readonly operations: readonly string[];
  readonly arguments: Float64Array;
  readonly #addon: NativeAddon;
  readonly #isa: number;
  readonly #threads: number;
  readonly #addresses = new WeakMap<ArrayBufferLike, number>();

  /** @param isa index into `addon.isas` */
  constructor(addon: NativeAddon, isa: number, threads: number) {
    this.#addon = addon;
    this.#isa = isa;
    this.#threads = threads;
    this.operations = addon.operations;
    this.arguments = addon.arguments.subarray(FIRST_ARGUMENT);
  }

  /** Zeroed memory on huge pages. */
  allocate(byteLength: number): Memory {
    const buffer = this.#addon.allocate(byteLength);
    return new NativeMemory(buffer, this.#addon.address(new Uint8Array(buffer)));
  }

  allocateList(length: number): Memory {
    return { byteLength: 8 * length, buffer: new ArrayBuffer(8 * length) };
  }

  addressOf(memory: Memory): number {
    if (memory instanceof NativeMemory) return memory.address;
    const { buffer, byteOffset = 0 } = memory;
    assert(buffer !== null, 'the tensor has no host memory');
    return this.#lookUp(buffer) + byteOffset;
  }

  run(operation: number): void {
    this.#addon.arguments[0] = this.#isa;
    this.#addon.arguments[1] = this.#threads;
    this.#addon.run(operation);
  }

  /** Backing stores do not move, so an address holds as long as its buffer lives. */
  #lookUp(buffer: ArrayBufferLike): number {
    let address = this.#addresses.get(buffer);
    if (address === undefined) {
      address = this.#addon.address(new Uint8Array(buffer));
      this.#addresses.set(buffer, address);
    }
    return address;
  }
}
