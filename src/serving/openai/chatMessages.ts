/**
 * The messages of a chat: what clients send, and what a template gets. Both names of reasoning are
 * taken back; whether it returns to the prompt is the template's affair.
 */
import { z } from 'zod';
import type { ChatMessage } from '../../tokenizer/chatTemplate.ts';
import { invalid } from './protocolError.ts';
import { ignored, type Maybe } from './readBody.ts';

const textPart = z.strictObject({
  type: z.enum(['text', 'input_text', 'output_text'], {
    error: 'the model reads text only; send parts of type text',
  }),
  text: z.string(),
  cache_control: ignored,
  annotations: ignored,
  logprobs: ignored,
});
const content = z.union([z.string(), z.array(textPart)]);
const common = { name: z.string().nullish(), cache_control: ignored };

const toolCall = z.strictObject({
  id: z.string().nullish(),
  type: z.literal('function').nullish(),
  index: z.int().nullish(),
  function: z.strictObject({
    name: z.string().min(1),
    arguments: z.union([z.string(), z.record(z.string(), z.unknown())]).nullish(),
  }),
  extra_content: ignored,
});

export type Content = string | readonly { readonly type: string; readonly text: string }[];

export type Message =
  | {
      readonly role: 'system' | 'developer' | 'user';
      readonly content: Content;
      readonly name?: Maybe<string>;
    }
  | {
      readonly role: 'assistant';
      readonly content?: Maybe<Content>;
      readonly reasoning_content?: Maybe<string>;
      readonly reasoning?: Maybe<string>;
      readonly tool_calls?: Maybe<readonly CallInHistory[]>;
      readonly prefix?: Maybe<boolean>;
    }
  | { readonly role: 'tool'; readonly content: Content; readonly tool_call_id?: Maybe<string> };

export interface CallInHistory {
  readonly id?: Maybe<string>;
  readonly function: {
    readonly name: string;
    readonly arguments?: Maybe<string | Readonly<Record<string, unknown>>>;
  };
}

export const messagesSchema: z.ZodType<readonly Message[]> = z
  .array(
    z.discriminatedUnion('role', [
      z.strictObject({ role: z.enum(['system', 'developer', 'user']), content, ...common }),
      z.strictObject({
        role: z.literal('assistant'),
        content: content.nullish(),
        reasoning_content: z.string().nullish(),
        reasoning: z.string().nullish(),
        tool_calls: z.array(toolCall).nullish(),
        prefix: z.boolean().nullish(),
        refusal: ignored,
        annotations: ignored,
        audio: z.null().optional(),
        function_call: z.null().optional(),
        reasoning_details: ignored,
        id: ignored,
        ...common,
      }),
      z.strictObject({
        role: z.literal('tool'),
        content,
        tool_call_id: z.string().nullish(),
        ...common,
      }),
    ]),
  )
  .min(1);

export function textOf(parts: Content): string {
  return typeof parts === 'string' ? parts : parts.map((part) => part.text).join('\n');
}

export function reasoningOf(message: Message): string {
  if (message.role !== 'assistant') return '';
  return message.reasoning_content ?? message.reasoning ?? '';
}

export interface TemplateNeeds {
  /** Whether an assistant's message keeps its calls where it has text too. */
  readonly keepsCallsBesideText: boolean;
}

/** The messages as a template of DeepSeek's kind reads them. */
export function templateMessages(
  messages: readonly Message[],
  needs: TemplateNeeds,
): readonly ChatMessage[] {
  return messages.flatMap((message, i): readonly ChatMessage[] => {
    switch (message.role) {
      case 'system':
      case 'developer':
      case 'user': {
        const role = message.role === 'user' ? 'user' : 'system';
        const name = message.name == null ? {} : { name: message.name };
        return [{ role, content: textOf(message.content), ...name }];
      }
      case 'tool': {
        const id = message.tool_call_id == null ? {} : { tool_call_id: message.tool_call_id };
        return [{ role: 'tool', content: textOf(message.content), ...id }];
      }
      case 'assistant':
        return assistantMessages(message, i, needs);
      default:
        return message satisfies never;
    }
  });
}

function assistantMessages(
  message: Extract<Message, { role: 'assistant' }>,
  index: number,
  needs: TemplateNeeds,
): readonly ChatMessage[] {
  const text = textOf(message.content ?? '');
  const reasoning = reasoningOf(message);
  const thought = reasoning === '' ? {} : { reasoning_content: reasoning };
  const calls = (message.tool_calls ?? []).map((call) => ({
    ...(call.id == null ? {} : { id: call.id }),
    type: 'function',
    function: { name: call.function.name, arguments: argumentsText(call.function.arguments) },
  }));
  if (calls.length === 0) {
    if (message.content == null && reasoning === '') {
      throw invalid(`messages[${index}].content`, 'an assistant message says nothing', {
        hint: 'Give it content or tool_calls.',
      });
    }
    return [{ role: 'assistant', content: text, ...thought }];
  }
  // A template that writes either text or calls gets them one after the other, and loses none.
  if (text !== '' && !needs.keepsCallsBesideText) {
    return [
      { role: 'assistant', content: text, ...thought },
      { role: 'assistant', content: null, tool_calls: calls },
    ];
  }
  return [{ role: 'assistant', content: text === '' ? null : text, ...thought, tool_calls: calls }];
}

function argumentsText(value: Maybe<string | Readonly<Record<string, unknown>>>): string {
  if (typeof value === 'string') return value === '' ? '{}' : value;
  return JSON.stringify(value ?? {});
}
