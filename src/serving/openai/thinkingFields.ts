/**
 * Thinking: the names under which clients ask for it, and what they come to. The template has the
 * last word on how thinking is opened; a prompt that it ends inside `<think>` starts there.
 */
import { z } from 'zod';
import { invalid } from './protocolError.ts';
import { type FieldSchemas, ignored, type Maybe } from './readBody.ts';

const EFFORTS = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'] as const;
type Effort = (typeof EFFORTS)[number];

export interface ThinkingFields {
  /** DeepSeek's and Anthropic's. */
  readonly thinking: Maybe<{
    readonly type: 'enabled' | 'disabled' | 'auto' | 'adaptive';
    readonly budget_tokens?: Maybe<number>;
  }>;
  /** OpenAI's for chats. */
  readonly reasoning_effort: Maybe<Effort>;
  /** OpenAI's for responses. */
  readonly reasoning: Maybe<{
    readonly effort?: Maybe<Effort>;
    readonly max_tokens?: Maybe<number>;
    readonly enabled?: Maybe<boolean>;
  }>;
  /** vLLM's. */
  readonly thinking_token_budget: Maybe<number>;
  readonly enable_thinking: Maybe<boolean>;
  readonly chat_template_kwargs: Maybe<Readonly<Record<string, unknown>>>;
}

const budget = z.int().min(0).nullish();
const effort = z.enum(EFFORTS).nullish();

export const THINKING_FIELDS: FieldSchemas<ThinkingFields> = {
  thinking: z
    .strictObject({
      type: z.enum(['enabled', 'disabled', 'auto', 'adaptive']),
      budget_tokens: budget,
      display: ignored,
    })
    .nullish(),
  reasoning_effort: effort,
  reasoning: z
    .strictObject({
      effort,
      max_tokens: budget,
      enabled: z.boolean().nullish(),
      summary: ignored,
      generate_summary: ignored,
    })
    .nullish(),
  thinking_token_budget: budget,
  enable_thinking: z.boolean().nullish(),
  chat_template_kwargs: z.record(z.string(), z.unknown()).nullish(),
};

export interface ThinkingWish {
  /** null: as the template has it. */
  readonly wanted: boolean | null;
  readonly budget: number | null;
  /** For the template. */
  readonly variables: Readonly<Record<string, unknown>>;
}

/** Variables that `render` sets itself. */
const OWN_VARIABLES = ['messages', 'tools', 'bos_token', 'eos_token', 'add_generation_prompt'];

/** @throws ProtocolError 400 when the fields disagree */
export function readThinking(fields: ThinkingFields): ThinkingWish {
  const kwargs = fields.chat_template_kwargs ?? {};
  const own = OWN_VARIABLES.find((name) => name in kwargs);
  if (own !== undefined) {
    throw invalid(`chat_template_kwargs.${own}`, `the server sets the template's ${own} itself`, {
      hint: 'Take it out.',
    });
  }
  const effort = fields.reasoning_effort ?? fields.reasoning?.effort ?? null;
  const wishes: (readonly [field: string, wish: boolean | null])[] = [
    ['thinking', ofType(fields.thinking?.type)],
    ['reasoning_effort', effort === 'none' ? false : null],
    ['reasoning.enabled', fields.reasoning?.enabled ?? null],
    ['enable_thinking', fields.enable_thinking ?? null],
    ['chat_template_kwargs.thinking', flagOf(kwargs.thinking)],
    ['chat_template_kwargs.enable_thinking', flagOf(kwargs.enable_thinking)],
  ];
  const [first, ...others] = wishes.filter(([, wish]) => wish !== null);
  const other = others.find(([, wish]) => wish !== first?.[1]);
  if (first !== undefined && other !== undefined) {
    throw invalid(other[0], `${first[0]} and ${other[0]} disagree about thinking`, {
      hint: 'Say it once.',
    });
  }
  // Effort says how much where it thinks, not that it must.
  const wanted = first?.[1] ?? null;
  const on = wanted ?? (effort === null ? null : true);
  return {
    wanted,
    budget:
      fields.thinking?.budget_tokens ??
      fields.reasoning?.max_tokens ??
      fields.thinking_token_budget ??
      null,
    variables: {
      ...(on === null ? {} : { thinking: on, enable_thinking: on }),
      ...(effort === null ? {} : { reasoning_effort: effort }),
      ...kwargs,
    },
  };
}

function ofType(type: string | undefined): boolean | null {
  if (type === 'enabled') return true;
  return type === 'disabled' ? false : null;
}

function flagOf(value: unknown): boolean | null {
  return typeof value === 'boolean' ? value : null;
}
