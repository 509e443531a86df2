/**
 * A conversation as a pure state machine: what was said, what is on its way, how it ended. The page
 * sends it actions and shows what it is; the network is `streamReply.ts`.
 *
 *     send ──► replying ──chunk──► replying ──finish──► idle
 *                 │ stop: what came stays   │ fail: the message says why
 *
 * Actions of a reply name it by its id: what still comes of one that was stopped changes nothing.
 */
import type { StreamUsage } from '../../src/cli/client/completionStream.ts';
import {
  type ChatChunk,
  type ChatSettings,
  DEFAULT_SETTINGS,
  type Timings,
  type ToldToken,
  type Turn,
} from './chatRequest.ts';

export interface UserMessage {
  readonly role: 'user';
  readonly id: number;
  readonly content: string;
}

export interface Reply {
  readonly role: 'assistant';
  readonly id: number;
  readonly content: string;
  readonly reasoning: string;
  readonly tokens: readonly ToldToken[];
  readonly reasoningTokens: readonly ToldToken[];
  readonly state: ReplyState;
  /** As the server said it, before the stream ended. */
  readonly finishReason: string | null;
  readonly usage: StreamUsage | null;
  readonly timings: Timings | null;
}

export type ReplyState =
  | { readonly kind: 'streaming' }
  /** `length`: it came to the limit of tokens. */
  | { readonly kind: 'done'; readonly reason: string }
  | { readonly kind: 'stopped' }
  /** The stream ended without an end. */
  | { readonly kind: 'cut' }
  | { readonly kind: 'failed'; readonly message: string };

export type Message = UserMessage | Reply;

export interface Conversation {
  readonly messages: readonly Message[];
  readonly settings: ChatSettings;
  readonly nextId: number;
}

export type ChatAction =
  | { readonly kind: 'send'; readonly text: string }
  /** Says a message of the user anew; what came behind it is forgotten. */
  | { readonly kind: 'edit'; readonly id: number; readonly text: string }
  /** Another reply in place of the last one. */
  | { readonly kind: 'regenerate' }
  | { readonly kind: 'chunk'; readonly id: number; readonly chunk: ChatChunk }
  | { readonly kind: 'finish'; readonly id: number }
  | { readonly kind: 'stop' }
  | { readonly kind: 'fail'; readonly id: number; readonly message: string }
  | { readonly kind: 'set'; readonly settings: Partial<ChatSettings> }
  | { readonly kind: 'clear' };

export const NEW_CONVERSATION: Conversation = {
  messages: [],
  settings: DEFAULT_SETTINGS,
  nextId: 1,
};

export function converse(state: Conversation, action: ChatAction): Conversation {
  switch (action.kind) {
    case 'send':
      if (action.text.trim() === '' || replying(state) !== null) return state;
      return asked(state, [...state.messages, userMessage(state.nextId, action.text)]);
    case 'edit': {
      const index = state.messages.findIndex(({ id, role }) => id === action.id && role === 'user');
      if (index < 0 || action.text.trim() === '' || replying(state) !== null) return state;
      const kept = state.messages.slice(0, index);
      return asked(state, [...kept, userMessage(state.nextId, action.text)]);
    }
    case 'regenerate':
      if (state.messages.at(-1)?.role !== 'assistant' || replying(state) !== null) return state;
      return asked(state, state.messages.slice(0, -1));
    case 'chunk':
      return changed(state, action.id, (reply) => withChunk(reply, action.chunk));
    case 'finish':
      return changed(state, action.id, (reply) => {
        const { finishReason: reason } = reply;
        return { ...reply, state: reason === null ? { kind: 'cut' } : { kind: 'done', reason } };
      });
    case 'stop': {
      const reply = replying(state);
      if (reply === null) return state;
      return changed(state, reply.id, (each) => ({ ...each, state: { kind: 'stopped' } }));
    }
    case 'fail':
      return changed(state, action.id, (reply) => {
        return { ...reply, state: { kind: 'failed', message: action.message } };
      });
    case 'set':
      return { ...state, settings: { ...state.settings, ...action.settings } };
    case 'clear':
      // Ids go on: chunks of a reply that was cleared find nothing.
      return { ...state, messages: [] };
    default:
      return action satisfies never;
  }
}

