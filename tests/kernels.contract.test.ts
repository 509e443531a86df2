/**
 * The contract over every backend: the reference, the C++ kernels in each instruction set this
 * machine has and with one and two threads, and, as far as it needs no numbers, the meta kernels.
 */
import { test } from 'node:test';
import { createMetaKernels } from '../src/kernels/meta.ts';
import { createNativeKernels } from '../src/kernels/native.ts';
import { createReferenceKernels } from '../src/kernels/reference.ts';
import { loadAddon } from '../src/runtime/loadAddon.ts';
import {
  type Implementation,
  kernelContract,
  kernelRefusals,
} from './kernelContract/kernelContract.ts';

const reference = {
  name: 'reference',
  makeKernels: () => createReferenceKernels({ poison: true }),
};
const native: Implementation[] = [];
const loaded = loadAddon();
if ('reason' in loaded) {
  test('native', { skip: loaded.reason }, () => {});
} else {
  const { addon } = loaded;
  for (const isa of addon.isas) {
    for (const threads of [1, 2]) {
      native.push({
        name: `native ${isa}, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
        makeKernels: () => createNativeKernels(addon, { isa, threads }),
      });
    }
  }
}

kernelContract([reference, ...native]);
kernelRefusals({ name: 'meta', makeKernels: () => createMetaKernels().kernels });
