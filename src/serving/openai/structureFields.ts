/**
 * Structured output under all of its names: OpenAI's `response_format`, vLLM's `guided_*` and
 * `structured_outputs`, llama.cpp's `grammar` and `json_schema`. One request, one grammar.
 */
import { z } from 'zod';
import type { GrammarSpec } from '../../grammar/grammar.ts';
import { invalid } from './protocolError.ts';
import { type FieldSchemas, ignored, type Maybe, refused } from './readBody.ts';

const schemaValue = z.union([z.record(z.string(), z.unknown()), z.boolean()]);
/** vLLM takes the text of a schema too. */
const schemaOrText = z.union([schemaValue, z.string()]);
const choices = z.array(z.string()).min(1).max(10_000);

export const STRUCTURE_FIELDS: FieldSchemas<StructureFields> = {
  response_format: z
    .discriminatedUnion('type', [
      z.strictObject({ type: z.literal('text') }),
      z.strictObject({ type: z.literal('json_object'), schema: schemaValue.nullish() }),
      z.strictObject({
        type: z.literal('json_schema'),
        json_schema: z.strictObject({
          name: z.string().nullish(),
          description: z.string().nullish(),
          schema: schemaValue.nullish(),
          strict: z.boolean().nullish(),
        }),
      }),
    ])
    .nullish(),
  guided_json: schemaOrText.nullish(),
  guided_regex: z.string().nullish(),
  guided_choice: choices.nullish(),
  guided_grammar: z.string().nullish(),
  guided_decoding_backend: ignored,
  guided_whitespace_pattern: refused('white space is as the grammar has it'),
  structured_outputs: z
    .strictObject({
      json: schemaOrText.nullish(),
      regex: z.string().nullish(),
      choice: choices.nullish(),
      grammar: z.string().nullish(),
      json_object: z.boolean().nullish(),
      disable_fallback: ignored,
      disable_any_whitespace: z.literal(false).nullish(),
      disable_additional_properties: z.literal(false).nullish(),
      whitespace_pattern: refused('white space is as the grammar has it'),
    })
    .nullish(),
  grammar: z.string().nullish(),
  json_schema: schemaValue.nullish(),
};

type Schema = Readonly<Record<string, unknown>> | boolean;

export interface StructureFields {
  readonly response_format: Maybe<ResponseFormat>;
  readonly guided_json: Maybe<Schema | string>;
  readonly guided_regex: Maybe<string>;
  readonly guided_choice: Maybe<readonly string[]>;
  readonly guided_grammar: Maybe<string>;
  readonly guided_decoding_backend: unknown;
  readonly guided_whitespace_pattern: Maybe<never>;
  readonly structured_outputs: Maybe<{
    readonly json?: Maybe<Schema | string>;
    readonly regex?: Maybe<string>;
    readonly choice?: Maybe<readonly string[]>;
    readonly grammar?: Maybe<string>;
    readonly json_object?: Maybe<boolean>;
  }>;
  readonly grammar: Maybe<string>;
  readonly json_schema: Maybe<Schema>;
}

export type ResponseFormat =
  | { readonly type: 'text' }
  | { readonly type: 'json_object'; readonly schema?: Maybe<Schema> }
  | { readonly type: 'json_schema'; readonly json_schema: { readonly schema?: Maybe<Schema> } };

/** @throws ProtocolError 400 when two fields give one each, or a schema is no JSON */
export function readStructure(fields: StructureFields): GrammarSpec | null {
  const found: { field: string; spec: GrammarSpec }[] = [];
  const add = (field: string, spec: GrammarSpec | null): void => {
    if (spec !== null) found.push({ field, spec });
  };
  add('response_format', ofFormat(fields.response_format));
  add('guided_json', ofSchema(fields.guided_json, 'guided_json'));
  add('guided_regex', ofRegex(fields.guided_regex));
  add('guided_choice', ofChoice(fields.guided_choice));
  add('guided_grammar', ofGrammar(fields.guided_grammar));
  add('grammar', ofGrammar(fields.grammar));
  add('json_schema', ofSchema(fields.json_schema, 'json_schema'));
  const outputs = fields.structured_outputs;
  if (outputs) {
    add('structured_outputs.json', ofSchema(outputs.json, 'structured_outputs.json'));
    add('structured_outputs.regex', ofRegex(outputs.regex));
    add('structured_outputs.choice', ofChoice(outputs.choice));
    add('structured_outputs.grammar', ofGrammar(outputs.grammar));
    add('structured_outputs.json_object', outputs.json_object ? { kind: 'jsonObject' } : null);
  }
  const [first, second] = found;
  if (second !== undefined) {
    throw invalid(second.field, `${first?.field} and ${second.field} both give a grammar`, {
      hint: 'Give one of them.',
    });
  }
  return first?.spec ?? null;
}

/** A `type: json_schema` without a schema is any object, as `json_object`. */
function ofFormat(format: StructureFields['response_format']): GrammarSpec | null {
  switch (format?.type) {
    case undefined:
    case 'text':
      return null;
    case 'json_object':
      return ofSchema(format.schema, 'response_format.schema') ?? { kind: 'jsonObject' };
    case 'json_schema': {
      const { schema } = format.json_schema;
      return ofSchema(schema, 'response_format.json_schema.schema') ?? { kind: 'jsonObject' };
    }
    default:
      return format satisfies undefined;
  }
}

function ofSchema(schema: unknown, field: string): GrammarSpec | null {
  if (schema === undefined || schema === null) return null;
  if (typeof schema !== 'string') return { kind: 'jsonSchema', schema };
  try {
    return { kind: 'jsonSchema', schema: JSON.parse(schema) };
  } catch {
    throw invalid(field, `${field} is text that is no JSON`, { hint: 'Send the schema itself.' });
  }
}

function ofRegex(pattern: string | null | undefined): GrammarSpec | null {
  return pattern == null ? null : { kind: 'regex', pattern };
}

function ofChoice(list: readonly string[] | null | undefined): GrammarSpec | null {
  return list == null ? null : { kind: 'choice', choices: list };
}

function ofGrammar(text: string | null | undefined): GrammarSpec | null {
  return text == null ? null : { kind: 'ebnf', text };
}
