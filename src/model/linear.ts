/**
 * A linear layer: out = x Wᵀ with W `[out, in]` as checkpoints store it, and no bias anywhere.
 *
 *     forward         out[T,N] = x[T,M] · W[N,M]ᵀ
 *     backwardInput   dX[T,M]  = dOut[T,N] · W[N,M]
 *     backwardWeight  dW[N,M] += dOut[T,N]ᵀ · x[T,M]
 */

import { at } from '../base/assert.ts';
import type { F32 } from '../kernels/kernels.ts';
import { numRows } from '../tensor/tensor.ts';
import { allocateF32, type StepContext } from './context.ts';
import { gradientOf, type Parameter } from './parameters.ts';

export function linearForward(context: StepContext, layer: Parameter, x: F32): F32 {
  const out = allocateF32(context, numRows(x), at(layer.shape, 0));
  context.kernels.matmul({ out, a: x, b: layer.weight, layout: 'nt' });
  return out;
}

export function linearBackwardInput(context: StepContext, layer: Parameter, dOut: F32): F32 {
  const dX = allocateF32(context, numRows(dOut), at(layer.shape, 1));
  context.kernels.matmul({ out: dX, a: dOut, b: layer.weight, layout: 'nn' });
  return dX;
}

/** As `linearBackwardInput`, added to what is there. */
export function linearAddBackwardInput(
  context: StepContext,
  layer: Parameter,
  args: { dX: F32; dOut: F32 },
): void {
  const { dX, dOut } = args;
  context.kernels.matmul({ out: dX, a: dOut, b: layer.weight, layout: 'nn', accumulate: true });
}

export function linearBackwardWeight(
  context: StepContext,
  layer: Parameter,
  args: { x: F32; dOut: F32 },
): void {
  const out = gradientOf(layer);
  const { x, dOut } = args;
  context.kernels.matmul({ out, a: dOut, b: { values: x }, layout: 'tn', accumulate: true });
}
