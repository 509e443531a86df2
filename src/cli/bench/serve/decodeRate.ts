/**
 * What a server decodes per second while all its streams decode, so that it can be held against the
 * bare kernels of `bench decode`: the same prompts, the same positions, and no prompt in the
 * window.
 *
 *     stream 1   prompt ····|·········█████████████|
 *     stream 2      prompt ····|······█████████████|···
 *                                     └── window ──┘
 *
 * It opens when every stream has its first `numWarmUp` tokens and closes when the first one ends.
 */
import { assert } from '../../../base/assert.ts';
import { median } from '../../../base/median.ts';
import type { RequestRecord } from './accounting.ts';

export interface DecodeRate {
  /** Streams over the median gap of one: what a step costs undisturbed. */
  readonly tokensPerSecond: number;
  /** Tokens of the window over its length: all that was lost is in it. */
  readonly tokensPerSecondMean: number;
  readonly windowSeconds: number;
  readonly windowTokens: number;
}

/** @param records of streams that began together, a token in every chunk */
export function decodeRate(records: readonly RequestRecord[], numWarmUp: number): DecodeRate {
  const opens = Math.max(...records.map(({ chunks }) => chunks[numWarmUp]?.at ?? Number.NaN));
  const closes = Math.min(...records.map(({ chunks }) => chunks.at(-1)?.at ?? Number.NaN));
  assert(closes > opens, 'there is a time in which all streams decode');
  const gaps: number[] = [];
  for (const { chunks } of records) {
    for (const [i, { at }] of chunks.entries()) {
      if (at > opens && at <= closes) gaps.push(at - (chunks[i - 1]?.at ?? at));
    }
  }
  return {
    tokensPerSecond: records.length / median(gaps),
    tokensPerSecondMean: gaps.length / (closes - opens),
    windowSeconds: closes - opens,
    windowTokens: gaps.length,
  };
}
