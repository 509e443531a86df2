/** The addon as a host of compiled operations, with one instruction set and thread count. */
import { assert } from '../../base/assert.ts';
import type { Memory } from '../../tensor/tensor.ts';
import type { KernelHost } from '../compiled/call.ts';
import type { NativeAddon } from './addon.ts';

/** Memory from the addon, whose address is known without asking. */
class NativeMemory implements Memory {
  readonly buffer: ArrayBuffer;
  readonly byteLength: number;
  /** 0 once it was given back. */
  address: number;

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
  readonly prepared: NonNullable<KernelHost['prepared']>;
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
    const settings = Float64Array.of(isa, threads);
    this.prepared = {
      mostNumbers: addon.maxArguments - NUM_SETTINGS,
      prepare: (numbers, operations) => this.#prepare(settings, numbers, operations),
    };
  }

  /** Zeroed memory on huge pages. */
  allocate(byteLength: number): Memory {
    const buffer = this.#addon.allocate(byteLength);
    return new NativeMemory(buffer, this.#addon.address(new Uint8Array(buffer)));
  }

  /** The pages go back to the system; operations on tensors in them are a mistake from here on. */
  giveBack(memory: Memory): void {
    const { buffer } = memory;
    if (memory instanceof NativeMemory) memory.address = 0;
    if (buffer instanceof ArrayBuffer) buffer.transfer(0);
  }

  allocateList(length: number): Memory {
    return { byteLength: 8 * length, buffer: new ArrayBuffer(8 * length) };
  }

  addressOf(memory: Memory): number {
    if (memory instanceof NativeMemory) {
      assert(memory.address !== 0, 'the memory was given back');
      return memory.address;
    }
    const { buffer, byteOffset = 0 } = memory;
    assert(buffer !== null, 'the tensor has no host memory');
    return this.#lookUp(buffer) + byteOffset;
  }

  run(operations: number): void {
    this.#addon.run(operations, this.#address);
  }

  /** Arguments at a place of their own. */
  #prepare(settings: Float64Array, numbers: Float64Array, operations: number): () => void {
    const array = new Float64Array(NUM_SETTINGS + numbers.length);
    array.set(settings);
    array.set(numbers, NUM_SETTINGS);
    const address = this.#addon.address(new Uint8Array(array.buffer));
    return () => {
      // Reading it here keeps the array for as long as this is kept.
      assert(array.length > 0, 'nothing to run');
      this.#addon.run(operations, address);
    };
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