/** The reply that is on its way. */
export function replying({ messages }: Conversation): Reply | null {
  const last = messages.at(-1);
  return last?.role === 'assistant' && last.state.kind === 'streaming' ? last : null;
}

/** What the server is asked to answer: all before the reply, but for replies that say nothing. */
export function turnsBefore({ messages }: Conversation, replyId: number): readonly Turn[] {
  const end = messages.findIndex(({ id }) => id === replyId);
  return messages
    .slice(0, end < 0 ? messages.length : end)
    .filter(({ content }) => content !== '')
    .map(({ role, content }) => ({ role, content }));
}

/** A place for text that outlives the page. */
export interface TextStore {
  readonly read: () => string | undefined;
  readonly write: (text: string) => void;
}

const VERSION = 1;

/** Replies whose tokens are kept too: a browser keeps 5 MB, a token with its likeliest is 500 B. */
const MOST_WITH_TOKENS = 4;

export function keep(store: TextStore, { messages, settings, nextId }: Conversation): void {
  const first = messages.length - 2 * MOST_WITH_TOKENS;
  const kept = messages.map((message, i) =>
    message.role === 'user' || i >= first
      ? message
      : { ...message, tokens: [], reasoningTokens: [] },
  );
  store.write(JSON.stringify({ version: VERSION, messages: kept, settings, nextId }));
}

/** A reply that was on its way when the page was left has stopped. What cannot be read is left. */
export function recall(store: TextStore): Conversation {
  const kept = parsed(store.read());
  if (kept === null) return NEW_CONVERSATION;
  const messages = kept.messages.map((message): Message => {
    if (message.role === 'user' || message.state.kind !== 'streaming') return message;
    return { ...message, state: { kind: 'stopped' } };
  });
  const settings = { ...DEFAULT_SETTINGS, ...kept.settings };
  return { messages, settings, nextId: kept.nextId };
}

function parsed(text: string | undefined): Conversation | null {
  try {
    const kept = JSON.parse(text ?? 'null') as (Conversation & { version: number }) | null;
    return kept?.version === VERSION && Array.isArray(kept.messages) ? kept : null;
  } catch {
    return null;
  }
}

function userMessage(id: number, content: string): UserMessage {
  return { role: 'user', id, content };
}

/** The messages with an empty reply behind them. */
function asked(state: Conversation, messages: readonly Message[]): Conversation {
  const id = state.nextId + 1;
  const reply: Reply = {
    ...{ role: 'assistant', id, content: '', reasoning: '', tokens: [], reasoningTokens: [] },
    ...{ state: { kind: 'streaming' }, finishReason: null, usage: null, timings: null },
  };
  return { ...state, messages: [...messages, reply], nextId: id + 1 };
}

/** Only a reply that is on its way changes. */
function changed(state: Conversation, id: number, change: (reply: Reply) => Reply): Conversation {
  const reply = replying(state);
  if (reply === null || reply.id !== id) return state;
  return { ...state, messages: [...state.messages.slice(0, -1), change(reply)] };
}

function withChunk(reply: Reply, chunk: ChatChunk): Reply {
  if (chunk.error !== undefined) {
    const { message = 'the server gave no reason', hint } = chunk.error;
    const whole = hint ? `${message}. ${hint}` : message;
    return { ...reply, state: { kind: 'failed', message: whole } };
  }
  const [choice] = chunk.choices ?? [];
  const { delta, logprobs } = choice ?? {};
  return {
    ...reply,
    content: reply.content + (delta?.content ?? ''),
    reasoning: reply.reasoning + (delta?.reasoning_content ?? ''),
    tokens: joined(reply.tokens, logprobs?.content),
    reasoningTokens: joined(reply.reasoningTokens, logprobs?.reasoning_content),
    finishReason: choice?.finish_reason ?? reply.finishReason,
    usage: chunk.usage ?? reply.usage,
    timings: chunk.timings ?? reply.timings,
  };
}

function joined(
  before: readonly ToldToken[],
  more: readonly ToldToken[] | null | undefined,
): readonly ToldToken[] {
  return more == null || more.length === 0 ? before : [...before, ...more];
}
