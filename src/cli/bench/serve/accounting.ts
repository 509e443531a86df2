/**
 * From what was seen of each request to what a serving benchmark says.
 *
 *     sent ──── TTFT ────► first chunk ─ TTST ─► second … ──► last chunk ─► end
 *          └───────────────────────────── E2E ────────────────────────────────┘
 *     TPOT = (last − first chunk) / (tokens − 1), one number for each request
 *     ITL  = a gap between chunks over the later chunk's tokens, once for each of them
 *
 * A chunk may hold several tokens (accepted drafts come together), so that gaps between tokens and
 * gaps between chunks are two things. Tokens are the server's own count (`usage`), never chunks.
 */
import { type Distribution, distributionOf } from './distribution.ts';

export interface RequestRecord {
  /** Why it failed in a word or two (`http 429`, `connection reset`); null where it did not. */
  readonly failure: string | null;
  /** The same at length. */
  readonly because?: string;
  /** Seconds on the client's clock: due by the arrivals, sent, and ended. */
  readonly dueAt: number;
  readonly sentAt: number;
  readonly endedAt: number;
  /** Chunks that brought text, in order. */
  readonly chunks: readonly Chunk[];
  /** The first chunk that was not thinking. */
  readonly answerAt: number | null;
  readonly usage: Usage | null;
}

export interface Chunk {
  readonly at: number;
  /** null where the server does not say it chunk by chunk. */
  readonly tokens: number | null;
}

export interface Usage {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly drafted: number;
  readonly accepted: number;
}

/** Limits in seconds that a request has to keep to be a good one. */
export type GoodputLimits = Readonly<Partial<Record<GoodputMeasure, number>>>;
export type GoodputMeasure = 'ttft' | 'tpot' | 'e2e';

/** Seconds, but for counts and rates. */
export interface ServeSummary {
  readonly successful: number;
  readonly failed: number;
  readonly failures: Readonly<Record<string, number>>;
  readonly seconds: number;
  readonly requestsPerSecond: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly inputTokensPerSecond: number;
  readonly outputTokensPerSecond: number;
  readonly totalTokensPerSecond: number;
  readonly ttft: Distribution | null;
  /** To the first token that is not thinking. */
  readonly ttfo: Distribution | null;
  readonly ttst: Distribution | null;
  readonly tpot: Distribution | null;
  readonly itl: Distribution | null;
  readonly interChunk: Distribution | null;
  readonly e2e: Distribution | null;
  /** Held back by the client's own bound on requests under way. */
  readonly heldBack: Distribution | null;
  readonly tokensPerChunk: number | null;
  /** Drafted tokens that stood, as a share; null where nothing was drafted. */
  readonly acceptance: number | null;
  readonly drafted: number;
  readonly accepted: number;
  readonly cachedTokens: number;
  readonly cachedShare: number;
  readonly goodput: Goodput | null;
}

export interface Goodput {
  readonly limits: GoodputLimits;
  readonly good: number;
  /** Of all requests, the failed ones too. */
  readonly share: number;
  readonly requestsPerSecond: number;
}

export function summarize(
  records: readonly RequestRecord[],
  goodput: GoodputLimits | null = null,
): ServeSummary {
  const done = records.filter(({ failure }) => failure === null);
  const timings = done.map(timingOf);
  const seconds = spanOf(records);
  const usage = done.map((record) => record.usage ?? NO_USAGE);
  const [inputTokens, outputTokens] = [
    total(usage, 'promptTokens'),
    total(usage, 'completionTokens'),
  ];
  const [drafted, accepted] = [total(usage, 'drafted'), total(usage, 'accepted')];
  const cachedTokens = total(usage, 'cachedTokens');
  const numChunks = done.reduce((sum, { chunks }) => sum + chunks.length, 0);
  return {
    successful: done.length,
    failed: records.length - done.length,
    failures: countFailures(records),
    seconds,
    requestsPerSecond: done.length / seconds,
    inputTokens,
    outputTokens,
    inputTokensPerSecond: inputTokens / seconds,
    outputTokensPerSecond: outputTokens / seconds,
    totalTokensPerSecond: (inputTokens + outputTokens) / seconds,
    ttft: distributionOf(timings.flatMap(({ ttft }) => ttft ?? [])),
    ttfo: distributionOf(timings.flatMap(({ ttfo }) => ttfo ?? [])),
    ttst: distributionOf(timings.flatMap(({ ttst }) => ttst ?? [])),
    tpot: distributionOf(timings.flatMap(({ tpot }) => tpot ?? [])),
    itl: distributionOf(done.flatMap(tokenGaps)),
    interChunk: distributionOf(done.flatMap(({ chunks }) => gapsOf(chunks))),
    e2e: distributionOf(timings.map(({ e2e }) => e2e)),
    heldBack: distributionOf(done.map(({ dueAt, sentAt }) => sentAt - dueAt)),
    tokensPerChunk: numChunks === 0 ? null : outputTokens / numChunks,
    acceptance: drafted === 0 ? null : accepted / drafted,
    drafted,
    accepted,
    cachedTokens,
    cachedShare: inputTokens === 0 ? 0 : cachedTokens / inputTokens,
    goodput: goodput === null ? null : goodputOf(timings, { limits: goodput, records, seconds }),
  };
}

