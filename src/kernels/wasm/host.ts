/** A WebAssembly instance as a host of compiled operations, with one thread count. */
import { assert } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import type { Memory } from '../../tensor/tensor.ts';
import type { KernelHost } from '../compiled/call.ts';
import type { WasmHeap } from './heap.ts';
import type { WasmInstance } from './instance.ts';

/** A range of the linear memory; `buffer` is the whole of it, as it is now. */
class WasmMemory implements Memory {
  readonly heap: WasmHeap;
  readonly byteOffset: number;
  readonly byteLength: number;

  constructor(heap: WasmHeap, byteOffset: number, byteLength: number) {
    this.heap = heap;
    this.byteOffset = byteOffset;
    this.byteLength = byteLength;
  }

  get buffer(): ArrayBuffer | SharedArrayBuffer {
    return this.heap.buffer;
  }
}

interface Range {
  readonly heap: WasmHeap;
  readonly address: number;
  readonly byteLength: number;
}

/** A range goes back to its heap when nothing refers to the memory any more, tensors included. */
const abandoned = new FinalizationRegistry<Range>(({ heap, address, byteLength }) =>
  heap.release(address, byteLength),
);

export class WasmHost implements KernelHost {
  readonly operations: readonly string[];
  readonly canQueue = false;
  readonly #instance: WasmInstance;
  readonly #threads: number;

  constructor(instance: WasmInstance, threads: number) {
    this.#instance = instance;
    this.#threads = threads;
    this.operations = instance.operations;
  }

  get arguments(): Float64Array {
    return this.#instance.arguments;
  }

  /** @throws kernels.outOfMemory */
  allocate(byteLength: number): Memory {
    const { heap } = this.#instance;
    const address = heap.allocate(byteLength);
    const memory = new WasmMemory(heap, address, byteLength);
    abandoned.register(memory, { heap, address, byteLength });
    return memory;
  }

  allocateList(length: number): Memory {
    return this.allocate(8 * length);
  }

  addressOf(memory: Memory): number {
    if (memory instanceof WasmMemory && memory.heap === this.#instance.heap) {
      return memory.byteOffset;
    }
    throw new MoebiusError('kernels.foreignMemory', 'WebAssembly sees no memory but its own', {
      values: { byteLength: memory.byteLength },
      hint: 'Allocate the tensor in an arena of these kernels and write() the values into it.',
    });
  }

  run(operations: number): void {
    assert(operations === 1, 'WebAssembly runs operations one by one');
    this.#instance.run(this.arguments[0] ?? -1, this.#threads);
  }
}
