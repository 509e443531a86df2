/**
 * `moebius bench serve`: what a server's users would see, measured from a process of its own.
 *
 * It talks HTTP to any OpenAI-compatible server (`--url`), or starts `moebius serve` itself. After
 * a warm-up that does not count, requests come in a closed or an open loop; every chunk's time is
 * kept and the figures are those of vLLM's and AIPerf's vocabulary (`accounting.ts`).
 */
import { at } from '../../../base/assert.ts';
import { MoebiusError } from '../../../base/errors.ts';
import { formatPercent } from '../../../base/units.ts';
import { servedModel, serverUrl } from '../../client/servedModel.ts';
import { type Cell, formatTable, note, printResult } from '../../output.ts';
import {
  type GoodputLimits,
  type RequestRecord,
  type ServeSummary,
  summarize,
} from './accounting.ts';
import { type DecodeRate, decodeRate } from './decodeRate.ts';
import type { Distribution } from './distribution.ts';
import { generateLoad, type LoadOptions } from './generateLoad.ts';
import {
  bodyOfPrompt,
  decodePrompts,
  type PromptSource,
  promptsOfFile,
  randomPrompts,
} from './promptSource.ts';
import {
  checkMode,
  endpointOf,
  loadOf,
  parseGoodput,
  type ServeBenchOptions,
  serverArguments,
} from './serveOptions.ts';
import { startServer } from './serverProcess.ts';

export interface ServeFigures extends ServeSummary {
  readonly model: string;
  readonly load: string;
  readonly prompts: string;
  readonly maxTokens: number;
}

/** @throws bench.option, bench.ramp, bench.goodput, bench.endpoint, bench.server, client.* */
export async function benchServe(
  options: ServeBenchOptions,
): Promise<ServeFigures | DecodeFigures> {
  checkMode(options);
  if (options.asDecode === true) return benchAsDecode(options);
  const load = loadOf(options);
  const goodput = options.goodput === undefined ? null : parseGoodput(options.goodput);
  const figures = await withServer(options, async (url) => {
    const asked = await requestsOf(options, url);
    const common = { url: asked.url, apiKey: options.apiKey, bodyOf: asked.bodyOf };
    await warmUp(common, load.numWarmUp);
    note(`${load.description}: ${asked.prompts}, ${asked.maxTokens} tokens each at most`);
    const { pace, numRequests, seconds } = load;
    const records = await generateLoad({ ...common, pace, numRequests, seconds });
    const summary = summarize(records, goodput);
    const { model, prompts, maxTokens } = asked;
    return { ...summary, model, load: load.description, prompts, maxTokens };
  });
  printResult(options, { table: serveTable(figures), json: { ...figures } });
  return figures;
}

export interface DecodeFigures extends DecodeRate {
  readonly model: string;
  readonly numSequences: number;
}

/**
 * Chunks that a server and its client handle before anything counts. A server runs for days, and
 * until then compilers of the language take a tenth of both cores: gaps of a stream of v3-small in
 * f8 fell from 9.0 to 7.2 ms over the first 1,000 tokens.
 */
const SETTLING_CHUNKS = 1500;

