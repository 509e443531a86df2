/** Calls of the protocol played without a model: a script says what the engine answers. */
import type {
  EngineEnd,
  EngineEvent,
  EngineToken,
  EngineUsage,
} from '../../src/serving/engineClient.ts';
import type {
  PreparedCall,
  ProtocolContext,
  StreamChunk,
} from '../../src/serving/openai/protocol.ts';
import { byteTokenizer } from '../../src/tokenizer/byteTokenizer.ts';
import { ChatTemplate, DEFAULT_CHAT_TEMPLATE } from '../../src/tokenizer/chatTemplate.ts';
import { DEFAULT_SPECIAL_TOKENS } from '../../src/tokenizer/specialTokens.ts';

const TOOL_TOKENS = [
  '<think>',
  '</think>',
  '<｜tool▁calls▁begin｜>',
  '<｜tool▁calls▁end｜>',
  '<｜tool▁call▁begin｜>',
  '<｜tool▁call▁end｜>',
  '<｜tool▁sep｜>',
  '<｜tool▁outputs▁begin｜>',
  '<｜tool▁outputs▁end｜>',
  '<｜tool▁output▁begin｜>',
  '<｜tool▁output▁end｜>',
];

const OPENS_THINKING = "{% if add_generation_prompt %}{{ '<think>\n' }}{% endif %}";

/** As R1's later template: every answer begins inside the thinking. */
export const THINKING_TEMPLATE: string = DEFAULT_CHAT_TEMPLATE + OPENS_THINKING;

export function contextOf(
  changes: Partial<ProtocolContext> & { readonly chatTemplate?: string } = {},
): ProtocolContext {
  const { chatTemplate, ...others } = changes;
  const tokenizer = byteTokenizer([...DEFAULT_SPECIAL_TOKENS, ...TOOL_TOKENS]);
  let numIds = 0;
  let numSeeds = 0;
  return {
    modelId: 'tiny',
    aliases: ['tiny-alias'],
    created: 1,
    tokenizer,
    template: new ChatTemplate(chatTemplate === undefined ? {} : { chatTemplate }),
    info: {
      maxContext: 1024,
      vocabSize: tokenizer.vocabSize,
      numMtpModules: 1,
      numBlocks: 64,
      blockSize: 16,
      maxSequences: 8,
      numRoutedExperts: 4,
      description: 'scripted',
    },
    defaults: { temperature: 0.6, topP: 0.95, topK: 0, minP: 0, repetitionPenalty: 1 },
    logProbabilitiesOf: 'model',
    beginning: 'bos',
    maxChoices: 16,
    now: () => 1_700_000_000.5,
    randomId: () => `id${numIds++}`,
    randomSeed: () => numSeeds++,
    formatNow: (format) => `[${format}]`,
    ...others,
  };
}

/** What a chat completion gives, as far as tests read it. */
export interface ChatBody {
  readonly choices: readonly {
    readonly finish_reason: string;
    readonly message: ChatAnswer;
    readonly logprobs: {
      readonly content: readonly {
        readonly bytes: readonly number[];
        readonly top_logprobs: readonly unknown[];
        readonly is_drafted?: boolean;
      }[];
      readonly reasoning_content?: readonly unknown[];
    } | null;
  }[];
  readonly usage: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly total_tokens: number;
    readonly prompt_tokens_details: { readonly cached_tokens: number };
    readonly prompt_cache_hit_tokens: number;
    readonly prompt_cache_miss_tokens: number;
    readonly completion_tokens_details: Readonly<Record<string, number>>;
    readonly draft_positions?: unknown;
  };
  readonly timings: Readonly<Record<string, number>>;
}

export interface ChatAnswer {
  readonly content: string | null;
  readonly reasoning_content?: string;
  readonly reasoning?: string;
  readonly tool_calls?: readonly {
    readonly id: string;
    readonly function: { readonly name: string; readonly arguments: string };
  }[];
}

export function contentOf(body: ChatBody): ChatAnswer {
  const [choice] = body.choices;
  if (choice === undefined) throw new Error('no choice');
  return choice.message;
}

export interface PlayOptions {
  /** Tokens of an event; all at once when left out. */
  readonly size?: number;
  readonly end?: Partial<EngineEnd>;
  readonly onChunks?: (chunks: readonly StreamChunk[]) => void;
}

/** Every request of the call is answered with `output`, as an engine would; @returns the body. */
export function play(
  call: PreparedCall,
  output: string,
  context: ProtocolContext,
  options: PlayOptions = {},
): ChatBody {
  const { tokenizer } = context;
  const size = options.size ?? Number.POSITIVE_INFINITY;
  for (const request of call.requests) {
    const { requestId, promptIds } = request;
    const ids = tokenizer.encode(output);
    const decoder = tokenizer.streamDecoder({ skipSpecialTokens: request.showsSpecial !== true });
    const give = (event: EngineEvent): void => {
      const chunks = call.renderer.onEvent(event);
      options.onChunks?.(chunks);
    };
    give({ requestId, text: '', tokens: [], started: { cachedTokens: 2 } });
    for (let from = 0; from < ids.length; from += size) {
      const part = ids.subarray(from, Math.min(ids.length, from + size));
      const text = [...part].map((id) => decoder.push(id)).join('');
      const tokens = [...part].map((id, i) => tokenOf(id, from + i));
      give({ requestId, text, tokens });
    }
    const usage = usageOf({ promptTokens: promptIds.length, completionTokens: ids.length });
    const end: EngineEnd = { reason: 'stop', stop: null, usage, ...options.end };
    give({ requestId, text: decoder.end(), tokens: [], end });
  }
  return call.renderer.body() as ChatBody;
}

function tokenOf(id: number, index: number): EngineToken {
  return {
    id,
    logProbability: -1 - index,
    isDrafted: index % 2 === 1,
    top: { ids: [id, 20, 21], logProbabilities: [-1 - index, -8, -9] },
  };
}

function usageOf(counts: {
  readonly promptTokens: number;
  readonly completionTokens: number;
}): EngineUsage {
  return {
    ...counts,
    cachedTokens: 2,
    drafted: 3,
    accepted: 2,
    draftedPerPosition: [3],
    acceptedPerPosition: [2],
    preemptions: 0,
    queueSeconds: 0.5,
    prefillSeconds: 1,
    decodeSeconds: 2,
  };
}
