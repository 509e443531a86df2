/** DeepSeek-V3's training on 2,048 H800 as its paper describes it. */
import type { TrainingPlan } from '../../src/config/parallelPlan.ts';

export const v3Plan: TrainingPlan = {
  layout: { dp: 128, pp: 16, ep: 64, tp: 1, zeroStage: 1 },
  schedule: 'dualpipe',
  chunksPerRank: 2,
  globalBatch: 15360,
  microBatchSize: 1,
  sequenceLength: 4096,
  precision: 'fp8',
  recompute: 'v3',
  mtp: true,
};
