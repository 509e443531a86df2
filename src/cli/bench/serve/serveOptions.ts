/** What `moebius bench serve` is asked, read into what it does; nothing is started here. */
import { MoebiusError, nearestName } from '../../../base/errors.ts';
import { type BenchOptions, optionName } from '../benchOptions.ts';
import type { GoodputLimits } from './accounting.ts';
import { Arrivals, parseRamp, type Rate } from './arrivals.ts';
import type { Pace } from './generateLoad.ts';

export interface ServeBenchOptions extends BenchOptions {
  /** A running server; without one, a server is started for the benchmark. */
  readonly url?: string;
  readonly apiKey?: string;
  /** The model's name in requests; the first that the server lists. */
  readonly name?: string;
  /** Of the server to be started: a checkpoint, or made-up weights (`config`, `dtype`). */
  readonly model?: string;
  readonly dtype?: string;
  /** Further words for `moebius serve`. */
  readonly serve?: string;
  /** As many streams as `concurrency` that decode what `bench decode` does. */
  readonly asDecode?: boolean;
  /** Compared with the same server that does not speculate. */
  readonly withoutDrafts?: boolean;
  /** Of each such stream that count. */
  readonly tokens?: number;
  readonly concurrency?: number;
  readonly requestRate?: number;
  readonly burstiness?: number;
  readonly ramp?: string;
  readonly maxConcurrency?: number;
  readonly numPrompts?: number;
  readonly seconds?: number;
  readonly warmup?: number;
  /** Tokens of made-up prompts. */
  readonly prompt?: number;
  readonly sharedPrefix?: number;
  readonly vocabSize?: number;
  readonly prompts?: string;
  readonly endpoint?: string;
  readonly maxTokens?: number;
  readonly temperature?: number;
  readonly ignoreEos?: boolean;
  readonly goodput?: string;
  readonly seed?: number;
}

export interface Load {
  readonly pace: Pace;
  /** How the pace is said. */
  readonly description: string;
  readonly numRequests: number;
  readonly seconds: number;
  readonly numWarmUp: number;
}

/**
 * `--as-decode` has the load of `bench decode`, so nothing else may be said of it.
 *
 * @throws bench.option
 */
export function checkMode(options: ServeBenchOptions): void {
  const isDecode = options.asDecode === true;
  const others = isDecode ? LOADS_OWN : (['tokens'] as const);
  const given = others.find((name) => options[name] !== undefined);
  if (given === undefined) return;
  throw optionError(optionName(given), isDecode ? 'is settled by --as-decode' : 'is not read', {
    hint: isDecode
      ? 'Leave out one of the two.'
      : 'Say --max-tokens for the tokens of each answer, or add --as-decode.',
  });
}

const LOADS_OWN = [
  ...(['requestRate', 'burstiness', 'ramp', 'maxConcurrency', 'numPrompts', 'seconds'] as const),
  ...(['warmup', 'prompt', 'sharedPrefix', 'prompts', 'endpoint', 'maxTokens'] as const),
  ...(['temperature', 'ignoreEos', 'goodput', 'seed'] as const),
] as const;

