/**
 * Everything a training step changes on one rank: weights, gradients, moments, router biases, the
 * moving average. It can be copied (snapshot) and copied back, and saved and loaded whole.
 */
import { assert } from '../base/assert.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import type { Kernels } from '../kernels/kernels.ts';
import type { RoutingCounts } from '../model/context.ts';
import { createModel, createRoutingCounts, type Model } from '../model/model.ts';
import type { Stage } from '../model/parameterLayout.ts';
import { createParameters, type ParameterSet, trainedTensors } from '../model/parameters.ts';
import { copyParameters } from '../model/parameterTransfer.ts';
import {
  createOptimizerState,
  type MomentDType,
  type Moments,
  type OptimizerState,
} from '../optim/adamw.ts';
import type { AveragedTensor } from '../optim/ema.ts';
import type { Arena } from '../tensor/arena.ts';

export interface TrainingStateOptions {
  readonly kernels: Kernels;
  readonly config: ModelConfig;
  readonly stage: Stage;
  readonly momentDType: MomentDType;
  /** Whether a moving average of the weights is kept. */
  readonly hasAverage: boolean;
  /** Positions a sequence may take. */
  readonly maxPositions: number;
}

export interface TrainingState {
  readonly options: TrainingStateOptions;
  readonly arena: Arena;
  readonly parameters: ParameterSet;
  readonly model: Model;
  readonly optimizer: OptimizerState;
  readonly counts: RoutingCounts;
  readonly average: { readonly parameters: ParameterSet; readonly model: Model } | null;
}

/** Allocates a rank's state; weights are whatever was there, moments zero. */
export function createTrainingState(options: TrainingStateOptions): TrainingState {
  const { kernels, config, stage, momentDType, maxPositions } = options;
  const arena = kernels.createArena('parameters');
  const parameters = createParameters({ kernels, arena, config, stage, withGradients: true });
  const model = createModel({ kernels, arena, config, parameters, maxPositions });
  const optimizer = createOptimizerState({
    kernels,
    arena,
    parameters: trainedTensors(parameters),
    dtype: momentDType,
  });
  const counts = createRoutingCounts({ kernels, arena, config, stage });
  const average = options.hasAverage ? createAverage(options, arena) : null;
  return { options, arena, parameters, model, optimizer, counts, average };
}

function createAverage(
  { kernels, config, stage, maxPositions }: TrainingStateOptions,
  arena: Arena,
): NonNullable<TrainingState['average']> {
  const parameters = createParameters({ kernels, arena, config, stage, withGradients: false });
  const model = createModel({ kernels, arena, config, parameters, maxPositions });
  return { parameters, model };
}

/** Starts the average where the weights are. */
export function resetAverage(state: TrainingState): void {
  if (state.average === null) return;
  const { kernels } = state.options;
  copyParameters(kernels, { out: state.average.parameters, from: state.parameters });
}

export function averagedTensors(state: TrainingState): AveragedTensor[] {
  assert(state.average !== null, 'the state keeps an average');
  const averages = state.average.parameters.parameters;
  return trainedTensors(state.parameters).map(({ name, value }) => {
    const average = averages.get(name)?.weight.values;
    assert(average !== undefined && average.dtype === 'f32', `the average has ${name}`);
    return { average: average as typeof value, value };
  });
}

/** A copy of what a step changes. It is as large as the weights, moments and average together. */
export interface Snapshot {
  readonly parameters: ParameterSet;
  readonly moments: ReadonlyMap<string, Moments>;
  readonly average: ParameterSet | null;
}

export function createSnapshot(state: TrainingState): Snapshot {
  const { kernels, config, stage } = state.options;
  const arena = kernels.createArena('snapshot');
  const room = { kernels, arena, config, stage, withGradients: false };
  const moments = new Map<string, Moments>();
  for (const [name, { first, second }] of state.optimizer.moments) {
    moments.set(name, {
      first: arena.allocate(first.dtype, first.shape),
      second: arena.allocate(second.dtype, second.shape),
    });
  }
  return {
    parameters: createParameters(room),
    moments,
    average: state.average === null ? null : createParameters(room),
  };
}

/** Copies all of a state into a snapshot, or back. */
export function copySnapshot(
  state: TrainingState,
  snapshot: Snapshot,
  direction: 'take' | 'restore',
): void {
  const { kernels } = state.options;
  const isTaken = direction === 'take';
  const copySet = (inState: ParameterSet, kept: ParameterSet): void =>
    copyParameters(kernels, isTaken ? { out: kept, from: inState } : { out: inState, from: kept });
  copySet(state.parameters, snapshot.parameters);
  if (state.average !== null && snapshot.average !== null) {
    copySet(state.average.parameters, snapshot.average);
  }
  for (const [name, moments] of state.optimizer.moments) {
    const kept = snapshot.moments.get(name);
    assert(kept !== undefined, `the snapshot has moments of ${name}`);
    for (const half of ['first', 'second'] as const) {
      const [out, x] = isTaken ? [kept[half], moments[half]] : [moments[half], kept[half]];
      kernels.copy({ out, x });
    }
  }
}
