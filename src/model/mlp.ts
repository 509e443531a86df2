/**
 * The SwiGLU network of a dense layer, and of the shared experts (one network of their joint
 * width):
 *
 *     out = Wdown · (silu(Wgate · x) ∘ Wup · x),  gate and up stacked in one matrix [2I, H]
 */
import { at } from '../base/assert.ts';
import type { F32 } from '../kernels/kernels.ts';
import { numRows } from '../tensor/tensor.ts';
import { allocateF32, type StepContext } from './context.ts';
import { linearBackwardInput, linearBackwardWeight, linearForward } from './linear.ts';
import { type Parameter, type ParameterSet, parameterNamed } from './parameters.ts';

export interface MlpWeights {
  readonly gateUp: Parameter;
  readonly down: Parameter;
}

/** @param prefix up to and with the dot: `model.layers.0.mlp.` */
export function mlpWeights(set: ParameterSet, prefix: string): MlpWeights {
  return {
    gateUp: parameterNamed(set, `${prefix}gate_up_proj.weight`),
    down: parameterNamed(set, `${prefix}down_proj.weight`),
  };
}

export interface MlpSaved {
  readonly x: F32;
  readonly gateUp: F32;
  readonly hidden: F32;
}

export interface MlpDeferred {
  readonly saved: MlpSaved;
  readonly dOut: F32;
  readonly dGateUp: F32;
}

export function mlpForward(
  context: StepContext,
  weights: MlpWeights,
  x: F32,
): { out: F32; saved: MlpSaved } {
  const { kernels } = context;
  const gateUp = allocateF32(context, numRows(x), at(weights.gateUp.shape, 0));
  const hidden = allocateF32(context, numRows(x), at(weights.down.shape, 1));
  const b = weights.gateUp.weight;
  kernels.matmul({ out: gateUp, a: x, b, layout: 'nt', swiglu_TF: hidden });
  return { out: linearForward(context, weights.down, hidden), saved: { x, gateUp, hidden } };
}

export function mlpBackwardInput(
  context: StepContext,
  weights: MlpWeights,
  args: { saved: MlpSaved; dOut: F32 },
): { dX: F32; deferred: MlpDeferred } {
  const { saved, dOut } = args;
  const dGateUp = allocateF32(context, ...saved.gateUp.shape);
  const b = weights.down.weight;
  context.kernels.matmul({ out: dGateUp, a: dOut, b, layout: 'nn', gateUp_T2F: saved.gateUp });
  const dX = linearBackwardInput(context, weights.gateUp, dGateUp);
  return { dX, deferred: { saved, dOut, dGateUp } };
}

export function mlpBackwardWeight(
  context: StepContext,
  weights: MlpWeights,
  deferred: MlpDeferred,
): void {
  const { saved, dOut, dGateUp } = deferred;
  linearBackwardWeight(context, weights.down, { x: saved.hidden, dOut });
  linearBackwardWeight(context, weights.gateUp, { x: saved.x, dOut: dGateUp });
}
