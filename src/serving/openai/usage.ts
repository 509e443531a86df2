/**
 * What a call cost: OpenAI's usage object, DeepSeek's cache counts beside it, the acceptance of
 * drafts, and llama.cpp's `timings`.
 */
import type { EngineUsage } from '../engineClient.ts';

/** The counts of one output. */
export interface OutputCounts {
  readonly usage: EngineUsage;
  readonly numReasoning: number;
  /** Choices of one prompt share it; it counts once. */
  readonly promptIndex: number;
}

export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
  readonly completion_tokens_details: {
    readonly reasoning_tokens: number;
    readonly accepted_prediction_tokens: number;
    readonly rejected_prediction_tokens: number;
  };
  readonly prompt_cache_hit_tokens: number;
  readonly prompt_cache_miss_tokens: number;
  /** Drafts at each place behind a token (first, second …): how many were run, how many stood. */
  readonly draft_positions?: readonly { readonly drafted: number; readonly accepted: number }[];
}

export function usageOf(outputs: readonly OutputCounts[]): Usage {
  const first = firstOfPrompts(outputs);
  const prompt = sum(first, (output) => output.usage.promptTokens);
  const cached = sum(first, (output) => output.usage.cachedTokens);
  const completion = sum(outputs, (output) => output.usage.completionTokens);
  const drafted = sum(outputs, (output) => output.usage.drafted);
  const accepted = sum(outputs, (output) => output.usage.accepted);
  const numPlaces = Math.max(0, ...outputs.map(({ usage }) => usage.draftedPerPosition.length));
  const places = Array.from({ length: numPlaces }, (_, i) => ({
    drafted: sum(outputs, ({ usage }) => usage.draftedPerPosition[i] ?? 0),
    accepted: sum(outputs, ({ usage }) => usage.acceptedPerPosition[i] ?? 0),
  }));
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cached },
    completion_tokens_details: {
      reasoning_tokens: sum(outputs, (output) => output.numReasoning),
      accepted_prediction_tokens: accepted,
      rejected_prediction_tokens: drafted - accepted,
    },
    prompt_cache_hit_tokens: cached,
    prompt_cache_miss_tokens: prompt - cached,
    ...(drafted === 0 ? {} : { draft_positions: places }),
  };
}

/** llama.cpp's names; milliseconds. With several outputs the sums over them. */
export function timingsOf(outputs: readonly OutputCounts[]): object {
  const promptTokens = sum(outputs, ({ usage }) => usage.promptTokens - usage.cachedTokens);
  const promptMs = 1000 * sum(outputs, ({ usage }) => usage.prefillSeconds);
  const tokens = sum(outputs, ({ usage }) => usage.completionTokens);
  const decodeMs = 1000 * sum(outputs, ({ usage }) => usage.decodeSeconds);
  return {
    queue_ms: 1000 * sum(outputs, ({ usage }) => usage.queueSeconds),
    cache_n: sum(outputs, ({ usage }) => usage.cachedTokens),
    prompt_n: promptTokens,
    prompt_ms: promptMs,
    prompt_per_token_ms: ratio(promptMs, promptTokens),
    prompt_per_second: ratio(1000 * promptTokens, promptMs),
    predicted_n: tokens,
    predicted_ms: decodeMs,
    predicted_per_token_ms: ratio(decodeMs, tokens),
    predicted_per_second: ratio(1000 * tokens, decodeMs),
    draft_n: sum(outputs, ({ usage }) => usage.drafted),
    draft_n_accepted: sum(outputs, ({ usage }) => usage.accepted),
    preemptions: sum(outputs, ({ usage }) => usage.preemptions),
  };
}

function firstOfPrompts(outputs: readonly OutputCounts[]): readonly OutputCounts[] {
  return outputs.filter(
    ({ promptIndex }, i) => outputs.findIndex((each) => each.promptIndex === promptIndex) === i,
  );
}

function sum(outputs: readonly OutputCounts[], of: (output: OutputCounts) => number): number {
  return outputs.reduce((total, output) => total + of(output), 0);
}

function ratio(above: number, below: number): number {
  return below === 0 ? 0 : above / below;
}
