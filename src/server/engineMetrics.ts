/**
 * An engine's own numbers as metrics, read when somebody scrapes.
 *
 * Counters must never go back, but an engine that crashed begins again at zero: what it had counted
 * before is kept and added.
 */
import type { EngineClient, EngineStats, ExpertLoads } from '../serving/engineClient.ts';
import type { Family, Labels, MetricSet } from './metrics.ts';

type Count = {
  readonly [K in keyof EngineStats]: EngineStats[K] extends number ? K : never;
}[keyof EngineStats];

const COUNTERS: readonly (Family & { readonly of: Count })[] = [
  counted('prompt_tokens_total', 'promptTokens', 'Tokens of prompts that were run.'),
  counted('generation_tokens_total', 'generatedTokens', 'Tokens that were decided.'),
  counted('prefix_cache_queries_total', 'prefixQueriedTokens', 'Tokens looked up in the cache.'),
  counted('prefix_cache_hits_total', 'prefixHitTokens', 'Tokens found in the prefix cache.'),
  counted('num_preemptions_total', 'preemptions', 'Sequences put off and recomputed.'),
  counted('spec_decode_num_draft_tokens_total', 'drafted', 'Drafts that were run.'),
  counted('spec_decode_num_accepted_tokens_total', 'accepted', 'Drafts that stood.'),
  {
    own: 'scheduler_step_seconds_total',
    of: 'stepSeconds',
    help: 'Seconds of all engine steps; divide by moebius_scheduler_steps_total.',
  },
  { own: 'scheduler_steps_total', of: 'numSteps', help: 'Engine steps.' },
];

function counted(name: string, of: Count, help: string): Family & { readonly of: Count } {
  return { own: name, vllm: name, of, help };
}

/** Seconds that a scrape waits for experts' loads: an engine answers between two steps. */
const PATIENCE_MS = 2000;

export interface EngineMetricsOptions {
  readonly set: MetricSet;
  readonly engine: EngineClient;
  /** Counts of every layer and expert too; many series. */
  readonly experts: 'none' | 'balance' | 'counts';
}

/** @returns what brings all of them up to date, to be called before they are read */
export function engineMetrics(options: EngineMetricsOptions): () => Promise<void> {
  const { set, engine, experts } = options;
  const counters = COUNTERS.map(({ of, ...family }) => {
    const rise = rising(set.counter(family));
    return (stats: EngineStats) => rise({}, stats[of]);
  });
  const drafts = rising(
    set.counter({
      own: 'spec_decode_num_drafts_total',
      vllm: 'spec_decode_num_drafts_total',
      help: 'Steps that ran drafts.',
    }),
  );
  const perPosition = (name: string, help: string): Rise =>
    rising(set.counter({ own: name, vllm: name, help, labels: ['position'] }));
  const draftedAt = rising(
    set.counter({
      own: 'spec_decode_num_draft_tokens_per_pos_total',
      help: 'Drafts that were run, by place.',
      labels: ['position'],
    }),
  );
  const acceptedAt = perPosition(
    'spec_decode_num_accepted_tokens_per_pos_total',
    'Drafts that stood, by place.',
  );
  const gauge = (name: string, help: string) => set.gauge({ own: name, vllm: name, help });
  const running = gauge('num_requests_running', 'Sequences that are run.');
  const waiting = gauge('num_requests_waiting', 'Sequences that wait.');
  const usage = gauge('kv_cache_usage_perc', 'Share of cache blocks in use, from 0 to 1.');
  const waitingTokens = set.gauge({
    own: 'waiting_tokens',
    help: 'Tokens of prompts and allowed outputs that wait.',
  });
  const cachedBlocks = set.gauge({
    own: 'cached_blocks',
    help: 'Blocks kept for their prefix that nobody uses now.',
  });
  const up = set.gauge({ own: 'engine_up', help: '1 where the engine takes requests.' });
  const updateExperts = experts === 'none' ? null : expertMetrics(set, experts);
  return async () => {
    const { stats, state } = engine;
    up({}, state.kind === 'ready' ? 1 : 0);
    for (const update of counters) update(stats);
    drafts({}, stats.draftedPerPosition[0] ?? 0);
    for (const [i, count] of stats.draftedPerPosition.entries()) draftedAt({ position: i }, count);
    for (const [i, count] of stats.acceptedPerPosition.entries()) {
      acceptedAt({ position: i }, count);
    }
    running({}, stats.running);
    waiting({}, stats.waiting);
    waitingTokens({}, stats.waitingTokens);
    cachedBlocks({}, stats.cachedBlocks);
    if (state.kind !== 'ready') return;
    usage({}, stats.usedBlocks / Math.max(1, engine.info.numBlocks));
    if (updateExperts !== null) updateExperts(await soon(engine.expertLoads('goOn')));
  };
}

type Rise = (labels: Labels, total: number) => void;

/** Adds what a total has grown by since it was last seen; a smaller one began again at zero. */
function rising(add: (labels: Labels, by: number) => void): Rise {
  const seen = new Map<string, number>();
  return (labels, total) => {
    const key = JSON.stringify(labels);
    const before = seen.get(key) ?? 0;
    seen.set(key, total);
    add(labels, total >= before ? total - before : total);
  };
}

function expertMetrics(
  set: MetricSet,
  experts: 'balance' | 'counts',
): (loads: ExpertLoads | null) => void {
  const balance = set.gauge({
    own: 'expert_balancedness',
    help: 'Mean over largest load of a layer’s experts since the start; 1 is even.',
    labels: ['layer'],
  });
  const tokens =
    experts === 'counts'
      ? rising(
          set.counter({
            own: 'expert_tokens_total',
            help: 'Tokens that chose an expert.',
            labels: ['layer', 'expert'],
          }),
        )
      : null;
  return (loads) => {
    for (const { layer, tokensPerExpert } of loads?.layers ?? []) {
      balance({ layer }, balancedness(tokensPerExpert));
      if (tokens === null) continue;
      for (const [expert, count] of tokensPerExpert.entries()) tokens({ layer, expert }, count);
    }
  };
}

/** Mean over largest, as vLLM defines it; 1 where nothing was counted. */
export function balancedness(tokensPerExpert: readonly number[]): number {
  const largest = tokensPerExpert.reduce((most, count) => Math.max(most, count), 0);
  if (largest === 0) return 1;
  const sum = tokensPerExpert.reduce((total, count) => total + count, 0);
  return sum / tokensPerExpert.length / largest;
}

/** null where it fails or takes too long: a scrape shows what there is. */
async function soon<T>(promise: Promise<T>): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), PATIENCE_MS);
  });
  try {
    return await Promise.race([promise.catch(() => null), tooLate]);
  } finally {
    clearTimeout(timer);
  }
}
