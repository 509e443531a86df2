/**
 * What a conversation asks of the server, and the parts of the answer that are read. A model of
 * chats is asked at `/v1/chat/completions`; one that has only seen text goes on with the text so
 * far, at `/v1/completions`, whose older form of log probabilities is read as the newer one.
 */
import type { StreamUsage } from '../../src/cli/client/completionStream.ts';

/** How one talks to a model: in turns, or by beginning a text that it goes on with. */
export type Manner = 'chat' | 'text';

export interface ChatSettings {
  /** `auto`: as the served checkpoint was trained. */
  readonly manner: Manner | 'auto';
  readonly system: string;
  readonly temperature: number;
  readonly topP: number;
  /** 0 keeps all. */
  readonly topK: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
  readonly maxTokens: number;
  /** null: another one for each reply. */
  readonly seed: number | null;
  readonly drafts: 'auto' | 'off';
  readonly thinking: 'auto' | 'on' | 'off';
  /** Log probabilities with the likeliest others, and which tokens were drafts. */
  readonly details: 'on' | 'off';
}

export const DEFAULT_SETTINGS: ChatSettings = {
  manner: 'auto',
  system: '',
  temperature: 0.7,
  topP: 0.95,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
  maxTokens: 512,
  seed: null,
  drafts: 'auto',
  thinking: 'auto',
  details: 'on',
};

export const NUM_TOP = 5;

export interface Turn {
  readonly role: 'user' | 'assistant';
  readonly content: string;
}

export interface ReplyRequest {
  readonly path: string;
  readonly body: object;
}

export function replyRequest(
  turns: readonly Turn[],
  settings: ChatSettings,
  manner: Manner,
): ReplyRequest {
  return manner === 'chat'
    ? { path: '/v1/chat/completions', body: requestBody(turns, settings) }
    : { path: '/v1/completions', body: textBody(turns, settings) };
}

export function requestBody(turns: readonly Turn[], settings: ChatSettings): object {
  const { system, thinking, details } = settings;
  return {
    messages: [...(system === '' ? [] : [{ role: 'system', content: system }]), ...turns],
    ...samplingOf(settings),
    max_completion_tokens: settings.maxTokens,
    ...(thinking === 'auto'
      ? {}
      : { thinking: { type: thinking === 'on' ? 'enabled' : 'disabled' } }),
    ...(details === 'on' ? { logprobs: true, top_logprobs: NUM_TOP, return_drafted: true } : {}),
  };
}

function textBody(turns: readonly Turn[], settings: ChatSettings): object {
  return {
    prompt: joinedText(turns),
    ...samplingOf(settings),
    max_tokens: settings.maxTokens,
    ...(settings.details === 'on' ? { logprobs: NUM_TOP, return_drafted: true } : {}),
  };
}

function samplingOf(settings: ChatSettings): object {
  const { seed, drafts } = settings;
  return {
    stream: true,
    stream_options: { include_usage: true },
    temperature: settings.temperature,
    top_p: settings.topP,
    top_k: settings.topK,
    min_p: settings.minP,
    repetition_penalty: settings.repetitionPenalty,
    ...(seed === null ? {} : { seed }),
    ...(drafts === 'off' ? { num_drafts: 0 } : {}),
  };
}

/** One text of all turns: the model's words follow ours as they are, ours begin a new line. */
export function joinedText(turns: readonly Turn[]): string {
  let text = '';
  for (const { role, content } of turns) {
    const isOpen = role === 'user' && text !== '' && !/\s$/.test(text) && !/^\s/.test(content);
    text += isOpen ? `\n${content}` : content;
  }
  return text;
}

/** A token as the server tells of it. */
export interface ToldToken {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[] | null;
  readonly is_drafted?: boolean;
  readonly top_logprobs?: readonly { readonly token: string; readonly logprob: number }[];
}

/** Milliseconds, with llama.cpp's names. */
export interface Timings {
  readonly prompt_n?: number;
  readonly prompt_ms?: number;
  readonly predicted_n?: number;
  readonly predicted_ms?: number;
  readonly predicted_per_second?: number;
  readonly draft_n?: number;
  readonly draft_n_accepted?: number;
}

export interface ChatChunk {
  readonly choices?: readonly {
    readonly delta?: {
      readonly content?: string | null;
      readonly reasoning_content?: string | null;
    } | null;
    readonly logprobs?: {
      readonly content?: readonly ToldToken[] | null;
      readonly reasoning_content?: readonly ToldToken[] | null;
    } | null;
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: StreamUsage | null;
  readonly timings?: Timings;
  readonly error?: { readonly message?: string; readonly hint?: string | null };
}

/** Of `/v1/completions`; what is not here is as in a chat. */
export interface TextChunk extends Omit<ChatChunk, 'choices'> {
  readonly choices?: readonly {
    readonly text?: string;
    readonly logprobs?: {
      readonly tokens: readonly string[];
      readonly token_logprobs: readonly number[];
      readonly top_logprobs?: readonly Readonly<Record<string, number>>[];
      readonly is_drafted?: readonly boolean[];
    } | null;
    readonly finish_reason?: string | null;
  }[];
}

/** A chunk of a text as one of a chat. */
export function asChatChunk({ choices, ...rest }: TextChunk): ChatChunk {
  if (choices === undefined) return rest;
  return {
    ...rest,
    choices: choices.map(({ text = '', logprobs, finish_reason = null }) => ({
      delta: { content: text },
      logprobs: logprobs == null ? null : { content: toldTokens(text, logprobs) },
      finish_reason,
    })),
  };
}

type TextLogprobs = NonNullable<NonNullable<TextChunk['choices']>[number]['logprobs']>;

/**
 * Tokens that are parts of a character say no bytes here: the last of a chunk then has those of all
 * its text, and the ones before it have none.
 */
function toldTokens(text: string, told: TextLogprobs): readonly ToldToken[] {
  const isWhole = told.tokens.join('') === text;
  const encode = (part: string): readonly number[] => [...new TextEncoder().encode(part)];
  return told.tokens.map((token, i) => ({
    token,
    logprob: told.token_logprobs[i] ?? Number.NEGATIVE_INFINITY,
    bytes: isWhole ? encode(token) : i < told.tokens.length - 1 ? [] : encode(text),
    is_drafted: told.is_drafted?.[i] ?? false,
    top_logprobs: Object.entries(told.top_logprobs?.[i] ?? {}).map(([each, logprob]) => {
      return { token: each, logprob };
    }),
  }));
}
