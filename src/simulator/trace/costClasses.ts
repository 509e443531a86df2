/**
 * Kernels of a trace in the cost model's classes: the one place that knows both vocabularies.
 *
 * The price list is by what bounds a kernel, so several kinds of kernels may be one class. Null:
 * no price is asked for it. Kernels that wait for other ranks measure their imbalance, not work.
 */
import {
  kernelClasses,
  type PassName,
  type KernelClass as PricedKernel,
} from '../cost/stageWork.ts';
import type { KernelClass } from './kernelClasses.ts';

/** Kernels that a trace cannot tell from BF16 products of other kinds (`tracedClass`). */
const HIDDEN = ['bf16GroupedGemm', 'bf16WeightGradient'] as const;
const OTHERS = [
  'optimizer',
  'dispatch',
  'combine',
  'allReduce',
  'allGather',
  'reduceScatter',
  'allToAll',
  'sendReceive',
] as const;

export type CostClass = Exclude<PricedKernel, (typeof HIDDEN)[number]> | (typeof OTHERS)[number];

/** Every class that a trace can be measured in. */
export const costClasses: readonly CostClass[] = [
  ...kernelClasses.filter((name) => tracedClass(name) === name),
  ...OTHERS,
] as readonly CostClass[];

export const costClassOf: Readonly<Record<KernelClass, CostClass | null>> = {
  'gemm-fp8-dense': 'fp8Gemm',
  'gemm-fp8-grouped': 'fp8GroupedGemm',
  'gemm-fp8-wgrad': 'fp8WeightGradient',
  'gemm-bf16': 'bf16Gemm',
  'attention-forward': 'attentionForward',
  'attention-backward': 'attentionBackward',
  // What FlashAttention runs before and after: part of the price of attention.
  'attention-backward-aux': 'attentionBackward',
  dispatch: 'dispatch',
  combine: 'combine',
  'notify-wait': null,
  'dispatch-layout': null,
  'fp8-cast': 'cast',
  'fp8-cast-transpose': 'transposedCast',
  // Of FP8 matrices, so that a weight gradient reads them along its depth.
  transpose: 'transposedCast',
  norm: 'norm',
  swiglu: 'activation',
  rope: 'rope',
  'token-permute': 'permute',
  gate: 'routing',
  loss: 'loss',
  embedding: 'embedding',
  optimizer: 'optimizer',
  copy: 'elementwise',
  elementwise: 'elementwise',
  'all-reduce': 'allReduce',
  'all-gather': 'allGather',
  'reduce-scatter': 'reduceScatter',
  'all-to-all': 'allToAll',
  'send-receive': 'sendReceive',
  broadcast: null,
  receive: null,
  memcpy: 'elementwise',
  memset: 'elementwise',
  // A whole pass is many classes at once.
  forward: null,
  backward: null,
  'backward-input': null,
  'backward-weight': null,
  'forward-backward': null,
  attention: null,
  experts: null,
  other: 'elementwise',
};

/**
 * The class under which a trace can tell a cost class: names of BF16 kernels do not say whether
 * they are for experts or weight gradients.
 */
export function tracedClass(costClass: string): string {
  return HIDDEN.some((hidden) => hidden === costClass) ? 'bf16Gemm' : costClass;
}

/** Of `attn(F)` or `mlp(W)`, else null; a full backward counts as that of the input. */
export function passOfPhase(name: string): PassName | null {
  if (/\(F\)|^forward\b/i.test(name)) return 'forward';
  if (/\(W\)|weight/i.test(name)) return 'backwardWeight';
  if (/\(B\)|^backward/i.test(name)) return 'backwardInput';
  return null;
}
