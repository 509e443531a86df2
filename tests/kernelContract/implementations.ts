/**
 * The kernels that this machine has: the reference, and the C++ ones in each instruction set with
 * one and two threads.
 */
import { createNativeKernels } from '../../src/kernels/native.ts';
import { createReferenceKernels } from '../../src/kernels/reference.ts';
import { loadAddon } from '../../src/runtime/loadAddon.ts';
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
];
