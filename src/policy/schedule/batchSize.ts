/**
 * Sequences per step (DeepSeek-V3 report, 4.2): from 3,072 to 15,360 over the first 469B tokens.
 * The report does not give the ramp's shape; ours is linear in tokens, rounded down to whole
 * multiples, so a step is always a whole number of micro-batches on every rank.
 */
import { assert } from '../../base/assert.ts';

export interface BatchSizeSchedule {
  readonly from: number;
  readonly to: number;
  /** 0: `to` from the start. */
  readonly rampTokens: number;
  /** Sequences per micro-batch, times ranks. Divides both ends. */
  readonly multiple: number;
}

export const V3_BATCH_SIZE: BatchSizeSchedule = {
  from: 3072,
  to: 15_360,
  rampTokens: 469e9,
  multiple: 1,
};

/** @param tokens seen before the step */
export function batchSizeAt(schedule: BatchSizeSchedule, tokens: number): number {
  const { from, to, rampTokens, multiple } = schedule;
  assert(from % multiple === 0 && to % multiple === 0, `${from} and ${to} in steps of ${multiple}`);
  if (tokens >= rampTokens) return to;
  const exact = from + ((to - from) * tokens) / rampTokens;
  return Math.floor(exact / multiple) * multiple;
}
