/**
 * The contract over every backend: the reference, the C++ kernels in each instruction set this
 * machine has and with one and two threads, and, as far as it needs no numbers, the meta kernels.
 */
import { test } from 'node:test';
import { createMetaKernels } from '../src/kernels/meta.ts';
import { createNativeKernels } from '../src/kernels/native.ts';
import { createReferenceKernels } from '../src/kernels/reference.ts';
import { loadAddon } from '../src/runtime/loadAddon.ts';
import { kernelContract, kernelRefusals } from './kernelContract/kernelContract.ts';

kernelContract('reference', () => createReferenceKernels({ poison: true }));

kernelRefusals('meta', () => createMetaKernels().kernels);

const loaded = loadAddon();
if ('reason' in loaded) {
  test('native', { skip: loaded.reason }, () => {});
} else {
  const { addon } = loaded;
  for (const isa of addon.isas) {
    for (const threads of [1, 2]) {
      const name = `native ${isa}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`;
      kernelContract(name, () => createNativeKernels(addon, { isa, threads }));
    }
  }
}
