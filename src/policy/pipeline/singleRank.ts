/**
 * One training step of one rank that holds the whole model, as two programs.
 *
 *     compute:  load 0, F0, B0, load 1, F1, B1, …, reduceGradients
 *     apply:    optimizerStep, updateBias          or  drop:  dropGradients
 *
 * Forward and backward of a micro-batch are neighbours, so only one keeps its activations. The step
 * is cut behind `reduceGradients`, where losses, norm and faults are known and no weight has moved:
 * there the guard chooses between applying and dropping.
 */
import { assert } from '../../base/assert.ts';
import type { Program, TrainingInstruction } from '../../program/instruction.ts';
import { countTargets, type MicroBatch, type TargetCounts } from '../../program/microBatch.ts';

/** What the schedules say about a step. */
export interface StepSettings {
  readonly mtpWeight: number;
  readonly balanceCoefficient: number;
  readonly biasSpeed: number;
  readonly optimizer: OptimizerSettings;
}

export type OptimizerSettings = Omit<
  Extract<TrainingInstruction, { kind: 'optimizerStep' }>,
  'kind'
>;

export interface StepPrograms {
  readonly compute: readonly Program<TrainingInstruction>[];
  readonly apply: readonly Program<TrainingInstruction>[];
  readonly drop: readonly Program<TrainingInstruction>[];
}

export function singleRankStep(
  microBatches: readonly MicroBatch[],
  settings: StepSettings,
): StepPrograms {
  assert(microBatches.length > 0, 'a step without micro-batches');
  const { mtpWeight, balanceCoefficient, biasSpeed, optimizer } = settings;
  const normalizers = sumTargets(microBatches);
  const numMicroBatches = microBatches.length;
  const compute: TrainingInstruction[] = [];
  for (const [microBatch, batch] of microBatches.entries()) {
    const pass = { stage: 0, microBatch };
    const loss = { mtpWeight, balanceCoefficient, normalizers, numMicroBatches };
    compute.push({ kind: 'loadMicroBatch', microBatch, batch });
    compute.push({ kind: 'forward', ...pass, ...loss });
    compute.push({ kind: 'backward', ...pass });
  }
  compute.push({ kind: 'reduceGradients' });
  return {
    compute: onRankZero(compute),
    apply: onRankZero([
      { kind: 'optimizerStep', ...optimizer },
      { kind: 'updateBias', speed: biasSpeed },
    ]),
    drop: onRankZero([{ kind: 'dropGradients' }]),
  };
}

/** A program for the one rank there is. */
export function onRankZero(
  instructions: readonly TrainingInstruction[],
): readonly Program<TrainingInstruction>[] {
  return [{ rank: 0, instructions }];
}

function sumTargets(microBatches: readonly MicroBatch[]): TargetCounts {
  const counts = microBatches.map(countTargets);
  const depths = counts[0]?.mtp.length ?? 0;
  return {
    main: counts.reduce((sum, count) => sum + count.main, 0),
    mtp: Array.from({ length: depths }, (_, depth) =>
      counts.reduce((sum, count) => sum + (count.mtp[depth] ?? 0), 0),
    ),
  };
}
