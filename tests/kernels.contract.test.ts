/**
 * The contract over every backend: the reference, the C++ kernels in every way this machine can run
 * them, and, as far as it needs no numbers, the meta kernels.
 */
import { test } from 'node:test';
import { createMetaKernels } from '../src/kernels/meta.ts';
import { implementations, missingNative } from './kernelContract/implementations.ts';
import { kernelContract, kernelRefusals } from './kernelContract/kernelContract.ts';

kernelContract(implementations);
kernelRefusals({ name: 'meta', makeKernels: () => createMetaKernels().kernels });

if (missingNative !== undefined) test('native', { skip: missingNative }, () => {});
