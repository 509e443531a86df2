/**
 * Where a NaN or an infinity comes from. By the time a step's gradient norm shows one, nearly every
 * gradient has it, so its origin is looked for in the order in which numbers are made: weights,
 * then activations of a second pass forward, then the loss, then gradients from the end of the
 * model.
 */
import { oneRank } from '../kernels/collectives.ts';
import type { F32 } from '../kernels/kernels.ts';
import type { LossOptions } from '../model/context.ts';
import type { LossReport, PassSettings } from '../model/loss.ts';
import type { TokenBatch } from '../model/microBatch.ts';
import { createRoutingCounts } from '../model/model.ts';
import { checkpointGradients, checkpointTensors } from '../model/parameters.ts';
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
  const { parameters } = state;
  const weights = checkpointTensors(parameters).flatMap(({ name, view }) =>
    view.dtype === 'f32' ? [{ name, value: view as F32 }] : [],
  );
  // Backward begins at the end of the model.
  const gradients = checkpointGradients(parameters)
    .map(({ name, view }) => ({ name, value: view }))
    .reverse();
  return (
    (await firstFault(state, { where: 'parameter', tensors: weights })) ??
    (await faultForward(state, step)) ??
    faultyLoss(step.losses) ??
    (await firstFault(state, { where: 'gradient', tensors: gradients }))
  );
}

async function firstFault(
  state: TrainingState,
  args: { where: Fault['where']; tensors: readonly NamedTensor[] },
): Promise<Fault | null> {
  const { kernels, config } = state.options;
  const { fault } = await tensorNorm({ kernels, arena: state.arena, tensors: args.tensors });
  if (fault === null) return null;
  return {
    what: fault.what,
    where: args.where,
    layer: layerOf(fault.tensor, config),
    tensor: fault.tensor.replace(/^debug\./, ''),
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
 * The layer in the name of a tensor or an activation: `model.layers.3.…`, `hidden.3`, `router.3.…`,
 * `debug.layer3.…`; MTP modules follow the main layers.
 */
export function layerOf(
  name: string,
  { numHiddenLayers }: { readonly numHiddenLayers: number },
): number | null {
  const module = /^mtp_(?:hidden|logits)\.(\d+)$/.exec(name)?.[1];
  if (module !== undefined) return numHiddenLayers + Number(module);
  const layer = /(?:^|\.)(?:layers\.|hidden\.|router\.|layer)(\d+)(?:\.|$)/.exec(name)?.[1];
  return layer === undefined ? null : Number(layer);
}