export const NO_USAGE: Usage = {
  promptTokens: 0,
  cachedTokens: 0,
  completionTokens: 0,
  drafted: 0,
  accepted: 0,
};

interface Timing {
  readonly ttft: number | null;
  readonly ttfo: number | null;
  readonly ttst: number | null;
  readonly tpot: number | null;
  readonly e2e: number;
}

function timingOf({ sentAt, endedAt, chunks, answerAt, usage }: RequestRecord): Timing {
  const [first, second, last] = [chunks[0], chunks[1], chunks.at(-1)];
  const tokens = usage?.completionTokens ?? 0;
  return {
    ttft: first === undefined ? null : first.at - sentAt,
    ttfo: answerAt === null ? null : answerAt - sentAt,
    ttst: first === undefined || second === undefined ? null : second.at - first.at,
    tpot: first === undefined || last === first || tokens < 2 ? null : spread(first, last, tokens),
    e2e: endedAt - sentAt,
  };
}

function spread(first: Chunk, last: Chunk | undefined, tokens: number): number {
  return ((last?.at ?? first.at) - first.at) / (tokens - 1);
}

/** From when the first was sent until the last has ended. */
function spanOf(records: readonly RequestRecord[]): number {
  let [from, to] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { sentAt, endedAt } of records) {
    from = Math.min(from, sentAt);
    to = Math.max(to, endedAt);
  }
  // A span of nothing divides counts that are nothing too.
  return Math.max(to - from, Number.MIN_VALUE);
}

function gapsOf(chunks: readonly Chunk[]): number[] {
  return chunks.slice(1).map(({ at }, i) => at - (chunks[i]?.at ?? at));
}

/** Where chunks do not say their tokens, all of them but the first share alike. */
function tokenGaps({ chunks, usage }: RequestRecord): number[] {
  const completionTokens = usage?.completionTokens ?? chunks.length;
  const each = Math.max(1, Math.round((completionTokens - 1) / Math.max(1, chunks.length - 1)));
  return gapsOf(chunks).flatMap((gap, i) => {
    const tokens = Math.max(1, chunks[i + 1]?.tokens ?? each);
    return Array.from({ length: tokens }, () => gap / tokens);
  });
}

function goodputOf(
  timings: readonly Timing[],
  args: { limits: GoodputLimits; records: readonly RequestRecord[]; seconds: number },
): Goodput {
  const { limits, records, seconds } = args;
  const names = Object.keys(limits) as GoodputMeasure[];
  // One token has no time per token, and so keeps any limit on it.
  const keeps = (timing: Timing): boolean =>
    names.every((name) => (timing[name] ?? 0) <= (limits[name] ?? Number.POSITIVE_INFINITY));
  const good = timings.filter(keeps).length;
  return {
    limits,
    good,
    share: good / Math.max(1, records.length),
    requestsPerSecond: good / seconds,
  };
}

function countFailures(records: readonly RequestRecord[]): Record<string, number> {
  const failures: Record<string, number> = {};
  for (const { failure } of records) {
    if (failure !== null) failures[failure] = (failures[failure] ?? 0) + 1;
  }
  return failures;
}

function total(usage: readonly Usage[], key: keyof Usage): number {
  return usage.reduce((sum, each) => sum + each[key], 0);
}
