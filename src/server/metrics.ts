/**
 * What Prometheus scrapes: our own names (`moebius_…`) and, unless told otherwise, those of vLLM
 * (`vllm:…`, with its label `model_name`), so that dashboards and schedulers made for it work.
 *
 * All stamps are of this process's monotonic clock. Seconds that an engine reports (queue, prefill,
 * decode) are differences of its own clock; the two are never compared.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { EngineEnd } from '../serving/engineClient.ts';

export interface MetricsOptions {
  readonly modelId: string;
  /** Which other names there are. */
  readonly compat: 'vllm' | 'none';
}

export interface Family {
  readonly own: string;
  /** vLLM's name without its prefix; left out where it has none. */
  readonly vllm?: string;
  readonly help: string;
  readonly labels?: readonly string[];
}

export type Labels = Readonly<Record<string, string | number>>;

const VLLM_PREFIX = 'vllm:';
const MODEL_LABEL = 'model_name';

/** The buckets of vLLM, so that its dashboards' quantiles mean the same. */
const FIRST_TOKEN = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
  160, 640, 2560,
];
const BETWEEN_TOKENS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5,
  7.5, 10, 20, 40, 80,
];
const WHOLE_REQUEST = [
  0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
];
const TOKENS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000,
];

const MOST_WAITING = 256;

/** Metrics of one meaning under all of their names. */
export class MetricSet {
  readonly registry: Registry = new Registry();
  readonly #options: MetricsOptions;

  constructor(options: MetricsOptions) {
    this.#options = options;
  }

  counter(family: Family): (labels: Labels, by: number) => void {
    const all = this.#names(family).map((names) => {
      const counter = new Counter({ ...names, registers: [this.registry] });
      return (labels: Labels, by: number) => counter.inc({ ...labels, ...names.model }, by);
    });
    if (family.labels === undefined) for (const add of all) add({}, 0);
    return (labels, by) => {
      for (const add of all) add(labels, by);
    };
  }

  gauge(family: Family): (labels: Labels, value: number) => void {
    const all = this.#names(family).map((names) => {
      const gauge = new Gauge({ ...names, registers: [this.registry] });
      return (labels: Labels, value: number) => gauge.set({ ...labels, ...names.model }, value);
    });
    return (labels, value) => {
      for (const set of all) set(labels, value);
    };
  }

  histogram(family: Family, buckets: readonly number[]): (value: number) => void {
    // Values of some hundred tokens are sorted into buckets together, or when somebody asks.
    const waiting: number[] = [];
    const collect = (): void => {
      for (const value of waiting) for (const observe of all) observe(value);
      waiting.length = 0;
    };
    const all = this.#names(family).map((names) => {
      const registers = [this.registry];
      const histogram = new Histogram({ ...names, buckets: [...buckets], registers, collect });
      histogram.zero(names.model);
      return (value: number) => histogram.observe(names.model, value);
    });
    return (value) => {
      waiting.push(value);
      if (waiting.length >= MOST_WAITING) collect();
    };
  }

  #names({ own, vllm, help, labels = [] }: Family): {
    name: string;
    help: string;
    labelNames: string[];
    model: Record<string, string>;
  }[] {
    const ours = { name: `moebius_${own}`, help, labelNames: [...labels], model: {} };
    if (vllm === undefined || this.#options.compat === 'none') return [ours];
    const theirs = {
      name: `${VLLM_PREFIX}${vllm}`,
      help,
      labelNames: [MODEL_LABEL, ...labels],
      model: { [MODEL_LABEL]: this.#options.modelId },
    };
    return [ours, theirs];
  }
}

/** Why a sequence did not come to its own end. */
export type AbortReason = 'client_gone' | 'slow_reader' | 'admin' | 'engine' | 'shutdown';

/** What the server itself sees of its requests. */
export interface RequestMetrics {
  onFirstToken(seconds: number): void;
  /** Tokens that came together, and the seconds since those before. */
  onTokens(numTokens: number, seconds: number): void;
  onEnd(end: EngineEnd, seconds: number): void;
  onAbort(reason: AbortReason): void;
  onResponse(status: number): void;
}

export function requestMetrics(set: MetricSet): RequestMetrics {
  const both = (name: string): { own: string; vllm: string } => ({ own: name, vllm: name });
  const seconds = (name: string, help: string, buckets: readonly number[]) =>
    set.histogram({ ...both(name), help }, buckets);
  const firstToken = seconds(
    'time_to_first_token_seconds',
    'From a request’s arrival to its first token.',
    FIRST_TOKEN,
  );
  const interToken = seconds(
    'inter_token_latency_seconds',
    'Between tokens; tokens that came together share the time since those before.',
    BETWEEN_TOKENS,
  );
  const interChunk = set.histogram(
    { own: 'inter_chunk_latency_seconds', help: 'Between steps that gave a request tokens.' },
    BETWEEN_TOKENS,
  );
  const whole = seconds('e2e_request_latency_seconds', 'From arrival to end.', WHOLE_REQUEST);
  const queue = seconds('request_queue_time_seconds', 'Waited for.', WHOLE_REQUEST);
  const prefill = seconds('request_prefill_time_seconds', 'Until the first token.', WHOLE_REQUEST);
  const decode = seconds('request_decode_time_seconds', 'After the first token.', WHOLE_REQUEST);
  const prompt = seconds('request_prompt_tokens', 'Tokens of prompts.', TOKENS);
  const generated = seconds('request_generation_tokens', 'Tokens of outputs.', TOKENS);
  const success = set.counter({
    own: 'request_success_total',
    vllm: 'request_success_total',
    help: 'Sequences that ended, by reason.',
    labels: ['finished_reason'],
  });
  const aborted = set.counter({
    own: 'requests_aborted_total',
    help: 'Sequences that were ended from outside, by reason.',
    labels: ['reason'],
  });
  const responses = set.counter({
    own: 'http_responses_total',
    help: 'HTTP responses by status; 499 where the client had gone.',
    labels: ['status'],
  });
  return {
    onFirstToken: firstToken,
    onTokens: (numTokens, gap) => {
      interChunk(gap);
      for (let i = 0; i < numTokens; i++) interToken(gap / numTokens);
    },
    onEnd: ({ reason, usage }, total) => {
      success({ finished_reason: reason }, 1);
      whole(total);
      queue(usage.queueSeconds);
      prefill(usage.prefillSeconds);
      decode(usage.decodeSeconds);
      prompt(usage.promptTokens);
      generated(usage.completionTokens);
    },
    onAbort: (reason) => aborted({ reason }, 1),
    onResponse: (status) => responses({ status }, 1),
  };
}