/** As `bench decode`: its prompts of 64 tokens, its 40 tokens of warming up. */
async function benchAsDecode(options: ServeBenchOptions): Promise<DecodeFigures> {
  const isTiny = options.tiny === true;
  const { concurrency: numSequences = 1, tokens = isTiny ? 3 : 64 } = options;
  const [length, numWarmUp] = isTiny ? [8, 1] : [64, 40];
  const maxTokens = 1 + numWarmUp + tokens;
  const figures = await withServer(options, async (server) => {
    const asked = await requestsOf(
      { ...options, prompt: length, maxTokens, ignoreEos: true },
      server,
    );
    const { url, model, vocabSize, bodyOf } = asked;
    const common = { url, apiKey: options.apiKey };
    const perRound = numSequences * maxTokens;
    const numRounds = isTiny ? 1 : Math.ceil(SETTLING_CHUNKS / perRound);
    for (let round = 0; round < numRounds; round++) {
      await warmUp({ ...common, bodyOf }, numSequences);
    }
    const prompts = decodePrompts({ numSequences, length, vocabSize });
    const records = await generateLoad({
      ...common,
      pace: { kind: 'closed', concurrency: numSequences },
      numRequests: numSequences,
      seconds: Number.POSITIVE_INFINITY,
      bodyOf: (i) =>
        JSON.stringify({
          ...(JSON.parse(bodyOf(i)) as object),
          prompt: at(prompts, i),
        }),
    });
    const failed = records.find(({ failure }) => failure !== null);
    if (failed !== undefined) throw failedRequest(failed, url);
    return { ...decodeRate(records, numWarmUp), model, numSequences };
  });
  const rows: Cell[][] = [
    ['streams', numSequences],
    ['tokens per second', figures.tokensPerSecond.toFixed(1)],
    ['of the window’s mean', figures.tokensPerSecondMean.toFixed(1)],
    ['the window', `${figures.windowTokens} tokens in ${figures.windowSeconds.toFixed(2)} s`],
  ];
  printResult(options, { table: formatTable(rows), json: { ...figures } });
  return figures;
}

/** Runs something against `--url`, or against a server that lives as long. */
export async function withServer<T>(
  options: ServeBenchOptions,
  use: (url: URL) => Promise<T>,
): Promise<T> {
  const args = serverArguments(options);
  if (args === null) return use(serverUrl(options.url ?? ''));
  const server = await startServer(args);
  note(`moebius serve ${args.join(' ')}: process ${server.processId}, ${server.url.origin}`);
  try {
    return await use(server.url);
  } finally {
    await server.end();
  }
}

interface Requests {
  readonly url: URL;
  readonly model: string;
  readonly vocabSize: number;
  readonly prompts: string;
  readonly maxTokens: number;
  readonly bodyOf: (index: number) => string;
}

async function requestsOf(options: ServeBenchOptions, server: URL): Promise<Requests> {
  const endpoint = endpointOf(options);
  const path = endpoint === 'chat' ? 'v1/chat/completions' : 'v1/completions';
  const { apiKey, name } = options;
  const served = await servedModel({ url: server, apiKey, name });
  const isTiny = options.tiny === true;
  const maxTokens = options.maxTokens ?? (isTiny ? 8 : 128);
  const { prompts, source, vocabSize } = promptsOf(options, served.vocabSize);
  const common = {
    model: served.name,
    max_tokens: maxTokens,
    temperature: options.temperature ?? 0,
    seed: options.seed ?? 0,
    ...(options.ignoreEos === true ? { ignore_eos: true } : {}),
    stream: true,
    stream_options: { include_usage: true },
  };
  return {
    url: new URL(path, served.base),
    model: served.name,
    vocabSize,
    prompts,
    maxTokens,
    bodyOf: (index) => JSON.stringify({ ...common, ...bodyOfPrompt(source(index), endpoint) }),
  };
}

function promptsOf(
  options: ServeBenchOptions,
  vocabSize: number | null,
): { prompts: string; source: PromptSource; vocabSize: number } {
  const { prompts: path, prompt, sharedPrefix = 0 } = options;
  if (path !== undefined) {
    return { prompts: 'prompts of a file', source: promptsOfFile(path), vocabSize: 0 };
  }
  const known = options.vocabSize ?? vocabSize;
  if (known === null) {
    throw new MoebiusError('bench.vocabulary', 'the server does not say how many tokens it knows', {
      hint: 'Give --vocab-size, or prompts of a file with --prompts.',
    });
  }
  const length = prompt ?? (options.tiny === true ? 8 : 512);
  const seed = options.seed ?? 0;
  const random = { length, sharedShare: sharedPrefix, vocabSize: known, seed };
  const shared = sharedPrefix === 0 ? '' : `, ${formatPercent(sharedPrefix, 0)} of them shared`;
  const prompts = `prompts of ${length} random ids${shared}`;
  return { prompts, source: randomPrompts(random), vocabSize: known };
}

