/** `/v1/chat/completions`: what is asked, and what it becomes for the engine. */
import { z } from 'zod';
import type { GrammarSpec } from '../../grammar/grammar.ts';
import type { EngineRequest } from '../engineClient.ts';
import { answerOrCalls, callGrammar } from './callGrammar.ts';
import { type Message, messagesSchema } from './chatMessages.ts';
import { type ChatPrompt, chatPrompt } from './chatPrompt.ts';
import { ChatRenderer } from './chatRenderer.ts';
import { checkModel, type PlannedRequests, planRequests } from './engineRequests.ts';
import { CALL_END, markerId, THINK_END, templateTraits } from './markers.ts';
import { parserOptions } from './parserOptions.ts';
import type { Caller, PreparedCall, ProtocolContext } from './protocol.ts';
import { invalid } from './protocolError.ts';
import { bodyReader, type FieldSchemas, ignored, type Maybe, refused } from './readBody.ts';
import {
  IGNORED_FIELDS,
  type IgnoredFields,
  MAX_TOP_TOKENS,
  readSettings,
  SAMPLING_FIELDS,
  type SamplingFields,
  topSettings,
} from './samplingFields.ts';
import { readStructure, STRUCTURE_FIELDS, type StructureFields } from './structureFields.ts';
import {
  readThinking,
  THINKING_FIELDS,
  type ThinkingFields,
  type ThinkingWish,
} from './thinkingFields.ts';
import { readTools, TOOL_FIELDS, type ToolFields, type ToolUse } from './toolFields.ts';

export interface ChatFields
  extends SamplingFields,
    StructureFields,
    ThinkingFields,
    ToolFields,
    IgnoredFields {
  readonly model: Maybe<string>;
  readonly messages: readonly Message[];
  readonly max_completion_tokens: Maybe<number>;
  readonly logprobs: Maybe<boolean>;
  readonly top_logprobs: Maybe<number>;
  /** Beside each log probability: whether the token was a draft that stood. */
  readonly return_drafted: Maybe<boolean>;
  readonly include_reasoning: Maybe<boolean>;
  readonly add_generation_prompt: Maybe<boolean>;
  readonly continue_final_message: Maybe<boolean>;
  readonly skip_special_tokens: Maybe<true>;
  readonly modalities: Maybe<readonly 'text'[]>;
  readonly store: unknown;
  readonly verbosity: unknown;
  readonly prediction: unknown;
  readonly audio: Maybe<never>;
  readonly web_search_options: Maybe<never>;
  readonly chat_template: Maybe<never>;
  readonly echo: Maybe<false>;
  readonly documents: Maybe<never>;
}

const flag = z.boolean().nullish();

const FIELDS: FieldSchemas<ChatFields> = {
  model: z.string().nullish(),
  messages: messagesSchema,
  ...SAMPLING_FIELDS,
  ...STRUCTURE_FIELDS,
  ...THINKING_FIELDS,
  ...TOOL_FIELDS,
  ...IGNORED_FIELDS,
  max_completion_tokens: z.int().min(1).nullish(),
  logprobs: flag,
  top_logprobs: z.int().min(0).max(MAX_TOP_TOKENS).nullish(),
  return_drafted: flag,
  include_reasoning: flag,
  add_generation_prompt: flag,
  continue_final_message: flag,
  skip_special_tokens: z.literal(true, { error: 'chats never show control tokens' }).nullish(),
  modalities: z.array(z.literal('text')).nullish(),
  store: ignored,
  verbosity: ignored,
  prediction: ignored,
  audio: refused('the model writes text only'),
  web_search_options: refused('there is no web search here'),
  chat_template: refused('the template is the server’s; only its variables can be set'),
  echo: z.literal(false).nullish(),
  documents: refused('there is no retrieval here'),
};

const readBody = bodyReader(FIELDS);

/** @throws ProtocolError */
export function prepareChat(body: unknown, context: ProtocolContext, caller: Caller): PreparedCall {
  const fields = readBody(body);
  checkModel(fields.model, context);
  const thinking = readThinking(fields);
  const use = readTools(fields);
  const prompt = chatPrompt(
    { messages: fields.messages, tools: use.tools, thinking, continues: continuesOf(fields) },
    context,
  );
  const numTop = readNumTop(fields);
  const id = `chatcmpl-${context.randomId()}`;
  const limit = maxTokensOf(fields);
  const parts = { prompt, thinking, use, structure: readStructure(fields) };
  const plan = planChat(
    { id, parts, fields, numTop, limit, promptParam: 'messages' },
    context,
    caller,
  );
  return {
    ...plan,
    isStreaming: fields.stream ?? false,
    endsWithDone: true,
    renderer: new ChatRenderer({
      id,
      context,
      outputs: plan.outputs,
      parser: parserOptions(prompt.starts, use, context),
      special: 'shown',
      callIdPrefix: 'call_',
      numTop,
      tokenNames: fields.return_tokens_as_token_ids ? 'ids' : 'text',
      drafts: fields.return_drafted ? 'shown' : 'hidden',
      usage: usageWish(fields),
      reasoning: fields.include_reasoning === false ? 'hidden' : 'shown',
    }),
  };
}

export interface ChatParts {
  readonly prompt: ChatPrompt;
  readonly thinking: ThinkingWish;
  readonly use: ToolUse;
  readonly structure: GrammarSpec | null;
}

export interface ChatPlan {
  readonly id: string;
  readonly parts: ChatParts;
  readonly fields: SamplingFields;
  readonly numTop: number | null;
  /** And the field that it came from. */
  readonly limit: { readonly maxTokens: number | null; readonly param: string };
  readonly promptParam: string;
}

