/**
 * The contract over every backend: the reference, the C++ kernels in every way this machine can run
 * them, and, as far as it needs no numbers, the meta kernels.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetaKernels } from '../src/kernels/meta.ts';
import { OPERATIONS } from '../src/kernels/shapes.ts';
import { implementations, missingNative } from './kernelContract/implementations.ts';
import { kernelContract, kernelRefusals } from './kernelContract/kernelContract.ts';
import { runValidCall, validCalls } from './kernelContract/validCalls.ts';

kernelContract(implementations);
kernelRefusals({ name: 'meta', makeKernels: () => createMetaKernels().kernels });

test('meta: every operation leaves a record of whole, finite costs', () => {
  for (const operation of OPERATIONS) {
    const { kernels, records } = createMetaKernels();
    const calls = validCalls(kernels);
    records.length = 0;
    runValidCall(kernels, operation, calls);
    const [record, ...more] = records;
    assert.equal(record?.operation, operation);
    assert.deepEqual(more, []);
    const { flops, recomputedFlops, bytesRead, bytesWritten } = record;
    for (const cost of [flops, recomputedFlops, bytesRead, bytesWritten]) {
      assert(Number.isInteger(cost) && cost >= 0, `${operation} costs ${cost}`);
    }
    assert(bytesWritten > 0, `${operation} writes something`);
  }
});

if (missingNative !== undefined) test('native', { skip: missingNative }, () => {});
