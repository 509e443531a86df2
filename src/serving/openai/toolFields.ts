/** Tools: what a caller offers, which of them may be called, and how they reach the prompt. */
import { z } from 'zod';
import type { ChatMessage } from '../../tokenizer/chatTemplate.ts';
import { invalid } from './protocolError.ts';
import { type FieldSchemas, ignored, type Maybe, refused } from './readBody.ts';

export interface Tool {
  readonly type: 'function';
  readonly function: ToolFunction;
}

export interface ToolFunction {
  readonly name: string;
  readonly description?: Maybe<string>;
  readonly parameters?: Maybe<Readonly<Record<string, unknown>>>;
  readonly strict?: Maybe<boolean>;
}

export type ToolChoice =
  | 'none'
  | 'auto'
  | 'required'
  | { readonly type: 'function'; readonly function: { readonly name: string } };

export interface ToolFields {
  readonly tools: Maybe<readonly Tool[]>;
  readonly tool_choice: Maybe<ToolChoice>;
  readonly parallel_tool_calls: Maybe<boolean>;
  readonly functions: Maybe<never>;
  readonly function_call: Maybe<never>;
}

export const functionName: z.ZodString = z
  .string()
  .regex(/^[\w.-]{1,128}$/, 'names have letters, digits, _, . and -, up to 128');
export const parametersSchema: z.ZodType<Maybe<Readonly<Record<string, unknown>>>> = z
  .record(z.string(), z.unknown())
  .nullish();

export const TOOL_FIELDS: FieldSchemas<ToolFields> = {
  tools: z
    .array(
      z.strictObject({
        type: z.literal('function', { error: 'only functions can be called here' }),
        function: z.strictObject({
          name: functionName,
          description: z.string().nullish(),
          parameters: parametersSchema,
          strict: z.boolean().nullish(),
        }),
        cache_control: ignored,
      }),
    )
    .max(512)
    .nullish(),
  tool_choice: z
    .union([
      z.enum(['none', 'auto', 'required']),
      z.strictObject({
        type: z.literal('function'),
        function: z.strictObject({ name: functionName }),
      }),
    ])
    .nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  functions: refused('is the older name; send tools'),
  function_call: refused('is the older name; send tool_choice'),
};

/** What a request's tools come to. */
export interface ToolUse {
  /** That reach the prompt; none where the choice is none. */
  readonly tools: readonly Tool[];
  readonly choice: 'none' | 'auto' | 'required' | { readonly name: string };
  readonly isParallel: boolean;
}

/** @throws ProtocolError 400 when a choice names what is not offered */
export function readTools(fields: ToolFields): ToolUse {
  const tools = fields.tools ?? [];
  const asked = fields.tool_choice ?? (tools.length === 0 ? 'none' : 'auto');
  const isParallel = fields.parallel_tool_calls ?? true;
  const names = new Set<string>();
  for (const [i, tool] of tools.entries()) {
    const { name } = tool.function;
    if (names.has(name)) {
      throw invalid(`tools[${i}].function.name`, `two tools are called ${name}`, {
        hint: 'Give every function a name of its own.',
      });
    }
    names.add(name);
  }
  const choice = typeof asked === 'string' ? asked : { name: asked.function.name };
  if (typeof choice !== 'string' && !names.has(choice.name)) {
    throw invalid('tool_choice', `tool_choice names ${choice.name}, which tools do not offer`, {
      hint: 'Name one of the tools.',
    });
  }
  if (choice === 'required' && tools.length === 0) {
    throw invalid('tool_choice', 'tool_choice is required, and there are no tools', {
      hint: 'Send tools, or leave tool_choice out.',
    });
  }
  const isNone = choice === 'none' || tools.length === 0;
  return { tools: isNone ? [] : tools, choice: isNone ? 'none' : choice, isParallel };
}

/**
 * For templates that pass tools over (V3's first one): the tools as system text. The same words as
 * in the default template.
 */
export function withToolText(
  messages: readonly ChatMessage[],
  tools: readonly Tool[],
): readonly ChatMessage[] {
  const parts = tools.map(({ function: { name, description, parameters } }) =>
    [
      `\n### ${name}\n`,
      description ? `Description: ${description}\n` : '',
      parameters ? `Parameters: ${JSON.stringify(parameters)}\n` : '',
    ].join(''),
  );
  const text = `\n\n## Tools\n\nYou may call these functions.\n${parts.join('')}\n`;
  const [first, ...rest] = messages;
  return first?.role === 'system'
    ? [{ ...first, content: first.content + text }, ...rest]
    : [{ role: 'system', content: text.trimStart() }, ...messages];
}
