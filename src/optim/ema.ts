/**
 * A moving average of the weights (DeepSeek-V3 report, 3.2.3), for an early estimate of the model
 * after learning-rate decay. It is a second set of tensors, which starts as a copy.
 *
 *     average ← decay · average + (1 − decay) · value
 */
import { MoebiusError } from '../base/errors.ts';
import type { F32, Kernels } from '../kernels/kernels.ts';

export interface AveragedTensor {
  readonly average: F32;
  readonly value: F32;
}

/** @throws optimizer.settings when `decay` is outside [0, 1] */
export function updateAverage(args: {
  kernels: Kernels;
  tensors: readonly AveragedTensor[];
  decay: number;
}): void {
  const { kernels, tensors, decay } = args;
  if (!(decay >= 0 && decay <= 1)) {
    throw new MoebiusError('optimizer.settings', `the average's decay is ${decay}`, {
      values: { averageDecay: decay },
      hint: 'Set averageDecay between 0 (no memory) and 1 (no change); 0.999 is usual.',
    });
  }
  for (const { average, value } of tensors) {
    kernels.lerp({ out: average, x: value, weight: 1 - decay });
  }
}
