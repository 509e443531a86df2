/**
 * A real run, in this process, whose numbers are spoiled at one step: through the kernels, between
 * two instructions, where a broken machine or a bad learning rate would spoil them.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import {
  checkpointFiles,
  type PreparedData,
  prepareData,
  prepareRank,
} from '../../src/cli/prepareTraining.ts';
import { resolveTraining } from '../../src/cli/resolveTraining.ts';
import { openMachine } from '../../src/cli/wiring.ts';
import type { TrainConfig } from '../../src/config/trainConfig.ts';
import type { RunResult, TrainingExecutor } from '../../src/executor/executor.ts';
import type { F32, Kernels } from '../../src/kernels/kernels.ts';
import { f32Values, gradientOf, parameterNamed } from '../../src/model/parameters.ts';
import type {
  Program,
  TrainingInstruction,
  TrainingOutcome,
} from '../../src/program/instruction.ts';
import { openCheckpointStore } from '../../src/runtime/checkpointStore.ts';
import { machineClock } from '../../src/runtime/clock.ts';
import type { TrainingState } from '../../src/runtime/trainingState.ts';
import { columns, numColumns, numRows, reshape, slices } from '../../src/tensor/tensor.ts';
import type { TrainingEvent, TrainingSummary } from '../../src/training/events.ts';
import { Trainer } from '../../src/training/trainer.ts';

/** Done to a state just before an instruction of a step's computing half. */
export interface Sabotage {
  /** The n-th time gradients are computed, from 1. */
  readonly pass: number;
  /** And every time after that. */
  readonly isRepeated?: boolean;
  readonly before: 'forward' | 'reduceGradients';
  readonly act: (state: TrainingState, kernels: Kernels) => void;
  /** Done once the gradients are there, before the guard has judged. */
  readonly undo?: (state: TrainingState, kernels: Kernels) => void;
}

export function weightOf(state: TrainingState, name: string): F32 {
  return f32Values(parameterNamed(state.parameters, name));
}

export function gradientNamed(state: TrainingState, name: string): F32 {
  return gradientOf(parameterNamed(state.parameters, name));
}

/** Writes one element of a tensor, in the middle of its rows. */
export function poke(kernels: Kernels, tensor: F32, value: number): void {
  const matrix = reshape(tensor, [numRows(tensor), numColumns(tensor)]);
  const row = Math.floor(numRows(tensor) / 2);
  const out = columns(slices(matrix, row, row + 1), 1, 2);
  kernels.fill({ out, value });
}

export interface SabotagedRun {
  readonly summary: TrainingSummary;
  readonly events: readonly TrainingEvent[];
  readonly state: TrainingState;
  /** Folder of the checkpoints. */
  readonly checkpoints: string;
}

export interface RunPlan {
  readonly config: TrainConfig;
  readonly prepared: PreparedData;
  readonly directory: string;
  readonly sabotage?: Sabotage;
  readonly resumeFrom?: string;
}

export async function planOf(
  settings: readonly string[],
  directory: string,
): Promise<Omit<RunPlan, 'sabotage'>> {
  const { config } = resolveTraining('tiny', settings);
  return { config, prepared: await prepareData(config, () => {}), directory };
}

export async function runSabotaged(plan: RunPlan): Promise<SabotagedRun> {
  const { config, prepared, directory, sabotage, resumeFrom } = plan;
  const checkpoints = join(directory, 'checkpoints');
  const machine = openMachine();
  const { executor, state } = prepareRank(config, machine, checkpoints);
  const events: TrainingEvent[] = [];
  const trainer = new Trainer({
    config,
    executor: sabotage === undefined ? executor : sabotaged(executor, state, sabotage),
    data: prepared.data,
    validation: prepared.validation,
    store: openCheckpointStore(checkpoints),
    clock: machineClock,
    observer: (event) => void events.push(event),
    files: checkpointFiles(config, prepared),
    ...(resumeFrom === undefined ? {} : { resumeFrom }),
  });
  return { summary: await trainer.run(), events, state, checkpoints };
}

function sabotaged(
  executor: TrainingExecutor,
  state: TrainingState,
  { pass, isRepeated = false, before, act, undo }: Sabotage,
): TrainingExecutor {
  const { kernels } = state.options;
  let numPasses = 0;
  return {
    run: async ([program, ...others]: readonly Program<TrainingInstruction>[]) => {
      assert(program !== undefined && others.length === 0, 'one rank');
      const at = program.instructions.findIndex(({ kind }) => kind === before);
      const isComputing = program.instructions.some(({ kind }) => kind === 'reduceGradients');
      if (isComputing) numPasses++;
      const isSpoiled = isComputing && (isRepeated ? numPasses >= pass : numPasses === pass);
      if (!isSpoiled) return executor.run([program]);
      const run = (from: number, to?: number): Promise<RunResult<TrainingOutcome>> =>
        executor.run([{ ...program, instructions: program.instructions.slice(from, to) }]);
      const first = await run(0, at);
      act(state, kernels);
      const second = await run(at);
      undo?.(state, kernels);
      return {
        spans: [...first.spans, ...second.spans],
        outcomes: [...first.outcomes, ...second.outcomes],
      };
    },
  };
}
