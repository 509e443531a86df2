/** A pipelined step in small numbers, for tests that want programs and care for no loss. */

import { lower, wholeStep } from '../../src/policy/pipeline/lower.ts';
import type { StepSettings } from '../../src/policy/pipeline/singleRank.ts';
import type { Program, TrainingInstruction } from '../../src/program/instruction.ts';
import type { PipelineSchedule } from '../../src/program/pipelineAction.ts';

export const stepSettings: StepSettings = {
  mtpWeight: 0.3,
  balanceCoefficient: 1e-4,
  biasSpeed: 0.001,
  optimizer: {
    step: 7,
    learningRate: 1e-3,
    weightDecay: 0.1,
    beta1: 0.9,
    beta2: 0.95,
    epsilon: 1e-8,
    maxGradientNorm: 1,
    averageDecay: null,
  },
};

/** Programs of the whole step, update included. */
export function programsOf(schedule: PipelineSchedule): Program<TrainingInstruction>[] {
  const normalizers = { main: 1, mtp: [] };
  return wholeStep(lower({ schedule, settings: stepSettings, normalizers }));
}