/** The requests of one chat, at any of the endpoints that are chats. @throws ProtocolError */
export function planChat(
  chat: ChatPlan,
  context: ProtocolContext,
  caller: Caller,
): PlannedRequests {
  const { id, parts, fields, numTop, limit, promptParam } = chat;
  return planRequests(
    {
      ...{ id, fields, promptParam },
      prompts: [parts.prompt.ids],
      settings: {
        ...readSettings(fields, context),
        ...chatSettings(parts, fields, context),
        ...topSettings(numTop, context),
      },
      ...{ maxTokens: limit.maxTokens, maxTokensParam: limit.param },
    },
    context,
    caller,
  );
}

/** What thinking, tools and structure ask of the engine. */
function chatSettings(
  { prompt, thinking, use, structure }: ChatParts,
  fields: Pick<SamplingFields, 'stop' | 'stop_token_ids'>,
  context: ProtocolContext,
): Partial<EngineRequest> {
  const { tokenizer } = context;
  const endId = markerId(tokenizer, THINK_END);
  const isThinking = prompt.starts === 'thinking';
  const grammar = grammarOf(use, structure, context);
  if (isThinking && endId === undefined && (grammar !== null || thinking.budget !== null)) {
    throw invalid('thinking', `the tokenizer has no token ${THINK_END}`, {
      hint: 'Turn thinking off to use a grammar, or leave its budget out.',
    });
  }
  if (thinking.budget !== null && !isThinking && thinking.wanted === true) {
    throw invalid('thinking.budget_tokens', 'the prompt does not open any thinking', {
      hint: 'Leave the budget out.',
    });
  }
  const callEnd = markerId(tokenizer, CALL_END);
  const isSingle = use.choice === 'auto' && !use.isParallel;
  const stopIds = [...(fields.stop_token_ids ?? [])];
  const stop = typeof fields.stop === 'string' ? [fields.stop] : [...(fields.stop ?? [])];
  if (isSingle && callEnd !== undefined) stopIds.push(callEnd);
  if (isSingle && callEnd === undefined) stop.push(CALL_END);
  const afterId = isThinking && endId !== undefined ? endId : null;
  return {
    showsSpecial: true,
    ...(stopIds.length === 0 ? {} : { stopIds }),
    ...(stop.length === 0 ? {} : { stop }),
    ...(grammar === null
      ? {}
      : { grammar: { spec: grammar.spec, afterId: grammar.afterId ?? afterId } }),
    ...(isThinking && thinking.budget !== null && endId !== undefined
      ? { thinking: { budget: thinking.budget, endId, closeIds: closeIds(endId, context) } }
      : {}),
  };
}

/** On a line of its own, as the model itself writes it. */
function closeIds(endId: number, { tokenizer }: ProtocolContext): readonly number[] {
  return [...tokenizer.encode('\n'), endId];
}

function grammarOf(
  use: ToolUse,
  structure: GrammarSpec | null,
  context: ProtocolContext,
): { readonly spec: GrammarSpec; readonly afterId: number | null } | null {
  const { tokenizer, template } = context;
  const language = { tokenizer, form: templateTraits(template).callForm };
  if (structure === null) return callGrammar(use, language);
  if (use.choice === 'none') return { spec: structure, afterId: null };
  if (use.choice !== 'auto') return callGrammar(use, language);
  return { spec: answerOrCalls(structure, use, language), afterId: null };
}

/** `prefix` on the last message, or vLLM's flag. */
function continuesOf(fields: ChatFields): 'newTurn' | 'lastMessage' | 'nothing' {
  const { messages } = fields;
  const marked = messages.findIndex((message) => message.role === 'assistant' && message.prefix);
  if (marked >= 0 && marked < messages.length - 1) {
    throw invalid(`messages[${marked}].prefix`, 'only the last message can be gone on with', {
      hint: 'Set prefix on the last message alone.',
    });
  }
  if (marked >= 0 || fields.continue_final_message) {
    if (fields.add_generation_prompt) {
      throw invalid('add_generation_prompt', 'a message that is gone on with opens no new turn', {
        hint: 'Leave add_generation_prompt out.',
      });
    }
    return 'lastMessage';
  }
  return fields.add_generation_prompt === false ? 'nothing' : 'newTurn';
}

function readNumTop(fields: ChatFields): number | null {
  if (fields.return_drafted && !fields.logprobs) {
    throw invalid('return_drafted', 'return_drafted needs logprobs', {
      hint: 'Set logprobs to true.',
    });
  }
  if (fields.logprobs) return fields.top_logprobs ?? 0;
  if (!fields.top_logprobs) return null;
  throw invalid('top_logprobs', 'top_logprobs needs logprobs', { hint: 'Set logprobs to true.' });
}

function maxTokensOf(fields: ChatFields): { maxTokens: number | null; param: string } {
  const { max_tokens: older, max_completion_tokens: newer } = fields;
  if (older != null && newer != null && older !== newer) {
    throw invalid('max_tokens', 'max_tokens and max_completion_tokens disagree', {
      hint: 'Send max_completion_tokens alone.',
      values: { max_tokens: older, max_completion_tokens: newer },
    });
  }
  return {
    maxTokens: newer ?? older ?? null,
    param: newer != null ? 'max_completion_tokens' : 'max_tokens',
  };
}

export function usageWish(
  fields: Pick<SamplingFields, 'stream' | 'stream_options'>,
): 'none' | 'last' {
  const { stream, stream_options: options } = fields;
  if (options && !stream) {
    throw invalid('stream_options', 'stream_options needs a stream', {
      hint: 'Set stream to true.',
    });
  }
  return options?.include_usage ? 'last' : 'none';
}
