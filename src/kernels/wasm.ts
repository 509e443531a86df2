/**
 * The WebAssembly backend: the sources of the native one, `csrc/`, with 128-bit vectors and relaxed
 * SIMD, for machines without a C++ compiler and for pages.
 *
 * Bytes and workers are passed in (`runtime/loadWasm.ts` has Node's), because this room knows no
 * Node. All memory is the module's own, 4 GiB at most: tensors lie in its arenas, and whatever is
 * elsewhere is copied in by `write`. Operations are done when they return.
 */
import { ChunkArena } from '../tensor/arena.ts';
import { KernelCall } from './compiled/call.ts';
import { compiledKernels } from './compiled/operations.ts';
import type { Kernels } from './kernels.ts';
import { WasmHost } from './wasm/host.ts';
import { invalidThreads, type WasmInstance } from './wasm/instance.ts';

export interface WasmKernelsOptions {
  /** Threads an operation is split over, the caller included; all of the instance by default. */
  readonly threads?: number;
}

/** Smaller than elsewhere: there are 4 GiB to share out, and many arenas are small. */
const CHUNK_BYTES = 16 * 2 ** 20;

/** @throws kernels.invalidThreads when there are more than the instance has */
export function createWasmKernels(
  instance: WasmInstance,
  options: WasmKernelsOptions = {},
): Kernels {
  const { threads = instance.numThreads } = options;
  if (!(Number.isInteger(threads) && threads >= 1 && threads <= instance.numThreads)) {
    throw invalidThreads(threads, instance.numThreads);
  }
  const host = new WasmHost(instance, threads);
  return {
    name: 'wasm',
    createArena: () => new ChunkArena((byteLength) => host.allocate(byteLength), CHUNK_BYTES),
    ...compiledKernels(new KernelCall(host)),
  };
}
