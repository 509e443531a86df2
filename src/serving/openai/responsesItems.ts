/** The items of `/v1/responses` that a model of text can read. */
import { z } from 'zod';
import type { Content } from './chatMessages.ts';
import { ignored, type Maybe } from './readBody.ts';

const part = z.strictObject({
  type: z.enum(['input_text', 'output_text', 'text', 'reasoning_text', 'summary_text'], {
    error: 'the model reads text only',
  }),
  text: z.string(),
  annotations: ignored,
  logprobs: ignored,
});
const content = z.union([z.string(), z.array(part)]);
const common = { id: ignored, status: ignored };

export type ResponsesItem =
  | {
      readonly type?: 'message' | undefined;
      readonly role: 'user' | 'system' | 'developer' | 'assistant';
      readonly content: Content;
    }
  | {
      readonly type: 'reasoning';
      readonly content?: Maybe<Content>;
      readonly summary?: Maybe<Content>;
    }
  | {
      readonly type: 'function_call';
      readonly call_id: string;
      readonly name: string;
      readonly arguments: string;
    }
  | { readonly type: 'function_call_output'; readonly call_id: string; readonly output: Content };

export const itemsSchema: z.ZodType<readonly ResponsesItem[]> = z
  .array(
    z.union([
      z.strictObject({
        type: z.literal('message').optional(),
        role: z.enum(['user', 'system', 'developer', 'assistant']),
        content,
        phase: ignored,
        ...common,
      }),
      z.strictObject({
        type: z.literal('reasoning'),
        content: content.nullish(),
        summary: content.nullish(),
        encrypted_content: z.null().optional(),
        ...common,
      }),
      z.strictObject({
        type: z.literal('function_call'),
        call_id: z.string(),
        name: z.string(),
        arguments: z.string(),
        ...common,
      }),
      z.strictObject({
        type: z.literal('function_call_output'),
        call_id: z.string(),
        output: content,
        ...common,
      }),
    ]),
  )
  .min(1);

export type TextFormat =
  | { readonly type: 'text' }
  | { readonly type: 'json_object' }
  | { readonly type: 'json_schema'; readonly schema: Readonly<Record<string, unknown>> };

export const textSchema: z.ZodType<Maybe<{ readonly format?: Maybe<TextFormat> }>> = z
  .strictObject({
    format: z
      .discriminatedUnion('type', [
        z.strictObject({ type: z.literal('text') }),
        z.strictObject({ type: z.literal('json_object') }),
        z.strictObject({
          type: z.literal('json_schema'),
          name: z.string().nullish(),
          description: z.string().nullish(),
          schema: z.record(z.string(), z.unknown()),
          strict: z.boolean().nullish(),
        }),
      ])
      .nullish(),
    verbosity: ignored,
  })
  .nullish();
