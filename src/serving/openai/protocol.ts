/**
 * The boundary between HTTP and the engine, as data: a request's body becomes `EngineRequest`s, and
 * the events that come back become the response, whole or in chunks.
 *
 *   body ── prepare ──► requests ──► engine ──► events ── renderer ──► chunks | body
 *
 * One renderer makes both forms from the same state, so streamed text always equals unstreamed
 * text. Nothing here knows HTTP, a clock or chance: time, ids and seeds are passed in.
 */

import type { Tokenizer } from '../../tokenizer/byteLevelBpe.ts';
import type { ChatTemplate } from '../../tokenizer/chatTemplate.ts';
import type { EngineEvent, EngineInfo, EngineRequest } from '../engineClient.ts';
import type { ProtocolError } from './protocolError.ts';

/**
 * `completions` at DeepSeek's `/beta` address are the same as at `/v1`; so are chats, where a last
 * assistant message with `prefix: true` is continued.
 */
export type Endpoint = 'chat' | 'completions' | 'responses' | 'messages';

/** What a request is read against. All of it but the functions stays while a server lives. */
export interface ProtocolContext {
  /** The name that responses give. */
  readonly modelId: string;
  /** Further names that requests may give. */
  readonly aliases: readonly string[];
  /** Seconds since 1970 that `/v1/models` shows. */
  readonly created: number;
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  readonly info: EngineInfo;
  readonly defaults: GenerationDefaults;
  /** Which logits `logprobs` tell of: before temperature and adjustments (`model`), or after. */
  readonly logProbabilitiesOf: 'model' | 'sampler';
  /** What stands before a plain prompt: BOS, or what the tokenizer's own file says. */
  readonly beginning: 'bos' | 'template';
  /** Choices that one request may ask for, over all of its prompts. */
  readonly maxChoices: number;
  /** Seconds since 1970. */
  now(): number;
  /** Unguessable, at least 128 bits, letters and digits only. */
  randomId(): string;
  /** A whole number from 0 to 2^32 − 1, for requests without a seed. */
  randomSeed(): number;
  /** The date for templates that ask for it, as strftime writes it. */
  formatNow(format: string): string;
}

/** Of `generation_config.json`; what a request leaves out. */
export interface GenerationDefaults {
  readonly temperature: number;
  readonly topP: number;
  /** 0 keeps all. */
  readonly topK: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
}

export interface Caller {
  /** Requests share cached prefixes only with those of the same salt. */
  readonly cacheSalt?: string;
  /** Lower goes first, unless the body says so itself. */
  readonly priority?: number;
}

/** A request that was understood. */
export interface PreparedCall {
  /** One for each choice of each prompt, to be submitted together. Ids are unguessable. */
  readonly requests: readonly EngineRequest[];
  readonly isStreaming: boolean;
  /** A stream ends with `data: [DONE]`. */
  readonly endsWithDone: boolean;
  readonly renderer: ResponseRenderer;
  /** Of all prompts together, each counted once. */
  readonly promptTokens: number;
  /** Positions that all requests may take together: prompts and allowed outputs. */
  readonly maxTotalTokens: number;
}

/** One server-sent event. `data` is yet to become JSON. */
export interface StreamChunk {
  readonly event?: string;
  readonly data: object;
}

export interface ResponseRenderer {
  /** What a stream opens with, before any event. */
  begin(): readonly StreamChunk[];
  /** Takes an event of any of the requests; gives what a stream sends for it, often nothing. */
  onEvent(event: EngineEvent): readonly StreamChunk[];
  /** All requests have ended, and all chunks were given. */
  readonly isDone: boolean;
  /**
   * Why it failed, once it has: the response of a request that does not stream, and a chunk with
   * this error was already given to one that does.
   */
  readonly failure: ProtocolError | null;
  /** The whole response. Only when it is done and has not failed. */
  body(): object;
}
