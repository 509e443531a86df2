/** Registers the whole contract as tests of implementations of `Kernels`. */
import { test } from 'node:test';
import type { Kernels } from '../../src/kernels/kernels.ts';
import { attentionCases } from './attention.ts';
import { cacheCases } from './cachedAttention.ts';
import { elementwiseCases } from './elementwise.ts';
import { endCases } from './ends.ts';
import type { Effort, KernelCase } from './kernelCase.ts';
import { likelihoodCases } from './likelihoods.ts';
import { normCases } from './norms.ts';
import { optimiserCases } from './optimiser.ts';
import { permutationCases } from './permutation.ts';
import { productCases } from './products.ts';
import { refusals, refuses } from './refusals.ts';
import { routingCases } from './routing.ts';
import { samplingCases } from './sampling.ts';
import type { OracleMemory } from './workbench.ts';

export const kernelCases: readonly KernelCase[] = [
  ...elementwiseCases,
  ...productCases,
  ...normCases,
  ...attentionCases,
  ...cacheCases,
  ...routingCases,
  ...permutationCases,
  ...endCases,
  ...samplingCases,
  ...likelihoodCases,
  ...optimiserCases,
];

export interface Implementation {
  /** As the test reports print it. */
  readonly name: string;
  readonly makeKernels: () => Kernels;
  /** Of the contract; whole where none is said. */
  readonly effort?: Effort;
}

/** Case by case over all implementations, so that an oracle answers once for all of them. */
export function kernelContract(implementations: readonly Implementation[]): void {
  const workplaces = implementations.map(({ name, makeKernels, effort = 'whole' }) => {
    const kernels = makeKernels();
    return { name, kernels, effort, arena: kernels.createArena('contract') };
  });
  const memory: OracleMemory = new Map();
  let remembered = '';
  for (const { name: sentence, verify } of kernelCases) {
    for (const { name, kernels, effort, arena } of workplaces) {
      test(`${name}: ${sentence}`, () => {
        if (remembered !== sentence) memory.clear();
        remembered = sentence;
        return verify({ kernels, arena, effort, memory });
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
