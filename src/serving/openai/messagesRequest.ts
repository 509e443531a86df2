/** `/v1/messages`, Anthropic's form: blocks become the messages of a chat. */
import { z } from 'zod';
import type { GrammarSpec } from '../../grammar/grammar.ts';
import type { CallInHistory, Content, Message } from './chatMessages.ts';
import { type ChatPrompt, chatPrompt } from './chatPrompt.ts';
import { planChat } from './chatRequest.ts';
import { checkModel } from './engineRequests.ts';
import { type Block, type MessageInput, messageBlocks, systemSchema } from './messagesBlocks.ts';
import { MessagesRenderer } from './messagesRenderer.ts';
import { parserOptions } from './parserOptions.ts';
import type { Caller, PreparedCall, ProtocolContext } from './protocol.ts';
import { bodyReader, type FieldSchemas, ignored, type Maybe, refused } from './readBody.ts';
import { SAMPLING_FIELDS, type SamplingFields } from './samplingFields.ts';
import { readThinking, THINKING_FIELDS, type ThinkingWish } from './thinkingFields.ts';
import { functionName, parametersSchema, readTools, type ToolUse } from './toolFields.ts';

type Sampling = Pick<SamplingFields, 'temperature' | 'top_p' | 'top_k' | 'seed' | 'stream'>;

interface PromptFields {
  readonly model: Maybe<string>;
  readonly messages: readonly MessageInput[];
  readonly system: Maybe<Content>;
  readonly tools: Maybe<
    readonly {
      readonly name: string;
      readonly description?: Maybe<string>;
      readonly input_schema?: Maybe<Readonly<Record<string, unknown>>>;
      readonly strict?: Maybe<boolean>;
    }[]
  >;
  readonly tool_choice: Maybe<{
    readonly type: 'auto' | 'any' | 'none' | 'tool';
    readonly name?: string | undefined;
    readonly disable_parallel_tool_use?: Maybe<boolean>;
  }>;
  readonly thinking: Maybe<{
    readonly type: 'enabled' | 'disabled' | 'auto' | 'adaptive';
    readonly budget_tokens?: Maybe<number>;
  }>;
  readonly output_config: Maybe<{
    readonly format?: Maybe<{ readonly schema: Readonly<Record<string, unknown>> }>;
  }>;
  readonly cache_control: unknown;
  readonly context_management: Maybe<never>;
  readonly mcp_servers: Maybe<never>;
  readonly container: Maybe<never>;
}

interface MessagesFields extends PromptFields, Sampling {
  readonly max_tokens: number;
  readonly stop_sequences: Maybe<readonly string[]>;
  readonly metadata: unknown;
  readonly service_tier: unknown;
}

const PROMPT_FIELDS: FieldSchemas<PromptFields> = {
  model: z.string().nullish(),
  messages: messageBlocks,
  system: systemSchema,
  tools: z
    .array(
      z.strictObject({
        type: z.literal('custom', { error: 'only own tools can be called here' }).nullish(),
        name: functionName,
        description: z.string().nullish(),
        input_schema: parametersSchema,
        strict: z.boolean().nullish(),
        cache_control: ignored,
        eager_input_streaming: ignored,
      }),
    )
    .nullish(),
  tool_choice: z
    .union([
      z.strictObject({
        type: z.enum(['auto', 'any', 'none']),
        disable_parallel_tool_use: z.boolean().nullish(),
      }),
      z.strictObject({
        type: z.literal('tool'),
        name: functionName,
        disable_parallel_tool_use: z.boolean().nullish(),
      }),
    ])
    .nullish(),
  thinking: THINKING_FIELDS.thinking,
  output_config: z
    .strictObject({
      effort: ignored,
      format: z
        .strictObject({
          type: z.literal('json_schema'),
          schema: z.record(z.string(), z.unknown()),
        })
        .nullish(),
    })
    .nullish(),
  cache_control: ignored,
  context_management: refused('contexts are never edited here'),
  mcp_servers: refused('only own tools can be called here'),
  container: refused('there are no containers here'),
};

const { temperature, top_p, top_k, seed, stream } = SAMPLING_FIELDS;
const FIELDS: FieldSchemas<MessagesFields> = {
  ...PROMPT_FIELDS,
  temperature,
  top_p,
  top_k,
  seed,
  stream,
  max_tokens: z.int().min(1),
  stop_sequences: z.array(z.string().min(1).max(1024)).max(16).nullish(),
  metadata: ignored,
  service_tier: ignored,
};

const readBody = bodyReader(FIELDS);
const readPrompt = bodyReader(PROMPT_FIELDS);

