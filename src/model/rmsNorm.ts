/**
 * RMSNorm: out = x · rsqrt(mean(x²) + eps) · gain. The factor per row is kept for backward.
 *
 * Block norms use the config's eps; the two latent norms of MLA always 1e-6, as the released
 * modelling code does.
 */
import type { F32 } from '../kernels/kernels.ts';
import { numColumns, numRows } from '../tensor/tensor.ts';
import { allocateF32, type StepContext } from './context.ts';
import { f32Values, gradientOf, type Parameter } from './parameters.ts';

export const LATENT_NORM_EPS = 1e-6;

export interface Normed {
  readonly x: F32;
  readonly out: F32;
  readonly reciprocalRms_T: F32;
}

/** @param out where to write, when it is part of something larger */
export function normForward(
  context: StepContext,
  gain: Parameter,
  args: { x: F32; eps: number; out?: F32 },
): Normed {
  const { x, eps } = args;
  const out = args.out ?? allocateF32(context, numRows(x), numColumns(x));
  const reciprocalRms_T = allocateF32(context, numRows(x));
  context.kernels.rmsNorm({ out, x, gain: f32Values(gain), eps, reciprocalRms_T });
  return { x, out, reciprocalRms_T };
}

/** @param dX written, or added to if `accumulate` */
export function normBackwardInput(
  context: StepContext,
  gain: Parameter,
  args: { normed: Normed; dOut: F32; dX: F32; accumulate?: true },
): void {
  const { normed, dOut, dX } = args;
  context.kernels.rmsNormBackwardInput({
    dX,
    dOut,
    x: normed.x,
    gain: f32Values(gain),
    reciprocalRms_T: normed.reciprocalRms_T,
    accumulate: args.accumulate ?? false,
  });
}

export function normBackwardWeight(
  context: StepContext,
  gain: Parameter,
  args: { normed: Normed; dOut: F32 },
): void {
  const { normed, dOut } = args;
  context.kernels.rmsNormBackwardWeight({
    dGain: gradientOf(gain),
    dOut,
    x: normed.x,
    reciprocalRms_T: normed.reciprocalRms_T,
  });
}
