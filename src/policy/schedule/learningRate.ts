/**
 * DeepSeek-V3's learning rate (report, 4.2): linear warm-up, constant, cosine, then constant tails.
 *
 *     peak   ____________
 *           /            \            warm-up counts steps; everything else counts tokens, because
 *          /              \__  end    a batch-size ramp makes steps unequal
 *         /                  \____ tail …
 *
 * Progress is what lies behind the step that is decided, so the first token past a boundary is
 * already trained at the new rate.
 */
import { assert } from '../../base/assert.ts';

export interface LearningRateSchedule {
  readonly peak: number;
  /** Update s of the first `warmupSteps` runs at s / warmupSteps of the rate; 0 has no warm-up. */
  readonly warmupSteps: number;
  /** Tokens at the peak, warm-up included. */
  readonly constantTokens: number;
  readonly cosineTokens: number;
  /** The rate at which the cosine ends. */
  readonly cosineEnd: number;
  /** Constant pieces after the cosine, in order; the last one holds for ever. */
  readonly tails: readonly LearningRateTail[];
}

export interface LearningRateTail {
  readonly tokens: number;
  readonly learningRate: number;
}

/** How far training has come before the step in question. */
export interface Progress {
  /** Steps that are done: the next one is `step + 1`. */
  readonly step: number;
  /** Tokens those steps saw. */
  readonly tokens: number;
}

export const V3_LEARNING_RATE: LearningRateSchedule = {
  peak: 2.2e-4,
  warmupSteps: 2000,
  constantTokens: 10e12,
  cosineTokens: 4.3e12,
  cosineEnd: 2.2e-5,
  tails: [
    { tokens: 333e9, learningRate: 2.2e-5 },
    { tokens: 167e9, learningRate: 7.3e-6 },
  ],
};

export function learningRateAt(schedule: LearningRateSchedule, progress: Progress): number {
  const { warmupSteps } = schedule;
  const warmth = warmupSteps === 0 ? 1 : Math.min(1, (progress.step + 1) / warmupSteps);
  return warmth * rateByTokens(schedule, progress.tokens);
}

function rateByTokens(schedule: LearningRateSchedule, tokens: number): number {
  const { peak, constantTokens, cosineTokens, cosineEnd, tails } = schedule;
  assert(tokens >= 0, `${tokens} tokens of progress`);
  if (tokens < constantTokens) return peak;
  let past = tokens - constantTokens;
  if (past < cosineTokens) {
    return cosineEnd + ((peak - cosineEnd) * (1 + Math.cos((Math.PI * past) / cosineTokens))) / 2;
  }
  past -= cosineTokens;
  for (const tail of tails) {
    if (past < tail.tokens) return tail.learningRate;
    past -= tail.tokens;
  }
  return tails.at(-1)?.learningRate ?? cosineEnd;
}
