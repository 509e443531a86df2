/** Registers the whole contract as tests of one implementation of `Kernels`. */
import { test } from 'node:test';
import type { Kernels } from '../../src/kernels/kernels.ts';
import { attentionCases } from './attention.ts';
import { elementwiseCases } from './elementwise.ts';
import { endCases } from './ends.ts';
import type { KernelCase } from './kernelCase.ts';
import { normCases } from './norms.ts';
import { optimiserCases } from './optimiser.ts';
import { productCases } from './products.ts';
import { refusals, refuses } from './refusals.ts';
import { routingCases } from './routing.ts';

export const kernelCases: readonly KernelCase[] = [
  ...elementwiseCases,
  ...productCases,
  ...normCases,
  ...attentionCases,
  ...routingCases,
  ...endCases,
  ...optimiserCases,
];

/** @param name what is tested, as the test reports print it */
export function kernelContract(name: string, makeKernels: () => Kernels): void {
  for (const { name: sentence, verify } of kernelCases) {
    test(`${name}: ${sentence}`, () => verify(makeKernels()));
  }
  kernelRefusals(name, makeKernels);
}

/** The part that holds for kernels without numbers, too. */
export function kernelRefusals(name: string, makeKernels: () => Kernels): void {
  for (const refusal of refusals) {
    test(`${name}: ${refusal.name}`, () => refuses(makeKernels(), refusal));
  }
}
