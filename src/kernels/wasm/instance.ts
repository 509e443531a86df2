/**
 * The C++ kernels as one WebAssembly module on one linear memory: its heap, its scratch, and its
 * workers, which are further instances on the same memory (`csrc/wasm.cpp`).
 */
import { assert, at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import { ABI_VERSION } from '../compiled/abi.ts';
import { WasmHeap } from './heap.ts';
import { withMemory } from './memoryImport.ts';
import { Scratch } from './scratch.ts';
import {
  compileModule,
  createMemory,
  instantiate,
  PAGE_BYTES,
  type WasmExports,
  type WasmLinearMemory,
  type WasmModule,
} from './webAssembly.ts';

/** What a worker is sent, to be given to `runWorker` (`worker.ts`). */
export interface WorkerSeat {
  readonly module: WasmModule;
  readonly memory: WasmLinearMemory;
  /** Where its stack begins; it grows down. */
  readonly stackTop: number;
}

export interface WasmOptions {
  /** `wasm/kernels.wasm` */
  readonly bytes: Uint8Array;
  /**
   * Threads that operations may use, the caller included; 1 by default. More need shared memory and
   * `startWorker`.
   */
  readonly threads?: number;
  /** Starts a worker that calls `runWorker(seat)`, and returns at once. */
  readonly startWorker?: (seat: WorkerSeat) => void;
  /** Whether the memory is a SharedArrayBuffer; by default when there is more than one thread. */
  readonly isShared?: boolean;
  /** What the memory may grow to, at most 4 GiB, which is the default. */
  readonly maxBytes?: number;
}

const MOST_BYTES = 2 ** 32;
const STACK_BYTES = 2 ** 18;

export class WasmInstance {
  readonly operations: readonly string[];
  readonly heap: WasmHeap;
  readonly #exports: WasmExports;
  readonly #scratch: Scratch;
  readonly #stackTop: number;
  readonly #argumentsAddress: number;
  #arguments: Float64Array;
  #numThreads = 1;
  #isBroken = false;

  /**
   * @throws kernels.invalidThreads, kernels.outOfMemory
   * @throws the engine's CompileError when it lacks relaxed SIMD, say
   */
  constructor(options: WasmOptions) {
    const { bytes, threads = 1, startWorker, maxBytes = MOST_BYTES } = options;
    const isShared = options.isShared ?? threads > 1;
    const image = withMemory(bytes, isShared ? 'shared' : 'unshared');
    const module = compileModule(image.bytes);
    const maximumPages = Math.min(image.maximumPages, Math.floor(maxBytes / PAGE_BYTES));
    const memory = reserve(image.minimumPages, maximumPages, isShared);
    const exports = instantiate(module, memory, (size) => this.#scratch.allocate(size >>> 0));
    assert(exports.abiVersion() === ABI_VERSION, 'kernels.wasm is of another version');
    this.#exports = exports;
    this.#stackTop = exports.__stack_pointer.value;
    this.heap = new WasmHeap(memory, exports.__heap_base.value >>> 0, maximumPages * PAGE_BYTES);
    this.#scratch = new Scratch(this.heap);
    this.#argumentsAddress = exports.arguments() >>> 0;
    this.#arguments = this.#viewArguments();
    this.operations = readNames(this.heap.buffer, exports.operationNames() >>> 0);
    if (!(Number.isInteger(threads) && threads >= 1 && threads <= exports.maxThreads())) {
      throw invalidThreads(threads, exports.maxThreads());
    }
    assert(threads === 1 || (isShared && startWorker !== undefined), 'threads need workers');
    for (let worker = 1; worker < threads; worker++) {
      const stackTop = this.heap.allocate(STACK_BYTES) + STACK_BYTES;
      startWorker?.({ module, memory, stackTop });
      this.#numThreads++;
    }
  }

  /** The caller, and the workers that were started. */
  get numThreads(): number {
    return this.#numThreads;
  }

  /** Where the next operation's arguments are written; another view once the memory has grown. */
  get arguments(): Float64Array {
    if (this.#arguments.buffer !== this.heap.buffer) this.#arguments = this.#viewArguments();
    return this.#arguments;
  }

  /**
   * Waits until the workers stand ready; what runs before then is done by those that do. Gives how
   * many threads there are. Not for a browser's main thread, which may not wait.
   */
  awaitWorkers(milliseconds: number): number {
    return this.#exports.awaitWorkers(this.#numThreads - 1, milliseconds) + 1;
  }

  /** @throws kernels.outOfMemory when there is no room for its scratch */
  run(operation: number, threads: number): void {
    assert(!this.#isBroken, 'the WebAssembly kernels have failed before');
    assert(operation < this.operations.length, `there is no operation ${operation}`);
    let failures = 0;
    try {
      failures = this.#exports.run(operation, threads);
    } catch (error) {
      // Scratch is asked for outside parallel sections, so no worker is at work when it runs out.
      this.#isBroken = !(error instanceof MoebiusError);
      this.#exports.__stack_pointer.value = this.#stackTop;
      throw error;
    } finally {
      this.#scratch.reset();
    }
    this.#isBroken = failures > 0;
    assert(failures === 0, 'a WebAssembly worker has failed');
  }

  /** Sends the workers home; nothing may run on more than one thread afterwards. */
  close(): void {
    this.#exports.stop();
    this.#numThreads = 1;
  }

  #viewArguments(): Float64Array {
    const { buffer } = this.heap;
    return new Float64Array(buffer, this.#argumentsAddress, this.#exports.maxArguments());
  }
}

/** @throws kernels.outOfMemory when the engine cannot reserve the address space */
function reserve(initialPages: number, maximumPages: number, isShared: boolean): WasmLinearMemory {
  try {
    return createMemory({ initialPages, maximumPages, isShared });
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new MoebiusError('kernels.outOfMemory', 'WebAssembly cannot reserve its memory', {
      values: { wantedBytes: initialPages * PAGE_BYTES, maxBytes: maximumPages * PAGE_BYTES },
      hint: 'Raise the limit on address space (ulimit -v), or give a smaller maximum.',
      cause,
    });
  }
}

export function invalidThreads(threads: number, most: number): MoebiusError {
  return new MoebiusError('kernels.invalidThreads', `kernels cannot use ${threads} threads`, {
    values: { threads },
    hint: `Take a whole number from 1 to ${most}.`,
  });
}

/** Names that each end with a comma, up to a zero; ASCII. */
function readNames(buffer: ArrayBufferLike, address: number): readonly string[] {
  const bytes = new Uint8Array(buffer, address);
  const codes: number[] = [];
  for (let i = 0; bytes[i] !== 0; i++) codes.push(at(bytes, i));
  return String.fromCharCode(...codes)
    .split(',')
    .slice(0, -1);
}
