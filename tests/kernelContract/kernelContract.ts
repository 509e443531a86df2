/** Registers the whole contract as tests of implementations of `Kernels`. */
import { test } from 'node:test';
import type { Kernels } from '../../src/kernels/kernels.ts';
import { attentionCases } from './attention.ts';
import { elementwiseCases } from './elementwise.ts';
import { endCases } from './ends.ts';
import type { KernelCase } from './kernelCase.ts';
import { normCases } from './norms.ts';
import { optimiserCases } from './optimiser.ts';
import { permutationCases } from './permutation.ts';
import { productCases } from './products.ts';
import { refusals, refuses } from './refusals.ts';
import { routingCases } from './routing.ts';
import type { OracleMemory } from './workbench.ts';

export const kernelCases: readonly KernelCase[] = [
  ...elementwiseCases,
  ...productCases,
  ...normCases,
  ...attentionCases,
  ...routingCases,
  ...permutationCases,
  ...endCases,
  ...optimiserCases,
];

export interface Implementation {
  /** As the test reports print it. */
  readonly name: string;
  readonly makeKernels: () => Kernels;
}

/** Case by case over all implementations, so that an oracle answers once for all of them. */
export function kernelContract(implementations: readonly Implementation[]): void {
  for (const { name: sentence, verify } of kernelCases) {
    const memory: OracleMemory = new Map();
    for (const [i, { name, makeKernels }] of implementations.entries()) {
      test(`${name}: ${sentence}`, async () => {
        await verify(makeKernels(), memory);
        if (i === implementations.length - 1) memory.clear();
      });
    }
  }
  for (const implementation of implementations) kernelRefusals(implementation);
}

/** The part that holds for kernels without numbers, too. */
export function kernelRefusals({ name, makeKernels }: Implementation): void {
  for (const refusal of refusals) {
    test(`${name}: ${refusal.name}`, () => refuses(makeKernels(), refusal));
  }
}
