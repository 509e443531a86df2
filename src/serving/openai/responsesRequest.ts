/**
 * `/v1/responses`, stateless: items become the messages of a chat, and nothing is kept. What needs
 * a memory (`previous_response_id`, conversations, background work) is refused by name.
 */
import { z } from 'zod';
import type { GrammarSpec } from '../../grammar/grammar.ts';
import { type CallInHistory, type Message, textOf } from './chatMessages.ts';
import { chatPrompt } from './chatPrompt.ts';
import { planChat } from './chatRequest.ts';
import { checkModel } from './engineRequests.ts';
import { parserOptions } from './parserOptions.ts';
import type { Caller, PreparedCall, ProtocolContext } from './protocol.ts';
import { invalid } from './protocolError.ts';
import { bodyReader, type FieldSchemas, ignored, type Maybe, refused } from './readBody.ts';
import { itemsSchema, type ResponsesItem, type TextFormat, textSchema } from './responsesItems.ts';
import { ResponsesRenderer } from './responsesRenderer.ts';
import {
  IGNORED_FIELDS,
  type IgnoredFields,
  MAX_TOP_TOKENS,
  SAMPLING_FIELDS,
  type SamplingFields,
} from './samplingFields.ts';
import { readThinking, THINKING_FIELDS, type ThinkingFields } from './thinkingFields.ts';
import { functionName, parametersSchema, readTools, type ToolUse } from './toolFields.ts';

interface FunctionTool {
  readonly name: string;
  readonly description?: Maybe<string>;
  readonly parameters?: Maybe<Readonly<Record<string, unknown>>>;
  readonly strict?: Maybe<boolean>;
}

type Choice = 'none' | 'auto' | 'required' | { readonly type: 'function'; readonly name: string };

/** Sampling as in chats, but for what has another name here. */
type Shared = Omit<SamplingFields, 'n' | 'max_tokens' | 'stream_options' | 'best_of'>;

export interface ResponsesFields extends Shared, ThinkingFields, IgnoredFields {
  readonly model: Maybe<string>;
  readonly input: string | readonly ResponsesItem[];
  readonly instructions: Maybe<string>;
  readonly max_output_tokens: Maybe<number>;
  readonly tools: Maybe<readonly FunctionTool[]>;
  readonly tool_choice: Maybe<Choice>;
  readonly parallel_tool_calls: Maybe<boolean>;
  readonly text: Maybe<{ readonly format?: Maybe<TextFormat> }>;
  readonly top_logprobs: Maybe<number>;
  readonly include: Maybe<readonly string[]>;
  readonly store: unknown;
  readonly truncation: Maybe<'disabled'>;
  readonly stream_options: unknown;
  readonly previous_response_id: Maybe<never>;
  readonly conversation: Maybe<never>;
  readonly background: Maybe<false>;
  readonly prompt: Maybe<never>;
  readonly max_tool_calls: Maybe<never>;
}

const stateless = 'responses are not kept here; send the earlier items as input';
const { n: _n, max_tokens: _m, stream_options: _s, best_of: _b, ...shared } = SAMPLING_FIELDS;

const FIELDS: FieldSchemas<ResponsesFields> = {
  model: z.string().nullish(),
  input: z.union([z.string(), itemsSchema]),
  instructions: z.string().nullish(),
  max_output_tokens: z.int().min(1).nullish(),
  ...shared,
  ...THINKING_FIELDS,
  ...IGNORED_FIELDS,
  tools: z
    .array(
      z.strictObject({
        type: z.literal('function', { error: 'only functions can be called here' }),
        name: functionName,
        description: z.string().nullish(),
        parameters: parametersSchema,
        strict: z.boolean().nullish(),
      }),
    )
    .nullish(),
  tool_choice: z
    .union([
      z.enum(['none', 'auto', 'required']),
      z.strictObject({ type: z.literal('function'), name: functionName }),
    ])
    .nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  text: textSchema,
  top_logprobs: z.int().min(0).max(MAX_TOP_TOKENS).nullish(),
  include: z
    .array(z.enum(['message.output_text.logprobs', 'reasoning.encrypted_content']))
    .nullish(),
  store: ignored,
  stream_options: ignored,
  truncation: z.literal('disabled', { error: 'prompts are never cut' }).nullish(),
  previous_response_id: refused(stateless),
  conversation: refused(stateless),
  background: z.literal(false, { error: stateless }).nullish(),
  prompt: refused('there are no stored prompts here; send input'),
  max_tool_calls: refused('only functions are called, and those by the client'),
};

const readBody = bodyReader(FIELDS);