/** Requests that do not count, numbered below zero so that no prompt is found in a cache later. */
async function warmUp(
  common: Pick<LoadOptions, 'url' | 'apiKey' | 'bodyOf'>,
  count: number,
): Promise<void> {
  if (count === 0) return;
  const [record] = (
    await generateLoad({
      ...common,
      bodyOf: (index) => common.bodyOf(-1 - index),
      pace: { kind: 'closed', concurrency: count },
      numRequests: count,
      seconds: Number.POSITIVE_INFINITY,
    })
  ).filter(({ failure }) => failure !== null);
  if (record === undefined) return;
  throw failedRequest(record, common.url);
}

function failedRequest({ because, failure }: RequestRecord, url: URL): MoebiusError {
  return new MoebiusError('bench.request', 'a request failed before anything was measured', {
    values: { url: url.href, because: because ?? failure },
    hint: 'Ask for less, or look at the server’s log.',
  });
}

export function serveTable(figures: ServeFigures): string {
  const { load, prompts, maxTokens, failures, goodput } = figures;
  const rate = (value: number): string => value.toFixed(2);
  const reasons = Object.entries(failures).map(([reason, count]) => `${reason}: ${count}`);
  const rows: Cell[][] = [
    ['load', load],
    ['requests', `${prompts}, ${maxTokens} tokens at most`],
    ['successful', figures.successful],
    ['failed', reasons.length === 0 ? 0 : `${figures.failed} (${reasons.join(', ')})`],
    ['seconds', rate(figures.seconds)],
    ['requests per second', rate(figures.requestsPerSecond)],
    ['tokens in, out', `${figures.inputTokens}, ${figures.outputTokens}`],
    ['input tokens per second', rate(figures.inputTokensPerSecond)],
    ['output tokens per second', rate(figures.outputTokensPerSecond)],
    ['tokens per second', rate(figures.totalTokensPerSecond)],
    ['from the prefix cache', `${figures.cachedTokens}, ${formatPercent(figures.cachedShare)}`],
    ['drafts that stood', acceptance(figures)],
    ['tokens per chunk', figures.tokensPerChunk?.toFixed(2) ?? '–'],
    ...(goodput === null ? [] : [['goodput', describeGoodput(goodput)]]),
  ];
  return `${formatTable(rows)}\n\n${latencyTable(figures)}`;
}

function acceptance({ acceptance: share, accepted, drafted }: ServeSummary): string {
  return share === null ? '–' : `${accepted} of ${drafted}, ${formatPercent(share)}`;
}

function describeGoodput(goodput: NonNullable<ServeSummary['goodput']>): string {
  const limits = Object.entries(goodput.limits as GoodputLimits).map(
    ([name, seconds]) => `${name} ≤ ${(seconds * 1e3).toFixed(0)} ms`,
  );
  const perSecond = goodput.requestsPerSecond.toFixed(2);
  return `${perSecond} a second, ${formatPercent(goodput.share)} of all (${limits.join(', ')})`;
}

function latencyTable(figures: ServeSummary): string {
  const named: readonly (readonly [string, Distribution | null])[] = [
    ['TTFT', figures.ttft],
    ['TTFO', figures.ttfo],
    ['TTST', figures.ttst],
    ['TPOT', figures.tpot],
    ['ITL', figures.itl],
    ['inter-chunk', figures.interChunk],
    ['E2E', figures.e2e],
    ['held back', figures.heldBack],
  ];
  const rows = named.flatMap(([name, of]) => {
    if (of === null) return [];
    const { mean, median, deviation, p90, p95, p99 } = of;
    const values = [mean, median, deviation, p90, p95, p99];
    return [[name, ...values.map((value) => (value * 1e3).toFixed(2))]];
  });
  return formatTable(rows, ['milliseconds', 'mean', 'median', 'std', 'p90', 'p95', 'p99']);
}