/** @throws ProtocolError */
export function prepareMessages(
  body: unknown,
  context: ProtocolContext,
  caller: Caller,
): PreparedCall {
  const fields = readBody(body);
  const { prompt, use, thinking } = promptOf(fields, context);
  const schema = fields.output_config?.format?.schema;
  const structure: GrammarSpec | null = schema ? { kind: 'jsonSchema', schema } : null;
  const sampling = samplingOf(fields);
  const id = `msg_${context.randomId()}`;
  const parts = { prompt, thinking, use, structure };
  const limit = { maxTokens: fields.max_tokens, param: 'max_tokens' };
  const plan = planChat(
    { id, parts, fields: sampling, numTop: null, limit, promptParam: 'messages' },
    context,
    caller,
  );
  return {
    ...plan,
    isStreaming: fields.stream ?? false,
    endsWithDone: false,
    renderer: new MessagesRenderer({
      id,
      context,
      outputs: plan.outputs,
      parser: parserOptions(prompt.starts, use, context),
      special: 'shown',
      callIdPrefix: 'toolu_',
    }),
  };
}

/** How long the prompt of these messages is. */
export function numMessageTokens(body: unknown, context: ProtocolContext): number {
  return promptOf(readPrompt(body), context).prompt.ids.length;
}

interface MessagesPrompt {
  readonly prompt: ChatPrompt;
  readonly use: ToolUse;
  readonly thinking: ThinkingWish;
}

function promptOf(fields: PromptFields, context: ProtocolContext): MessagesPrompt {
  checkModel(fields.model, context);
  const thinking = readThinking({
    thinking: fields.thinking,
    reasoning_effort: null,
    reasoning: null,
    thinking_token_budget: null,
    enable_thinking: null,
    chat_template_kwargs: null,
  });
  const use = toolUse(fields);
  const system: Message[] =
    fields.system == null ? [] : [{ role: 'system', content: fields.system }];
  const messages = [...system, ...fields.messages.flatMap(messagesOf)];
  // A last message of the assistant is the beginning of the answer.
  const isPrefilled = messages.at(-1)?.role === 'assistant';
  const continues = isPrefilled ? 'lastMessage' : 'newTurn';
  const prompt = chatPrompt({ messages, tools: use.tools, thinking, continues }, context);
  return { prompt, use, thinking };
}

function toolUse({ tools, tool_choice: choice }: PromptFields): ToolUse {
  const chosen =
    choice?.type === 'tool'
      ? ({ type: 'function', function: { name: choice.name ?? '' } } as const)
      : ({ auto: 'auto', any: 'required', none: 'none' } as const)[choice?.type ?? 'auto'];
  return readTools({
    tools: tools?.map(({ name, description, input_schema: parameters, strict }) => ({
      type: 'function',
      function: { name, description, parameters, strict },
    })),
    tool_choice: choice == null ? null : chosen,
    parallel_tool_calls: !(choice?.disable_parallel_tool_use ?? false),
    functions: null,
    function_call: null,
  });
}

/** The fields of chats, as far as messages have them. */
function samplingOf(fields: MessagesFields): SamplingFields {
  const none = Object.fromEntries(
    Object.keys(SAMPLING_FIELDS).map((name) => [name, null]),
  ) as unknown as SamplingFields;
  return {
    ...none,
    temperature: fields.temperature,
    top_p: fields.top_p,
    top_k: fields.top_k,
    seed: fields.seed,
    stop: fields.stop_sequences,
  };
}

/** The outputs of tools come in a user's message, and become turns of their own before it. */
function messagesOf({ role, content }: MessageInput): readonly Message[] {
  if (typeof content === 'string') return [{ role, content }];
  if (role === 'assistant') return [assistantOf(content)];
  const outputs = content.flatMap((block): readonly Message[] =>
    block.type === 'tool_result'
      ? [{ role: 'tool', tool_call_id: block.tool_use_id, content: block.content ?? '' }]
      : [],
  );
  const texts = content.flatMap((block) => (block.type === 'text' ? [block.text] : []));
  const said: Message[] = texts.length === 0 ? [] : [{ role, content: texts.join('\n') }];
  return [...outputs, ...said];
}

function assistantOf(blocks: readonly Block[]): Message {
  let text = '';
  let reasoning = '';
  const calls: CallInHistory[] = [];
  for (const block of blocks) {
    if (block.type === 'text') text += block.text;
    else if (block.type === 'thinking') reasoning += block.thinking;
    else if (block.type === 'tool_use') {
      calls.push({ id: block.id, function: { name: block.name, arguments: block.input } });
    }
  }
  return {
    role: 'assistant',
    content: text,
    ...(reasoning === '' ? {} : { reasoning_content: reasoning }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
  };
}
