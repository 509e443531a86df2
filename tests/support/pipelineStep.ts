/** A pipelined step in small numbers, for tests that want programs and care for no loss. */

import fc from 'fast-check';
import { scheduleNames } from '../../src/config/parallelPlan.ts';
import { lower, wholeStep } from '../../src/policy/pipeline/lower.ts';
import type { ScheduleChoice } from '../../src/policy/pipeline/pipelineSchedule.ts';
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

/** Sizes that the schedule takes. */
export const scheduleChoices: fc.Arbitrary<ScheduleChoice> = fc
  .record({
    name: fc.constantFrom(...scheduleNames),
    numRanks: fc.integer({ min: 1, max: 7 }),
    more: fc.nat(9),
    chunks: fc.integer({ min: 1, max: 3 }),
  })
  .map(({ name, numRanks, more, chunks }) => {
    switch (name) {
      case 'dualpipe':
        return { name, numRanks: 2 * numRanks, numMicroBatches: 4 * numRanks + 2 * more };
      case 'dualpipev':
        return { name, numRanks, numMicroBatches: 2 * numRanks + more };
      case 'interleaved-1f1b':
        return { name, numRanks, numMicroBatches: numRanks * (1 + more), chunksPerRank: chunks };
      default:
        return { name, numRanks, numMicroBatches: 1 + more };
    }
  });
