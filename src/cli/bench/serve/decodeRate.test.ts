/** The window in which all streams decode. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_USAGE, type RequestRecord } from './accounting.ts';
import { decodeRate } from './decodeRate.ts';

function stream(first: number, gap: number, count: number): RequestRecord {
  const chunks = Array.from({ length: count }, (_, i) => ({ at: first + i * gap, tokens: 1 }));
  const endedAt = chunks.at(-1)?.at ?? first;
  const times = { dueAt: 0, sentAt: 0, endedAt, answerAt: first };
  return { failure: null, ...times, chunks, usage: { ...NO_USAGE, completionTokens: count } };
}

test('decodeRate: counts only while every stream decodes, after its first tokens', () => {
  // Tokens at 0, 1, 2 … 20 and 5.5, 6.5 … 15.5: after two tokens each, from 7.5 to 15.5.
  const rate = decodeRate([stream(0, 1, 21), stream(5.5, 1, 11)], 2);
  assert.equal(rate.windowSeconds, 8);
  assert.equal(rate.windowTokens, 16);
  assert.equal(rate.tokensPerSecond, 2);
  assert.equal(rate.tokensPerSecondMean, 2);
});

test('decodeRate: a stall is in the mean and not in the median', () => {
  const steady = stream(0, 1, 11);
  const stalled = {
    ...steady,
    chunks: steady.chunks.map((chunk, i) => ({ ...chunk, at: i + (i > 5 ? 4 : 0) })),
  };
  const rate = decodeRate([stalled], 0);
  assert.equal(rate.tokensPerSecond, 1);
  assert.equal(rate.tokensPerSecondMean, 10 / 14);
});

test('decodeRate: tokens that come together count one by one', () => {
  const pairs = stream(0, 2, 11);
  const chunks = pairs.chunks.map((chunk) => ({ ...chunk, tokens: 2 }));
  const rate = decodeRate([{ ...pairs, chunks }], 4);
  assert.equal(rate.tokensPerSecond, 1);
  assert.equal(rate.tokensPerSecondMean, 1);
});

test('decodeRate: a token that came with the next one is found by its gap', () => {
  const whole = stream(0, 1, 21);
  const chunks = whole.chunks
    .filter((_, i) => i !== 7 && i !== 12)
    .map((chunk) => ({ ...chunk, tokens: null }));
  const rate = decodeRate([{ ...whole, chunks }], 4);
  assert.equal(rate.tokensPerSecond, 1);
  assert.equal(rate.tokensPerSecondMean, 1);
});

test('decodeRate: streams that never run at once are refused', () => {
  const records = [stream(0, 1, 5), stream(6, 1, 5)];
  assert.throws(() => decodeRate(records, 1), { code: 'bench.decodeWindow' });
});
