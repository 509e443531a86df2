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

/** What `run` reads before operations: instruction set and thread count. */
const NUM_SETTINGS = 2;

export class NativeHost implements KernelHost {
  readonly operations: readonly string[];
  readonly arguments: Float64Array;
  readonly canQueue = true;
  readonly #addon: NativeAddon;
  readonly #address: number;
  readonly #addresses = new WeakMap<ArrayBufferLike, number>();

  /** @param isa index into `addon.isas` */
  constructor(addon: NativeAddon, isa: number, threads: number) {
    this.#addon = addon;
    this.operations = addon.operations;
    // An array of its own: another host's queue may be waiting.
    const array = new Float64Array(addon.maxArguments);
    array[0] = isa;
    array[1] = threads;
    this.#address = addon.address(new Uint8Array(array.buffer));
    this.arguments = array.subarray(NUM_SETTINGS);
  }

  /** Zeroed memory on huge pages. */
  allocate(byteLength: number): Memory {
    const buffer = this.#addon.allocate(byteLength);
    return new NativeMemory(buffer, this.#addon.address(new Uint8Array(buffer)));
  }

  /** The pages go back to the system; operations on tensors in them are a mistake from here on. */
  giveBack({ buffer }: Memory): void {
    if (buffer instanceof ArrayBuffer) buffer.transfer(0);
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

  run(operations: number): void {
    this.#addon.run(operations, this.#address);
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
