/**
 * What a JSON schema (draft 2020-12) may say: keywords that are enforced, those that only describe,
 * and for the rest a refusal, so that nothing is asked for and silently not done.
 */
import { MoebiusError, nearestName } from '../../base/errors.ts';
import type { Pattern } from '../pattern.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

/** A schema and where it stands; paths are those of `$ref`. */
export interface Located {
  readonly schema: JsonObject | boolean;
  readonly path: string;
}

/** A schema of a case, which is an object: true says nothing and false makes no case. */
export interface PlainSchema {
  readonly schema: JsonObject;
  readonly path: string;
}

/** What compilers of parts ask for: the pattern of values that all these admit. */
export type PatternOf = (located: readonly Located[]) => Pattern;

const ENFORCED = new Set([
  ...['type', 'enum', 'const', 'anyOf', 'oneOf', 'allOf', '$ref'],
  ...['properties', 'required', 'additionalProperties', 'patternProperties', 'propertyNames'],
  ...['minProperties', 'maxProperties', 'items', 'prefixItems', 'minItems', 'maxItems'],
  ...['pattern', 'format', 'minLength', 'maxLength', 'minimum', 'maximum'],
  ...['exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'],
]);

/** They describe and allow or forbid nothing. */
const DESCRIBING = new Set([
  ...['title', 'description', 'default', 'example', 'examples', 'deprecated', 'readOnly'],
  ...['writeOnly', '$schema', '$id', '$comment', '$anchor', '$defs', 'definitions'],
  ...['discriminator', 'contentMediaType', 'contentEncoding', 'contentSchema'],
]);

const HINTS: Readonly<Record<string, string>> = {
  not: 'List what is allowed with enum or anyOf.',
  if: 'Write the cases with anyOf.',
  dependentRequired: 'Write the cases with anyOf.',
  dependentSchemas: 'Write the cases with anyOf.',
  uniqueItems: 'Leave it out, and check the answer.',
  contains: 'Use prefixItems, or items.',
  unevaluatedProperties: 'Use additionalProperties.',
  unevaluatedItems: 'Use items.',
  additionalItems: 'Use prefixItems for the first items, and items for the rest.',
  $dynamicRef: 'Use $ref.',
  $recursiveRef: 'Use $ref.',
  nullable: 'Write the type as a list: ["string", "null"].',
};

/** Keywords by the type of values that they speak of. */
export const KEYWORDS_OF_TYPE: ReadonlyMap<string, readonly string[]> = new Map([
  ['string', ['pattern', 'format', 'minLength', 'maxLength']],
  ['number', ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf']],
  ['array', ['items', 'prefixItems', 'minItems', 'maxItems']],
  [
    'object',
    [
      ...['properties', 'required', 'additionalProperties', 'patternProperties'],
      ...['propertyNames', 'minProperties', 'maxProperties'],
    ],
  ],
]);

export function refuseSchema(
  path: string,
  problem: string,
  details: { readonly hint: string; readonly values?: Readonly<Record<string, unknown>> },
): never {
  throw new MoebiusError('grammar.unsupportedSchema', `JSON schema, ${path}: ${problem}`, {
    values: { path, ...details.values },
    hint: details.hint,
  });
}

/** @throws grammar.unsupportedSchema when it is no schema, or asks for what cannot be enforced */
export function locate(schema: unknown, path: string): Located {
  if (typeof schema === 'boolean') return { schema, path };
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) {
    refuseSchema(path, 'a schema is an object, true or false', {
      hint: 'Write {} for any value.',
      values: { found: schema },
    });
  }
  for (const [key, value] of Object.entries(schema)) {
    if (ENFORCED.has(key) || DESCRIBING.has(key) || key.startsWith('x-')) continue;
    if (key === 'uniqueItems' && value === false) continue;
    const nearest = nearestName(key, ENFORCED);
    const known = HINTS[key];
    refuseSchema(path, `the keyword ${key} cannot be enforced`, {
      hint: known ?? (nearest === undefined ? 'Leave it out.' : `Write ${nearest}?`),
      values: { keyword: key },
    });
  }
  return { schema: schema as JsonObject, path };
}

export function below(path: string, ...keys: readonly (string | number)[]): string {
  const escaped = keys.map((key) => String(key).replaceAll('~', '~0').replaceAll('/', '~1'));
  return [path, ...escaped].join('/');
}

export function listAt(schema: JsonObject, key: string, path: string): readonly unknown[] {
  const value = schema[key];
  if (value === undefined) return [];
  if (Array.isArray(value)) return value;
  return refuseSchema(below(path, key), 'a list is expected', {
    hint: `Write ${key} as a list.`,
    values: { found: value },
  });
}

export function schemasAt(schema: JsonObject, key: string, path: string): readonly Located[] {
  return listAt(schema, key, path).map((one, i) => locate(one, below(path, key, i)));
}

export function schemaMapAt(
  schema: JsonObject,
  key: string,
  path: string,
): ReadonlyMap<string, Located> {
  const value = schema[key];
  if (value === undefined) return new Map();
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return refuseSchema(below(path, key), 'an object of schemas is expected', {
      hint: `Write ${key} as an object.`,
      values: { found: value },
    });
  }
  const entries = Object.entries(value).map(([name, one]): [string, Located] => [
    name,
    locate(one, below(path, key, name)),
  ]);
  return new Map(entries);
}

export function numberAt(schema: JsonObject, key: string, path: string): number | null {
  const value = schema[key];
  if (value === undefined) return null;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  return refuseSchema(below(path, key), 'a number is expected', {
    hint: `Write ${key} as a number.`,
    values: { found: value },
  });
}

export function countAt(schema: JsonObject, key: string, path: string): number | null {
  const value = numberAt(schema, key, path);
  if (value === null || (Number.isInteger(value) && value >= 0)) return value;
  return refuseSchema(below(path, key), 'a count is expected', {
    hint: `Write ${key} as an integer from 0 on.`,
    values: { found: value },
  });
}

export function stringAt(schema: JsonObject, key: string, path: string): string | null {
  const value = schema[key];
  if (value === undefined) return null;
  if (typeof value === 'string') return value;
  return refuseSchema(below(path, key), 'a string is expected', {
    hint: `Write ${key} as a string.`,
    values: { found: value },
  });
}
