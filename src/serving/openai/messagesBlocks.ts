/** The blocks of `/v1/messages` that a model of text can read. */
import { z } from 'zod';
import type { Content } from './chatMessages.ts';
import { ignored, type Maybe } from './readBody.ts';

const textBlock = z.strictObject({
  type: z.literal('text'),
  text: z.string(),
  cache_control: ignored,
  citations: ignored,
});
const texts = z.union([z.string(), z.array(textBlock)]);

export type Block =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'thinking'; readonly thinking: string }
  | {
      readonly type: 'tool_use';
      readonly id: string;
      readonly name: string;
      readonly input: Readonly<Record<string, unknown>>;
    }
  | {
      readonly type: 'tool_result';
      readonly tool_use_id: string;
      readonly content?: Maybe<Content>;
    };

export interface MessageInput {
  readonly role: 'user' | 'assistant';
  readonly content: string | readonly Block[];
}

const block = z.discriminatedUnion(
  'type',
  [
    textBlock,
    z.strictObject({ type: z.literal('thinking'), thinking: z.string(), signature: ignored }),
    z.strictObject({
      type: z.literal('tool_use'),
      id: z.string(),
      name: z.string(),
      input: z.record(z.string(), z.unknown()),
      cache_control: ignored,
      caller: ignored,
    }),
    z.strictObject({
      type: z.literal('tool_result'),
      tool_use_id: z.string(),
      content: texts.nullish(),
      is_error: ignored,
      cache_control: ignored,
    }),
  ],
  { error: 'the model reads text, thinking, tool_use and tool_result blocks only' },
);

export const messageBlocks: z.ZodType<readonly MessageInput[]> = z
  .array(
    z.strictObject({
      role: z.enum(['user', 'assistant']),
      content: z.union([z.string(), z.array(block).min(1)]),
    }),
  )
  .min(1);

export const systemSchema: z.ZodType<Maybe<Content>> = texts.nullish();
