/**
 * Where a NaN or an infinity comes from. By the time a step's gradient norm shows one, nearly every
 * gradient has it, so its origin is looked for in the order in which numbers are made: weights,
 * then activations of a second pass forward, then the loss, then gradients from the end of the
 * model.
 */
import { assert } from '../base/assert.ts';
import { oneRank } from '../kernels/collectives.ts';
import type { LossOptions } from '../model/context.ts';
import type { LossReport, PassSettings } from '../model/loss.ts';
import type { TokenBatch } from '../model/microBatch.ts';
import { createRoutingCounts } from '../model/model.ts';
import { f32Values, trainedTensors } from '../model/parameters.ts';
import { StageRunner } from '../model/stageRunner.ts';
import { type NamedTensor, tensorNorm } from '../optim/gradientNorm.ts';
import type { Fault } from '../program/instruction.ts';
import type { TrainingState } from './trainingState.ts';

export interface FaultySteps {
  readonly batches: readonly TokenBatch[];
  readonly settings: PassSettings;
  readonly options: LossOptions;
  readonly losses: LossReport;
}

/**
 * Called when losses or the norm are not finite; null when nothing is found (a norm overflowed).
 */
export async function locateFault(state: TrainingState, step: FaultySteps): Promise<Fault | null> {
  const trained = trainedTensors(state.parameters);
  const buffers = [...state.parameters.buffers.values()].map((buffer) => ({
    name: buffer.name,
    value: f32Values(buffer),
  }));
  const weights = [...trained.map(({ name, value }) => ({ name, value })), ...buffers];
  return (
    (await firstFault(state, { where: 'parameter', tensors: weights })) ??
    (await faultForward(state, step)) ??
    faultyLoss(step.losses) ??
    (await firstFault(state, {
      where: 'gradient',
      // Backward begins at the end of the model.
      tensors: trained.map(({ name, gradient }) => ({ name, value: gradient })).reverse(),
    }))
  );
}

async function firstFault(
  state: TrainingState,
  args: { where: Fault['where']; tensors: readonly NamedTensor[] },
): Promise<Fault | null> {
  const { kernels } = state.options;
  const { fault } = await tensorNorm({ kernels, arena: state.arena, tensors: args.tensors });
  if (fault === null) return null;
  return {
    what: fault.what,
    where: args.where,
    layer: layerOf(fault.tensor),
    tensor: fault.tensor,
  };
}

/** Runs each micro-batch forward again and looks at what every layer gave. */
async function faultForward(state: TrainingState, step: FaultySteps): Promise<Fault | null> {
  const { kernels, config, stage, maxPositions } = state.options;
  const counts = createRoutingCounts({ kernels, arena: state.arena, config, stage });
  const collectives = oneRank;
  const { model } = state;
  const runner = new StageRunner({ kernels, model, collectives, counts, maxPositions });
  for (const [index, batch] of step.batches.entries()) {
    const seen: NamedTensor[] = [];
    runner.load(index, batch);
    runner.forward(index, {
      settings: step.settings,
      options: step.options,
      hidden: null,
      capture: (name, tensor) => {
        if (tensor.dtype === 'f32') seen.push({ name, value: tensor as NamedTensor['value'] });
      },
    });
    const fault = await firstFault(state, { where: 'activation', tensors: seen });
    runner.endStep();
    if (fault !== null) return fault;
  }
  return null;
}

function faultyLoss(losses: LossReport): Fault | null {
  const parts = [
    ['main', losses.main],
    ...losses.mtpPerDepth.map((loss, depth) => [`mtp.${depth}`, loss] as const),
    ['balance', losses.balance],
  ] as const;
  for (const [tensor, value] of parts) {
    if (Number.isFinite(value)) continue;
    const what = Number.isNaN(value) ? 'nan' : 'infinity';
    return { what, where: 'loss', layer: null, tensor };
  }
  return null;
}

/**
 * The layer in a tensor's or an activation's name (`model.layers.3.…`, `hidden.3`, `router.3.…`).
 */
export function layerOf(name: string): number | null {
  const digits = /(?:^|\.)(?:layers|hidden|router)\.(\d+)(?:\.|$)/.exec(name)?.[1];
  if (digits === undefined) return null;
  const layer = Number(digits);
  assert(Number.isSafeInteger(layer), `layer in ${name}`);
  return layer;
}
