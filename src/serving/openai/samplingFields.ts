/**
 * The fields of all endpoints that say how tokens are drawn and when a text ends, and what they
 * become for the engine. OpenAI's names and ranges; vLLM's and llama.cpp's where OpenAI has none.
 */
import { z } from 'zod';
import type { Sampling } from '../../program/instruction.ts';
import type { EngineRequest, Penalties } from '../engineClient.ts';
import type { ProtocolContext } from './protocol.ts';
import { invalid } from './protocolError.ts';
import { type FieldSchemas, ignored, type Maybe, refused } from './readBody.ts';

/** OpenAI allows 4, DeepSeek 16. */
const MAX_STOPS = 16;
const MAX_STOP_CHARACTERS = 1024;
const MAX_BIASES = 4096;
export const MAX_TOP_TOKENS = 20;

const stopString = z.string().min(1).max(MAX_STOP_CHARACTERS);

/** Fields of others that change nothing here, taken so that their clients work. */
export const IGNORED_FIELDS: FieldSchemas<IgnoredFields> = {
  user: ignored,
  metadata: ignored,
  service_tier: ignored,
  safety_identifier: ignored,
  prompt_cache_key: ignored,
  prompt_cache_retention: ignored,
  cache_prompt: ignored,
  spaces_between_special_tokens: ignored,
  request_id: ignored,
};

export interface IgnoredFields {
  readonly user: unknown;
  readonly metadata: unknown;
  readonly service_tier: unknown;
  readonly safety_identifier: unknown;
  readonly prompt_cache_key: unknown;
  readonly prompt_cache_retention: unknown;
  /** Of llama.cpp: prompts are always cached. */
  readonly cache_prompt: unknown;
  readonly spaces_between_special_tokens: unknown;
  readonly request_id: unknown;
}

export interface SamplingFields {
  readonly temperature: Maybe<number>;
  readonly top_p: Maybe<number>;
  /** −1 and 0 keep all. */
  readonly top_k: Maybe<number>;
  readonly min_p: Maybe<number>;
  readonly presence_penalty: Maybe<number>;
  readonly frequency_penalty: Maybe<number>;
  readonly repetition_penalty: Maybe<number>;
  readonly logit_bias: Maybe<Readonly<Record<string, number>>>;
  readonly seed: Maybe<number | string>;
  readonly stop: Maybe<string | readonly string[]>;
  readonly stop_token_ids: Maybe<readonly number[]>;
  readonly n: Maybe<number>;
  readonly max_tokens: Maybe<number>;
  readonly min_tokens: Maybe<number>;
  readonly ignore_eos: Maybe<boolean>;
  readonly return_tokens_as_token_ids: Maybe<boolean>;
  /** Drafts of the MTP modules in a step; `auto` leaves it to the engine. */
  readonly num_drafts: Maybe<number | 'auto'>;
  readonly priority: Maybe<number>;
  readonly cache_salt: Maybe<string>;
  readonly stream: Maybe<boolean>;
  readonly stream_options: Maybe<StreamOptions>;
  readonly length_penalty: Maybe<1>;
  readonly use_beam_search: Maybe<false>;
  readonly best_of: Maybe<number>;
  readonly truncate_prompt_tokens: Maybe<never>;
  readonly prompt_logprobs: Maybe<never>;
}

export interface StreamOptions {
  readonly include_usage?: Maybe<boolean>;
  readonly include_obfuscation?: unknown;
}

const flag = z.boolean().nullish();

export const SAMPLING_FIELDS: FieldSchemas<SamplingFields> = {
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(-1).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  repetition_penalty: z.number().positive().max(10).nullish(),
  logit_bias: z.record(z.string(), z.number().min(-100).max(100)).nullish(),
  seed: z.union([z.number(), z.string().regex(/^-?\d{1,20}$/)]).nullish(),
  stop: z.union([stopString, z.array(stopString).max(MAX_STOPS)]).nullish(),
  stop_token_ids: z.array(z.int().min(0)).max(64).nullish(),
  n: z.int().min(1).nullish(),
  max_tokens: z.int().min(1).nullish(),
  min_tokens: z.int().min(0).nullish(),
  ignore_eos: flag,
  return_tokens_as_token_ids: flag,
  num_drafts: z.union([z.int().min(0).max(8), z.literal('auto')]).nullish(),
  priority: z.int().min(-1000).max(1000).nullish(),
  cache_salt: z.string().min(1).max(256).nullish(),
  stream: flag,
  stream_options: z
    .strictObject({
      include_usage: flag,
      continuous_usage_stats: z.literal(false, { error: 'usage comes once, at the end' }).nullish(),
      include_obfuscation: ignored,
    })
    .nullish(),
  length_penalty: z.literal(1).nullish(),
  use_beam_search: z.literal(false).nullish(),
  best_of: z.int().nullish(),
  truncate_prompt_tokens: refused('prompts are never cut'),
  prompt_logprobs: refused('log probabilities of prompts are not computed'),
};

/** @param numTop likeliest tokens beside each; null asks for no log probabilities */
export function topSettings(
  numTop: number | null,
  { logProbabilitiesOf: of }: ProtocolContext,
): Partial<EngineSettings> {
  return numTop === null ? {} : { logProbabilities: { of, numTop } };
}

/** What does not depend on prompt and choice. */
export type EngineSettings = Omit<EngineRequest, 'requestId' | 'promptIds' | 'maxTokens'>;

