/**
 * The kernels that this machine has: the reference, and the C++ ones with one and two threads, in
 * each instruction set and as WebAssembly, there also on a memory that moves as it grows.
 */
import { createNativeKernels } from '../../src/kernels/native.ts';
import { createReferenceKernels } from '../../src/kernels/reference.ts';
import { createWasmKernels } from '../../src/kernels/wasm.ts';
import { loadAddon } from '../../src/runtime/loadAddon.ts';
import { type LoadWasmOptions, loadWasm } from '../../src/runtime/loadWasm.ts';
import type { Implementation } from './kernelContract.ts';

const loaded = loadAddon();

/** Why there are no C++ kernels, where there are none. */
export const missingNative: string | undefined = 'reason' in loaded ? loaded.reason : undefined;

export const implementations: readonly Implementation[] = [
  { name: 'reference', makeKernels: () => createReferenceKernels({ poison: true }) },
  ...('reason' in loaded
    ? []
    : loaded.addon.isas.flatMap((isa) =>
        [1, 2].map((threads) => ({
          name: `native ${isa}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
          makeKernels: () => createNativeKernels(loaded.addon, { isa, threads }),
        })),
      )),
  wasmImplementation('wasm, 1 thread', { threads: 1, isShared: false }),
  wasmImplementation('wasm, 2 threads', { threads: 2 }),
];

/** One instance for all kernels of a name, as there is one addon. */
function wasmImplementation(name: string, options: LoadWasmOptions): Implementation {
  const wasm = loadWasm(options);
  if ('reason' in wasm) throw new Error(wasm.reason);
  return { name, makeKernels: () => createWasmKernels(wasm.instance) };
}
