/**
 * The options of `moebius serve`, and what becomes of them. Each has an environment variable of its
 * name, MOEBIUS_PORT for --port; what is on the command line wins.
 */
import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { MoebiusError, nearestName } from '../../base/errors.ts';
import { parseQuantity } from '../../base/quantity.ts';
import type { CacheDType } from '../../config/servingMemory.ts';
import { type ApiKey, apiKey, parseApiKeys } from '../../server/apiKeys.ts';
import { DEFAULT_LIMITS, type KeyLimits, type ServerLimits } from '../../server/limits.ts';
import type { CorsOrigins } from '../../server/serverOptions.ts';
import { MAX_DRAFTS } from '../../serving/checkEngineRequest.ts';
import { integerOption } from '../optionValues.ts';
import { weightDType } from '../weightDType.ts';
import type { ServingSettings } from './openServing.ts';
import type { ServedSource } from './servedModel.ts';

export interface ServeOptions {
  readonly random?: string;
  readonly dtype: string;
  readonly host: string;
  readonly port: number;
  readonly apiKey?: readonly string[];
  readonly apiKeyFile?: string;
  readonly adminKey?: string;
  readonly alias?: readonly string[];
  readonly corsOrigins: string;
  readonly maxContext?: number;
  readonly maxSequences: number;
  readonly tokenBudget: number;
  readonly cacheDtype: string;
  readonly cacheMemory?: string;
  readonly numBlocks?: number;
  readonly speculate: 'auto' | number;
  readonly deterministic?: boolean;
  readonly logprobsOf: 'model' | 'sampler';
  readonly maxChoices: number;
  readonly maxRequests?: number;
  readonly maxTokensTotal?: number;
  readonly maxQueuedRequests: number;
  readonly maxQueuedTokens?: number;
  readonly keyRequests?: number;
  readonly keyTokens?: number;
  readonly keyRpm?: number;
  readonly keyTpm?: number;
  readonly maxBodyBytes: number;
  readonly maxIncomingBytes: number;
  readonly maxBufferedBytes: number;
  readonly stalledSeconds: number;
  readonly keepAliveSeconds: number;
  readonly streamInterval: number;
  readonly drainSeconds: number;
  readonly hangSeconds: number;
  readonly maxRestarts: number;
  readonly metricsCompat: 'vllm' | 'none';
  readonly metricsAccess: 'public' | 'key';
  readonly expertMetrics: 'none' | 'balance' | 'counts';
  readonly kernels?: string;
  readonly threads?: number;
  readonly logJsonl?: boolean;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

export interface ResolvedServe {
  readonly source: ServedSource;
  readonly serving: ServingSettings;
  readonly keys: readonly ApiKey[];
  readonly adminKey: ApiKey | null;
  readonly keyLimits: KeyLimits;
  readonly limits: ServerLimits;
  readonly corsOrigins: CorsOrigins;
  /** The first is the name that answers give. */
  readonly names: readonly string[];
}

interface Bounds {
  readonly least: number;
  readonly most: number;
  readonly value: number;
}

/** A timer of Node holds 24 days; a longer one would fire at once. */
const LONGEST_SECONDS = 86_400;
/** Rows or sequences of a step: more than any machine has memory for. */
const MOST_AT_ONCE = 65_536;

/** Adds all of them to the command. */
export function addServeOptions(command: Command): Command {
  const option = (flags: string, text: string): Option => {
    const made = new Option(flags, text);
    return made.env(`MOEBIUS_${(made.long ?? '').slice(2).replaceAll('-', '_').toUpperCase()}`);
  };
  const count = (flags: string, text: string, least: number, value?: number): Option => {
    const made = option(flags, text).argParser(integerOption(least));
    return value === undefined ? made : made.default(value);
  };
  const bounded = (flags: string, text: string, within: Bounds): Option =>
    option(flags, text).argParser(integerOption(within.least, within.most)).default(within.value);
  const seconds = (flags: string, text: string, least: number, value: number): Option =>
    bounded(flags, text, { least, most: LONGEST_SECONDS, value });
  const list = (flags: string, text: string): Option =>
    option(flags, text).argParser((one: string, before: readonly string[] = []) => [
      ...before,
      ...one.split(',').filter(Boolean),
    ]);
  const { maxQueuedRequests, bodyBytes, incomingBytes, bufferedBytes, stalledSeconds } =
    DEFAULT_LIMITS;
  const all: readonly Option[] = [
    option('--random <name|file>', 'made-up weights in a model’s shape, for measuring'),
    option('--dtype <name>', '--random: f32, bf16, f16 or f8e4m3 weights').default('f32'),
    option('--host <address>', 'address to listen at').default('127.0.0.1'),
    bounded('--port <n>', 'port; 0 takes a free one', { least: 0, most: 65_535, value: 8000 }),
    list('--api-key <key>', 'key that callers must send; repeat for more'),
    option('--api-key-file <file>', 'keys, one a line, with names and limits of their own'),
    option('--admin-key <key>', 'key of the admin endpoints, which are off without it'),
    list('--alias <name>', 'the model’s name in answers; further ones are understood too'),
    list('--served-model-name <name>', 'the same as --alias'),
    option('--cors-origins <which>', 'localhost, all, none, or origins').default('localhost'),
    count('--max-context <n>', 'positions of prompt and output; 8192 or what fits', 1),
    bounded('--max-sequences <n>', 'sequences that run at once', {
      ...{ least: 1, most: MOST_AT_ONCE, value: 32 },
    }),
    bounded('--token-budget <n>', 'rows of a step: tokens, drafts, chunks of prompts', {
      ...{ least: 1, most: MOST_AT_ONCE, value: 512 },
    }),
    option('--cache-dtype <name>', 'f32, bf16 or f8e4m3').default('f32'),
    option('--cache-memory <size>', 'memory of the cache, as "4 GB"'),
    count('--num-blocks <n>', 'blocks of the cache, 64 tokens each', 1),
    option('--speculate <n>', 'drafts a step: auto, off or a number')
      .argParser(drafts)
      .default('auto'),
    option('--deterministic', 'the same answer to the same request, whatever was cached'),
    option('--logprobs-of <what>', 'before adjustments and temperature, or after')
      .choices(['model', 'sampler'])
      .default('model'),
    count('--max-choices <n>', 'choices of one request at most', 1, 16),
    count('--max-requests <n>', 'sequences under way at most', 1),
    count('--max-tokens-total <n>', 'tokens under way, prompts and allowed outputs', 1),
    count('--max-queued-requests <n>', 'sequences that wait at most', 0, maxQueuedRequests),
    count('--max-queued-tokens <n>', 'tokens that wait at most', 1),
    count('--key-requests <n>', 'sequences under way for each key', 1),
    count('--key-tokens <n>', 'tokens under way for each key', 1),
    count('--key-rpm <n>', 'requests a minute for each key', 1),
    count('--key-tpm <n>', 'tokens a minute for each key', 1),
    count('--max-body-bytes <n>', 'bytes of a request’s body', 1, bodyBytes),
    count('--max-incoming-bytes <n>', 'bytes of all bodies being read', 1, incomingBytes),
    count('--max-buffered-bytes <n>', 'bytes that a slow reader may leave', 1024, bufferedBytes),
    seconds('--stalled-seconds <n>', 'after which a reader is dropped', 1, stalledSeconds),
    seconds('--keep-alive-seconds <n>', 'silence before a sign of life', 1, 5),
    bounded('--stream-interval <ms>', 'at least, between two pieces of a stream', {
      ...{ least: 0, most: 1000 * LONGEST_SECONDS, value: 20 },
    }),
    seconds('--drain-seconds <n>', 'for what runs, after SIGTERM', 0, 30),
    seconds('--hang-seconds <n>', 'silence of the kernels that counts as a crash; 0: none', 0, 600),
    count('--max-restarts <n>', 'of the kernel thread, one after another', 0, 5),
    option('--metrics-compat <which>', 'further names of metrics')
      .choices(['vllm', 'none'])
      .default('vllm'),
    option('--metrics-access <who>', 'public, or key: as all else')
      .choices(['public', 'key'])
      .default('public'),
    option('--expert-metrics <which>', 'loads of experts as metrics')
      .choices(['none', 'balance', 'counts'])
      .default('none'),
    option('--kernels <name>', 'native, wasm or reference'),
    count('--threads <n>', 'threads of the kernels', 1),
    option('--log-jsonl', 'a JSON object for each request'),
    option('--quiet', 'no line for each request'),
    option('--json', 'one line of JSON once it is ready'),
  ];
  for (const each of all) command.addOption(each);
  return command;
}

function drafts(text: string): 'auto' | number {
  if (text === 'auto') return 'auto';
  return text === 'off' ? 0 : integerOption(0, MAX_DRAFTS)(text);
}

/** @throws serve.source, .dtype, .cacheDtype, .cacheMemory, .incoming, .cors, server.keys */
export function resolveServe(
  checkpoint: string | undefined,
  options: ServeOptions & { readonly servedModelName?: readonly string[] },
): ResolvedServe {
  const source = sourceOf(checkpoint, options);
  const keyLimits: KeyLimits = {
    maxRequests: options.keyRequests ?? null,
    maxTokens: options.keyTokens ?? null,
    requestsPerMinute: options.keyRpm ?? null,
    tokensPerMinute: options.keyTpm ?? null,
  };
  const { cacheMemory, adminKey } = options;
  return {
    source,
    keyLimits,
    serving: {
      source,
      kernels: options.kernels ?? null,
      threads: options.threads ?? null,
      maxContext: options.maxContext ?? null,
      maxSequences: options.maxSequences,
      tokenBudget: options.tokenBudget,
      numBlocks: options.numBlocks ?? null,
      cacheBytes: cacheMemory === undefined ? null : cacheBytes(cacheMemory),
      cacheDType: cacheDType(options.cacheDtype),
      speculation: options.speculate,
      isDeterministic: options.deterministic === true,
      streamSeconds: options.streamInterval / 1000,
    },
    keys: [
      ...(options.apiKey ?? []).map((key, i) => apiKey(key, `key-${i + 1}`, keyLimits)),
      ...(options.apiKeyFile === undefined
        ? []
        : parseApiKeys(readFileSync(options.apiKeyFile, 'utf8'), keyLimits)),
    ],
    adminKey: adminKey === undefined ? null : apiKey(adminKey, 'admin'),
    limits: {
      maxRequests: options.maxRequests ?? null,
      maxTokens: options.maxTokensTotal ?? null,
      maxQueuedRequests: options.maxQueuedRequests,
      maxQueuedTokens: options.maxQueuedTokens ?? null,
      ...bodyLimits(options),
      bufferedBytes: options.maxBufferedBytes,
      stalledSeconds: options.stalledSeconds,
    },
    corsOrigins: corsOrigins(options.corsOrigins),
    names: [...(options.alias ?? []), ...(options.servedModelName ?? [])],
  };
}

function sourceOf(checkpoint: string | undefined, { random, dtype }: ServeOptions): ServedSource {
  if (checkpoint !== undefined && random === undefined) {
    return { kind: 'checkpoint', path: checkpoint };
  }
  if (checkpoint === undefined && random !== undefined) {
    return { kind: 'random', config: random, dtype: weightDType(dtype, 'serve.dtype') };
  }
  throw new MoebiusError('serve.source', 'name one model to serve', {
    values: { checkpoint: checkpoint ?? null, random: random ?? null },
    hint: 'Give a checkpoint’s folder, or --random with a preset’s name, and not both.',
  });
}

function bodyLimits({
  maxBodyBytes: bodyBytes,
  maxIncomingBytes: incomingBytes,
}: ServeOptions): Pick<ServerLimits, 'bodyBytes' | 'incomingBytes'> {
  if (bodyBytes <= incomingBytes) return { bodyBytes, incomingBytes };
  throw new MoebiusError('serve.incoming', 'one body may be larger than all together', {
    values: { maxBodyBytes: bodyBytes, maxIncomingBytes: incomingBytes },
    hint: `Raise --max-incoming-bytes to ${bodyBytes} at least, or lower --max-body-bytes.`,
  });
}

function cacheBytes(text: string): number {
  const bytes = parseQuantity(text, 'bytes', '--cache-memory');
  if (bytes > 0) return bytes;
  throw new MoebiusError('serve.cacheMemory', `a cache cannot have ${text}`, {
    values: { cacheMemory: text },
    hint: 'Give a size as in 4 GB, or leave it out for what suits the model and the machine.',
  });
}

const CACHE_DTYPES: readonly CacheDType[] = ['f32', 'bf16', 'f8e4m3'];

function cacheDType(name: string): CacheDType {
  const found = CACHE_DTYPES.find((each) => each === name);
  if (found !== undefined) return found;
  throw new MoebiusError('serve.cacheDtype', `a cache cannot be ${name}`, {
    values: { cacheDtype: name },
    hint: `Take ${nearestName(name, CACHE_DTYPES) ?? CACHE_DTYPES.join(' or ')}.`,
  });
}

function corsOrigins(text: string): CorsOrigins {
  switch (text) {
    case 'localhost':
    case 'none':
      return text;
    case 'all':
    case '*':
      return 'all';
    default: {
      const list = text.split(',').map((origin) => origin.trim());
      const wrong = list.find((origin) => !/^https?:\/\/[^/\s]+$/.test(origin));
      if (wrong === undefined) return { list };
      throw new MoebiusError('serve.cors', `"${wrong}" is no origin`, {
        values: { corsOrigins: text },
        hint: 'Give localhost, all, none, or origins as https://example.org between commas.',
      });
    }
  }
}
