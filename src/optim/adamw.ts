/**
 * AdamW (Loshchilov and Hutter, 2019) over a set of parameters, with the settings of DeepSeek-V3
 * (report, 4.2): decoupled decay on matrices only, bias-corrected moments, gradients scaled first.
 *
 *     g  = scale · gradient
 *     m += (1 − β₁)(g − m)         v += (1 − β₂)(g² − v)
 *     θ −= lr · decay · θ          θ −= lr · m̂ / (√v̂ + ε)
 *
 * Moments may be BF16, which the report found to cost nothing (3.3.2).
 */
import { assert } from '../base/assert.ts';
import { MoebiusError } from '../base/errors.ts';
import type { F32, Kernels } from '../kernels/kernels.ts';
import type { Arena } from '../tensor/arena.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** What is trained, in the shape of the model's `TrainedTensor`. */
export interface OptimisedTensor {
  readonly name: string;
  readonly value: F32;
  readonly gradient: F32;
  readonly isDecayed: boolean;
}

export type MomentDType = 'f32' | 'bf16';

export interface Moments {
  readonly first: Tensor<MomentDType>;
  readonly second: Tensor<MomentDType>;
}

export interface OptimizerState {
  readonly dtype: MomentDType;
  /** By parameter name, in the parameters' order. */
  readonly moments: ReadonlyMap<string, Moments>;
}

/** Settings of one step; they ride on the instruction, so schedules live above the seam. */
export interface AdamWStep {
  /** Counts from 1; bias correction depends on it. */
  readonly step: number;
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** From `clipScale`. */
  readonly gradientScale: number;
}

/** Moments of zero. */
export function createOptimizerState(args: {
  kernels: Kernels;
  arena: Arena;
  parameters: readonly OptimisedTensor[];
  dtype: MomentDType;
}): OptimizerState {
  const { kernels, arena, parameters, dtype } = args;
  const zeros = (shape: readonly number[]): Tensor<MomentDType> => {
    const moment = arena.allocate(dtype, shape);
    kernels.fill({ out: moment, value: 0 });
    return moment;
  };
  const moments = new Map<string, Moments>();
  for (const { name, value } of parameters) {
    moments.set(name, { first: zeros(value.shape), second: zeros(value.shape) });
  }
  return { dtype, moments };
}

/**
 * One step over all parameters, in place.
 *
 * @throws optimizer.settings when a setting is outside its range
 */
export function adamwStep(args: {
  kernels: Kernels;
  parameters: readonly OptimisedTensor[];
  state: OptimizerState;
  settings: AdamWStep;
}): void {
  const { kernels, parameters, state, settings } = args;
  checkSettings(settings);
  const { weightDecay, ...rest } = settings;
  for (const { name, value, gradient, isDecayed } of parameters) {
    const moments = state.moments.get(name);
    assert(moments !== undefined, `no moments for ${name}`);
    kernels.adamw({
      parameter: value,
      gradient,
      firstMoment: moments.first,
      secondMoment: moments.second,
      weightDecay: isDecayed ? weightDecay : 0,
      ...rest,
    });
  }
}

function checkSettings(settings: AdamWStep): void {
  const { step, learningRate, beta1, beta2, epsilon, weightDecay, gradientScale } = settings;
  const isShare = (value: number): boolean => value >= 0 && value < 1;
  const isAmount = (value: number): boolean => Number.isFinite(value) && value >= 0;
  const isSound =
    Number.isInteger(step) &&
    step >= 1 &&
    isShare(beta1) &&
    isShare(beta2) &&
    [learningRate, epsilon, weightDecay, gradientScale].every(isAmount);
  if (isSound) return;
  throw new MoebiusError('optimizer.settings', 'AdamW cannot step with these settings', {
    values: { ...settings },
    hint: 'Count steps from 1, keep both betas in [0, 1), and the rest finite and not negative.',
  });
}
