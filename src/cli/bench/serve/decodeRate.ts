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
import { MoebiusError } from '../../../base/errors.ts';
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

/** @param records of streams that began together */
export function decodeRate(records: readonly RequestRecord[], numWarmUp: number): DecodeRate {
  const streams = records.map(tokenTimes);
  const opens = Math.max(...streams.map((times) => times[numWarmUp] ?? Number.NaN));
  const closes = Math.min(...streams.map((times) => times.at(-1) ?? Number.NaN));
  if (!(closes > opens)) {
    throw new MoebiusError('bench.decodeWindow', 'the streams did not decode at the same time', {
      values: { streams: records.length, tokens: streams.map(({ length }) => length) },
      hint:
        'Let the server run as many sequences at once, and decode more --tokens: they must take' +
        ' longer than the server holds a piece of a stream back (--stream-interval).',
    });
  }
  const gaps: number[] = [];
  for (const times of streams) {
    for (const [i, time] of times.entries()) {
      if (time > opens && time <= closes) gaps.push(time - (times[i - 1] ?? time));
    }
  }
  return {
    tokensPerSecond: records.length / median(gaps),
    tokensPerSecondMean: gaps.length / (closes - opens),
    windowSeconds: closes - opens,
    windowTokens: gaps.length,
  };
}

/** When each token came; those of one chunk are spread over the time since the chunk before. */
function tokenTimes(record: RequestRecord): number[] {
  const { chunks } = record;
  const counts = tokensOfChunks(record);
  return chunks.flatMap(({ at }, i) => {
    const before = chunks[i - 1]?.at ?? at;
    const count = counts[i] ?? 1;
    return Array.from({ length: count }, (_, k) => before + ((at - before) * (k + 1)) / count);
  });
}

/**
 * A server says how many tokens there were only at the end. A token that is no text of its own
 * (half a character, a control token) comes with the next one, about twice as late: what chunks
 * leave of the tokens goes to the longest gaps.
 */
function tokensOfChunks({ chunks, usage }: RequestRecord): number[] {
  const counts = chunks.map(({ tokens }) => tokens ?? 1);
  let missing = (usage?.completionTokens ?? 0) - counts.reduce((sum, count) => sum + count, 0);
  const perToken = (i: number): number =>
    i === 0 ? 0 : ((chunks[i]?.at ?? 0) - (chunks[i - 1]?.at ?? 0)) / (counts[i] ?? 1);
  for (; missing > 0 && chunks.length > 1; missing--) {
    let longest = 1;
    for (let i = 2; i < chunks.length; i++) if (perToken(i) > perToken(longest)) longest = i;
    counts[longest] = (counts[longest] ?? 1) + 1;
  }
  return counts;
}