/** @throws ProtocolError */
export function prepareResponses(
  body: unknown,
  context: ProtocolContext,
  caller: Caller,
): PreparedCall {
  const fields = readBody(body);
  checkModel(fields.model, context);
  const thinking = readThinking(fields);
  const use = toolUse(fields);
  const messages = messagesOf(fields);
  const prompt = chatPrompt(
    { messages, tools: use.tools, thinking, continues: 'newTurn' },
    context,
  );
  const structure = formatGrammar(fields.text?.format);
  const wantsLogprobs = fields.include?.includes('message.output_text.logprobs') ?? false;
  const numTop = wantsLogprobs || fields.top_logprobs != null ? (fields.top_logprobs ?? 0) : null;
  const id = `resp_${context.randomId()}`;
  const sampling = { ...fields, n: 1, max_tokens: null, stream_options: null, best_of: null };
  const parts = { prompt, thinking, use, structure };
  const limit = { maxTokens: fields.max_output_tokens ?? null, param: 'max_output_tokens' };
  const plan = planChat(
    { id, parts, fields: sampling, numTop, limit, promptParam: 'input' },
    context,
    caller,
  );
  return {
    ...plan,
    isStreaming: fields.stream ?? false,
    endsWithDone: false,
    renderer: new ResponsesRenderer({
      id,
      context,
      outputs: plan.outputs,
      parser: parserOptions(prompt.starts, use, context),
      special: 'shown',
      callIdPrefix: 'call_',
      numTop,
      tokenNames: fields.return_tokens_as_token_ids ? 'ids' : 'text',
      echoed: echoed(fields, plan.requests[0]?.sampling),
    }),
  };
}

/** What a response repeats of its request. */
function echoed(
  fields: ResponsesFields,
  sampling: { readonly temperature: number; readonly topP: number } | undefined,
): object {
  return {
    instructions: fields.instructions ?? null,
    max_output_tokens: fields.max_output_tokens ?? null,
    metadata: fields.metadata ?? {},
    parallel_tool_calls: fields.parallel_tool_calls ?? true,
    previous_response_id: null,
    reasoning: { effort: fields.reasoning?.effort ?? null, summary: null },
    store: false,
    temperature: sampling?.temperature ?? null,
    text: fields.text ?? { format: { type: 'text' } },
    tool_choice: fields.tool_choice ?? 'auto',
    tools: fields.tools ?? [],
    top_p: sampling?.topP ?? null,
    truncation: 'disabled',
    background: false,
  };
}

function toolUse(fields: ResponsesFields): ToolUse {
  const { tool_choice: choice } = fields;
  return readTools({
    tools: fields.tools?.map(({ name, description, parameters, strict }) => ({
      type: 'function',
      function: { name, description, parameters, strict },
    })),
    tool_choice:
      choice != null && typeof choice !== 'string'
        ? { type: 'function', function: { name: choice.name } }
        : choice,
    parallel_tool_calls: fields.parallel_tool_calls,
    functions: null,
    function_call: null,
  });
}

function formatGrammar(format: Maybe<TextFormat>): GrammarSpec | null {
  if (format?.type === 'json_object') return { kind: 'jsonObject' };
  return format?.type === 'json_schema' ? { kind: 'jsonSchema', schema: format.schema } : null;
}

function messagesOf({ input, instructions }: ResponsesFields): readonly Message[] {
  const first: Message[] = instructions == null ? [] : [{ role: 'system', content: instructions }];
  if (typeof input === 'string') return [...first, { role: 'user', content: input }];
  const messages = [...first, ...joinedItems(input)];
  if (messages.length > 0) return messages;
  throw invalid('input', 'there is nothing to answer', { hint: 'Send input.' });
}

/** An assistant's turn comes as several items: its thinking, its words, its calls. */
function joinedItems(items: readonly ResponsesItem[]): readonly Message[] {
  const messages: Message[] = [];
  let turn: { content: string; reasoning: string; calls: CallInHistory[] } | null = null;
  const close = (): void => {
    if (turn === null) return;
    const { content, reasoning, calls } = turn;
    messages.push({
      role: 'assistant',
      content,
      ...(reasoning === '' ? {} : { reasoning_content: reasoning }),
      ...(calls.length === 0 ? {} : { tool_calls: calls }),
    });
    turn = null;
  };
  for (const item of items) {
    const isOwn =
      item.type === 'reasoning' ||
      item.type === 'function_call' ||
      ('role' in item && item.role === 'assistant');
    if (!isOwn) close();
    else turn ??= { content: '', reasoning: '', calls: [] };
    switch (item.type) {
      case 'reasoning':
        if (turn !== null) turn.reasoning += textOf(item.content ?? item.summary ?? []);
        break;
      case 'function_call': {
        const { name, arguments: given, call_id: id } = item;
        turn?.calls.push({ id, function: { name, arguments: given } });
        break;
      }
      case 'function_call_output':
        messages.push({ role: 'tool', tool_call_id: item.call_id, content: item.output });
        break;
      case 'message':
      case undefined:
        if (turn !== null) turn.content += textOf(item.content);
        else if (item.role !== 'assistant') {
          messages.push({ role: item.role, content: item.content });
        }
        break;
      default:
        item satisfies never;
    }
  }
  close();
  return messages;
}
