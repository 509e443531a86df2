/** What a benchmark says of requests whose times are known: every figure by hand, and the laws. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Chunk, type RequestRecord, summarize, type Usage } from './accounting.ts';

interface Told {
  readonly sentAt?: number;
  readonly endedAt: number;
  readonly chunks: readonly (readonly [at: number, tokens: number | null])[];
  readonly usage?: Partial<Usage>;
  readonly failure?: string;
}

function record({ sentAt = 0, endedAt, chunks, usage, failure }: Told): RequestRecord {
  const none = { promptTokens: 0, cachedTokens: 0, completionTokens: 0, drafted: 0, accepted: 0 };
  return {
    failure: failure ?? null,
    dueAt: sentAt,
    sentAt,
    endedAt,
    chunks: chunks.map(([at, tokens]): Chunk => ({ at, tokens })),
    answerAt: chunks[0]?.[0] ?? null,
    usage: { ...none, ...usage },
  };
}

const near = (actual: number | undefined | null, expected: number): void =>
  assert.ok(Math.abs((actual ?? Number.NaN) - expected) < 1e-9, `${actual}, not ${expected}`);

test('summarize: a request’s latencies are those of its chunks', () => {
  const summary = summarize([
    record({
      sentAt: 1,
      endedAt: 3,
      chunks: [
        [1.5, 1],
        [1.6, 1],
        [2.0, 2],
        [2.4, 4],
      ],
      usage: { promptTokens: 30, cachedTokens: 20, completionTokens: 8, drafted: 10, accepted: 4 },
    }),
  ]);
  near(summary.ttft?.mean, 0.5);
  near(summary.ttst?.mean, 0.1);
  near(summary.tpot?.mean, 0.9 / 7);
  near(summary.e2e?.mean, 2);
  // 0.1 once, 0.4 over two tokens, 0.4 over four
  assert.equal(summary.itl?.count, 7);
  near(summary.itl?.mean, 0.9 / 7);
  near(summary.itl?.median, 0.1);
  near(summary.interChunk?.mean, 0.3);
  assert.equal(summary.interChunk?.count, 3);
  near(summary.tokensPerChunk, 2);
  near(summary.acceptance, 0.4);
  near(summary.cachedShare, 2 / 3);
  near(summary.outputTokensPerSecond, 4);
  near(summary.inputTokensPerSecond, 15);
  near(summary.totalTokensPerSecond, 19);
});

test('summarize: failed requests count by their reasons and give no latencies', () => {
  const failed = (failure: string): RequestRecord =>
    record({ endedAt: 9, chunks: [[5, 1]], failure, usage: { completionTokens: 5 } });
  const good = record({ endedAt: 2, chunks: [[1, 1]], usage: { completionTokens: 1 } });
  const summary = summarize([failed('http 429'), good, failed('http 429'), failed('reset')]);
  assert.deepEqual(summary.failures, { 'http 429': 2, reset: 1 });
  assert.deepEqual([summary.successful, summary.failed], [1, 3]);
  assert.equal(summary.outputTokens, 1);
  near(summary.ttft?.mean, 1);
  assert.equal(summary.tpot, null);
  near(summary.requestsPerSecond, 1 / 9);
});

test('summarize: goodput counts requests that keep every limit, of all that were asked', () => {
  const request = (first: number, last: number): RequestRecord =>
    record({
      endedAt: last,
      chunks: [
        [first, 1],
        [last, 1],
      ],
      usage: { completionTokens: 2 },
    });
  const records = [
    request(0.1, 0.2),
    request(0.6, 0.7),
    request(0.1, 2.1),
    record({ endedAt: 4, chunks: [], failure: 'http 503' }),
  ];
  const { goodput } = summarize(records, { ttft: 0.5, tpot: 1 });
  assert.equal(goodput?.good, 1);
  near(goodput?.share, 0.25);
  near(goodput?.requestsPerSecond, 0.25);
  assert.equal(summarize(records, { ttft: 0.5 }).goodput?.good, 2);
  assert.equal(summarize(records).goodput, null);
});

test('summarize: of nothing, every figure is still a number or null', () => {
  const summary = summarize([]);
  assert.equal(summary.requestsPerSecond, 0);
  assert.equal(summary.ttft, null);
  assert.equal(summary.acceptance, null);
});

test('summarize: the gaps of tokens add up to those of chunks, whatever a chunk holds', () => {
  const chunk = fc.tuple(
    fc.double({ min: 0.001, max: 1, noNaN: true }),
    fc.integer({ min: 1, max: 4 }),
  );
  fc.assert(
    fc.property(fc.array(chunk, { minLength: 2, maxLength: 20 }), (gaps) => {
      let at = 0;
      const chunks = gaps.map(([gap, tokens]) => {
        at += gap;
        return [at, tokens] as const;
      });
      const completionTokens = chunks.reduce((sum, [, tokens]) => sum + tokens, 0);
      const { itl, interChunk } = summarize([
        record({ endedAt: at, chunks, usage: { completionTokens } }),
      ]);
      const sum = (of: typeof itl): number => (of?.mean ?? 0) * (of?.count ?? 0);
      assert.ok(Math.abs(sum(itl) - sum(interChunk)) < 1e-9);
      assert.equal(itl?.count, completionTokens - (chunks[0]?.[1] ?? 0));
    }),
  );
});