/** @throws bench.option, bench.ramp */
export function loadOf(options: ServeBenchOptions): Load {
  const isTiny = options.tiny === true;
  const { concurrency, requestRate, burstiness, ramp, maxConcurrency } = options;
  const isOpen = requestRate !== undefined || ramp !== undefined;
  if (isOpen && concurrency !== undefined) {
    throw optionError('--concurrency', 'is of a closed loop, rates are of an open one', {
      hint: 'Leave out one of them, or bound an open loop with --max-concurrency.',
    });
  }
  if (requestRate !== undefined && ramp !== undefined) {
    throw optionError('--ramp', 'has rates of its own', { hint: 'Leave out --request-rate.' });
  }
  const openOnly = { '--burstiness': burstiness, '--max-concurrency': maxConcurrency };
  for (const [option, value] of Object.entries(openOnly)) {
    if (isOpen || value === undefined) continue;
    throw optionError(option, 'is of an open loop', { hint: 'Give --request-rate or --ramp.' });
  }
  const closed = concurrency ?? (isTiny ? 2 : 8);
  const { seconds = Number.POSITIVE_INFINITY } = options;
  const byDefault = isTiny ? 4 : isOpen ? 100 : 8 * closed;
  const numRequests =
    options.numPrompts ?? (options.seconds === undefined ? byDefault : Number.POSITIVE_INFINITY);
  const numWarmUp = options.warmup ?? (isOpen ? 1 : closed);
  if (!isOpen) {
    const description = `closed loop of ${closed}`;
    const pace: Pace = { kind: 'closed', concurrency: closed };
    return { pace, description, numRequests, seconds, numWarmUp };
  }
  const perSecond = requestRate ?? 1;
  const rate: Rate =
    ramp === undefined ? { law: 'linear', from: perSecond, to: perSecond } : parseRamp(ramp);
  const shape = burstiness ?? 1;
  const arrivals = new Arrivals({ rate, burstiness: shape, seed: options.seed ?? 0 });
  const most = maxConcurrency ?? Number.POSITIVE_INFINITY;
  const bound = maxConcurrency === undefined ? '' : `, ${maxConcurrency} at once at most`;
  return {
    pace: { kind: 'open', arrivals, maxConcurrency: most },
    description: `open loop, ${ramp ?? perSecond} a second, burstiness ${shape}${bound}`,
    numRequests,
    seconds,
    numWarmUp,
  };
}

/**
 * `ttft:500,tpot:50`, in milliseconds.
 *
 * @throws bench.goodput
 */
export function parseGoodput(text: string): GoodputLimits {
  const limits: Record<string, number> = {};
  const known = ['ttft', 'tpot', 'e2e'];
  for (const part of text.split(',')) {
    const [name = '', value = ''] = part.split(':').map((word) => word.trim());
    const milliseconds = Number(value);
    if (!known.includes(name) || value === '' || !(milliseconds > 0)) {
      throw new MoebiusError('bench.goodput', `"${part}" is no limit in milliseconds`, {
        values: { goodput: text },
        hint: `Write ${nearestName(name, known) ?? 'ttft, tpot or e2e'}, as in ttft:500,tpot:50.`,
      });
    }
    limits[name] = milliseconds / 1e3;
  }
  return limits;
}

/** @throws bench.endpoint */
export function endpointOf(options: ServeBenchOptions): 'completions' | 'chat' {
  const { endpoint = 'completions' } = options;
  if (endpoint === 'completions' || endpoint === 'chat') return endpoint;
  throw new MoebiusError('bench.endpoint', `there is no endpoint "${endpoint}"`, {
    hint: 'Take completions or chat.',
  });
}

/**
 * Words for `moebius serve`; null for a server that runs already.
 *
 * @throws bench.option
 */
export function serverArguments(options: ServeBenchOptions): readonly string[] | null {
  const { url, model, config, dtype, kernels, serve } = options;
  const started = { '--model': model, '--config': config, '--dtype': dtype, '--serve': serve };
  if (url !== undefined) {
    for (const [option, value] of Object.entries({ ...started, '--kernels': kernels })) {
      if (value === undefined) continue;
      throw optionError(option, 'is for a server that is started here', {
        hint: 'Leave out --url, or this option.',
      });
    }
    return null;
  }
  checkWeights(options);
  const weights =
    model === undefined ? ['--random', config ?? 'v3-small', '--dtype', dtype ?? 'f32'] : [model];
  const words = serve?.split(' ').filter((word) => word !== '') ?? [];
  return [...weights, ...(kernels === undefined ? [] : ['--kernels', kernels]), ...words];
}

/** @throws bench.option */
export function checkWeights({ model, config, dtype }: ServeBenchOptions): void {
  if (model === undefined || (config === undefined && dtype === undefined)) return;
  throw optionError('--model', 'has its own config and types', {
    hint: 'Leave out --config and --dtype.',
  });
}

function optionError(option: string, why: string, { hint }: { hint: string }): MoebiusError {
  return new MoebiusError('bench.option', `${option} ${why}`, { values: { option }, hint });
}