/** @throws ProtocolError 400 */
export function readSettings(fields: SamplingFields, context: ProtocolContext): EngineSettings {
  const stop = typeof fields.stop === 'string' ? [fields.stop] : (fields.stop ?? []);
  const penalties = readPenalties(fields, context);
  const logitBias = readBias(fields.logit_bias ?? {}, context);
  const numDrafts = fields.num_drafts ?? 'auto';
  if (typeof numDrafts === 'number' && numDrafts > 0 && context.info.numMtpModules === 0) {
    throw invalid('num_drafts', 'the model has no MTP module to draft with', {
      hint: 'Leave num_drafts out.',
    });
  }
  for (const id of fields.stop_token_ids ?? []) checkId(id, 'stop_token_ids', context);
  return {
    sampling: readSampling(fields, context),
    ...(penalties === null ? {} : { penalties }),
    ...(logitBias.length === 0 ? {} : { logitBias }),
    ...(stop.length === 0 ? {} : { stop }),
    ...(fields.stop_token_ids?.length ? { stopIds: fields.stop_token_ids } : {}),
    ...(fields.min_tokens ? { minTokens: fields.min_tokens } : {}),
    ...(fields.ignore_eos ? { ignoresEnd: true } : {}),
    ...(numDrafts === 'auto' ? {} : { numDrafts }),
    ...(fields.priority ? { priority: fields.priority } : {}),
  };
}

function readSampling(fields: SamplingFields, context: ProtocolContext): Sampling {
  const { defaults } = context;
  const topP = fields.top_p ?? defaults.topP;
  const topK = fields.top_k ?? defaults.topK;
  return {
    temperature: fields.temperature ?? defaults.temperature,
    // Nothing is left of zero probability but the likeliest token.
    topP: topP === 0 ? 1 : topP,
    topK: topP === 0 ? 1 : Math.max(0, topK),
    minP: fields.min_p ?? defaults.minP,
    seed: seedOf(fields.seed ?? null) ?? context.randomSeed(),
  };
}

function readPenalties(fields: SamplingFields, context: ProtocolContext): Penalties | null {
  const presence = fields.presence_penalty ?? 0;
  const frequency = fields.frequency_penalty ?? 0;
  const repetition = fields.repetition_penalty ?? context.defaults.repetitionPenalty;
  const isNone = presence === 0 && frequency === 0 && repetition === 1;
  return isNone ? null : { presence, frequency, repetition };
}

function readBias(
  bias: Readonly<Record<string, number>>,
  context: ProtocolContext,
): readonly { readonly id: number; readonly bias: number }[] {
  const entries = Object.entries(bias);
  if (entries.length > MAX_BIASES) {
    throw invalid('logit_bias', `logit_bias names ${entries.length} tokens`, {
      hint: `Name at most ${MAX_BIASES}.`,
    });
  }
  return entries.map(([key, value]) => {
    const id = /^\d{1,9}$/.test(key) ? Number(key) : -1;
    checkId(id, `logit_bias.${key}`, context);
    return { id, bias: value };
  });
}

export function checkId(id: number, param: string, { info }: ProtocolContext): void {
  if (Number.isInteger(id) && id >= 0 && id < info.vocabSize) return;
  throw invalid(param, `${param} is no token`, {
    hint: `Name tokens by their ids, 0 to ${info.vocabSize - 1}.`,
  });
}

/**
 * Chance takes 32 bits of seed; those of a 64-bit one are mixed, so that no two near ones agree.
 * Seeds below 2^32 stay what they are. A string keeps all digits, a number those that JSON kept.
 */
export function seedOf(seed: number | string | null): number | null {
  if (seed === null) return null;
  if (typeof seed === 'number' && !Number.isInteger(seed)) {
    throw invalid('seed', 'seed is no whole number', { hint: 'Give a whole number.' });
  }
  const bits = BigInt.asUintN(64, BigInt(seed));
  if (bits < 1n << 32n) return Number(bits);
  return mixSeed(Number(bits & 0xffffffffn), Number(bits >> 32n));
}

/** The seed of a further choice: another stream of chance for the same request. */
export function choiceSeed(seed: number, choice: number): number {
  return choice === 0 ? seed : mixSeed(seed, choice);
}

/** splitmix32's finish over both halves. */
function mixSeed(low: number, high: number): number {
  let z = (low ^ Math.imul(high, 0x9e3779b1)) >>> 0;
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return (z ^ (z >>> 15)) >>> 0;
}

/**
 * How many tokens may come. Without a wish: what the context still holds.
 *
 * @throws ProtocolError 400 context_length_exceeded; nothing is ever cut
 */
export function roomFor(
  promptTokens: number,
  asked: {
    readonly maxTokens: number | null;
    /** Fields that the answer names. */
    readonly param: string;
    readonly promptParam: string;
  },
  { info }: ProtocolContext,
): number {
  const room = info.maxContext - promptTokens;
  const { maxTokens, param } = asked;
  if (room >= 1 && (maxTokens ?? 1) <= room) return maxTokens ?? room;
  const what =
    maxTokens === null || room < 1
      ? `the prompt has ${promptTokens} tokens`
      : `the prompt has ${promptTokens} tokens, with ${maxTokens} to come ` +
        `${promptTokens + maxTokens}`;
  throw invalid(
    room < 1 ? asked.promptParam : param,
    `${what}; the context holds ${info.maxContext}`,
    {
      apiCode: 'context_length_exceeded',
      values: {
        n_prompt_tokens: promptTokens,
        n_ctx: info.maxContext,
        ...(maxTokens === null ? {} : { n_max_tokens: maxTokens }),
      },
      hint:
        room < 1
          ? `Shorten the prompt to at most ${info.maxContext - 1} tokens.`
          : `Ask for at most ${room} tokens, or shorten the prompt.`,
    },
  );
}
