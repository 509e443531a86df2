/**
 * What a step is, from config and progress alone: how many sequences, at which rates, as which
 * programs. The trainer runs these programs; whoever prices a step on a simulated executor runs the
 * same ones, so prediction and measurement speak of one thing.
 */
import { assert } from '../base/assert.ts';
import type { TrainConfig } from '../config/trainConfig.ts';
import {
  type StepPrograms,
  type StepSettings,
  singleRankStep,
} from '../policy/pipeline/singleRank.ts';
import { type BatchSizeSchedule, batchSizeAt } from '../policy/schedule/batchSize.ts';
import { type BiasSpeedSchedule, biasSpeedAt } from '../policy/schedule/biasSpeed.ts';
import { type LearningRateSchedule, learningRateAt } from '../policy/schedule/learningRate.ts';
import { type MtpWeightSchedule, mtpWeightAt } from '../policy/schedule/mtpWeight.ts';
import type { MicroBatch } from '../program/microBatch.ts';

export interface StepProgress {
  /** Steps that are done, skipped ones included: the run's place in its schedules. */
  readonly step: number;
  /** Optimiser steps that were applied: what its bias correction counts. */
  readonly updates: number;
  /** Tokens of all steps that are done. */
  readonly tokens: number;
}

export const BEGINNING: StepProgress = { step: 0, updates: 0, tokens: 0 };

/** A config's schedules in tokens. */
export interface Schedules {
  readonly totalTokens: number;
  readonly batchSize: BatchSizeSchedule;
  readonly learningRate: LearningRateSchedule;
  readonly mtpWeight: MtpWeightSchedule;
  readonly biasSpeed: BiasSpeedSchedule;
}

export function schedulesOf(config: TrainConfig): Schedules {
  const { batch, learningRate, mtp, balance } = config;
  const batchSize: BatchSizeSchedule = {
    from: batch.rampFrom ?? batch.sequences,
    to: batch.sequences,
    rampTokens: batch.rampFrom === null ? 0 : batch.rampTokens,
    multiple: batch.microBatch,
  };
  const totalTokens = tokensOfRun(config, batchSize);
  const { peak } = learningRate;
  return {
    totalTokens,
    batchSize,
    learningRate: {
      peak,
      warmupSteps: learningRate.warmupSteps,
      constantTokens: learningRate.constantShare * totalTokens,
      cosineTokens: learningRate.cosineShare * totalTokens,
      cosineEnd: learningRate.endRatio * peak,
      tails: learningRate.tails.map(({ share, ratio }) => ({
        tokens: share * totalTokens,
        learningRate: ratio * peak,
      })),
    },
    mtpWeight: {
      initial: mtp.weight,
      final: mtp.finalWeight,
      switchTokens: mtp.switchShare * totalTokens,
    },
    biasSpeed: { speed: balance.biasSpeed, freezeTokens: balance.freezeShare * totalTokens },
  };
}

/** A ramp is given in tokens, so the steps within it have to be walked. */
function tokensOfRun({ steps, batch }: TrainConfig, batchSize: BatchSizeSchedule): number {
  let tokens = 0;
  let step = 0;
  for (; step < steps && tokens < batchSize.rampTokens; step++) {
    tokens += batchSizeAt(batchSize, tokens) * batch.length;
  }
  return tokens + (steps - step) * batch.sequences * batch.length;
}

/** Sequences in each micro-batch of the next step. */
export function microBatchSizes(
  config: TrainConfig,
  schedules: Schedules,
  progress: StepProgress,
): readonly number[] {
  const { microBatch } = config.batch;
  const count = batchSizeAt(schedules.batchSize, progress.tokens) / microBatch;
  assert(Number.isInteger(count) && count > 0, `${count} micro-batches`);
  return new Array<number>(count).fill(microBatch);
}

export function settingsAt(
  config: TrainConfig,
  schedules: Schedules,
  progress: StepProgress,
): StepSettings {
  const { tokens } = progress;
  return {
    mtpWeight: mtpWeightAt(schedules.mtpWeight, tokens),
    balanceCoefficient: config.balance.coefficient,
    biasSpeed: biasSpeedAt(schedules.biasSpeed, tokens),
    optimizer: {
      ...config.optimizer,
      step: progress.updates + 1,
      learningRate: learningRateAt(schedules.learningRate, progress),
      averageDecay: config.average.decay,
    },
  };
}

/**
 * The programs of a step. To predict a run's step time, give it micro-batches of the config's shape
 * and run `compute` and `apply` on a simulated executor.
 */
export function stepPrograms(
  config: TrainConfig,
  microBatches: readonly MicroBatch[],
  progress: StepProgress = BEGINNING,
  schedules: Schedules = schedulesOf(config),
): StepPrograms {
  return singleRankStep(microBatches, settingsAt(config, schedules, progress));
}
