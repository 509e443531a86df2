/**
 * Takes references, allOf, anyOf and oneOf out of a schema: what is left is a list of cases, each a
 * list of schemas that hold together and of which only the plain keywords count.
 *
 *   { allOf: [A, { anyOf: [B, C] }], …rest }  →  [rest, A, B] or [rest, A, C]
 *
 * oneOf is taken for anyOf: that no second case holds cannot be seen while a text is written.
 */
import {
  below,
  type JsonObject,
  type Located,
  locate,
  refuseSchema,
  schemasAt,
  stringAt,
} from './keywords.ts';

/** Schemas that hold together. */
export type Case = readonly Located[];

const MAX_CASES = 1024;
const PLAIN_EXCEPT = new Set(['$ref', 'allOf', 'anyOf', 'oneOf']);

export class SchemaExpander {
  readonly #root: unknown;

  constructor(root: unknown) {
    this.#root = root;
  }

  /** Cases of all of these together. */
  casesOf(located: readonly Located[]): readonly Case[] {
    return this.#together(
      located.map((one) => this.#expand(one, [])),
      located[0]?.path ?? '#',
    );
  }

  #expand(located: Located, within: readonly unknown[]): readonly Case[] {
    const { schema, path } = located;
    if (schema === true) return [[]];
    if (schema === false) return [];
    if (within.includes(schema)) {
      refuseSchema(path, 'the schema refers to itself with nothing between', {
        hint: 'Put the reference inside properties or items.',
      });
    }
    const inner = [...within, schema];
    const factors: (readonly Case[])[] = [[this.#isPlain(schema) ? [located] : []]];
    const reference = stringAt(schema, '$ref', path);
    if (reference !== null) factors.push(this.#expand(this.#resolve(reference, path), inner));
    for (const part of schemasAt(schema, 'allOf', path)) factors.push(this.#expand(part, inner));
    for (const key of ['anyOf', 'oneOf']) {
      if (schema[key] === undefined) continue;
      factors.push(schemasAt(schema, key, path).flatMap((one) => this.#expand(one, inner)));
    }
    return this.#together(factors, path);
  }

  /** Whether it says anything of its own. */
  #isPlain(schema: JsonObject): boolean {
    return Object.keys(schema).some((key) => !PLAIN_EXCEPT.has(key));
  }

  #together(factors: readonly (readonly Case[])[], path: string): readonly Case[] {
    let cases: readonly Case[] = [[]];
    for (const factor of factors) {
      cases = cases.flatMap((one) => factor.map((other) => united(one, other)));
      if (cases.length > MAX_CASES) {
        refuseSchema(path, `allOf and anyOf together make more than ${MAX_CASES} cases`, {
          hint: 'Write the cases out, or move them into properties.',
        });
      }
    }
    return cases;
  }

  #resolve(reference: string, path: string): Located {
    if (!reference.startsWith('#')) {
      refuseSchema(path, `the reference ${reference} leads to another document`, {
        hint: 'Copy that schema into $defs, and refer to #/$defs/name.',
        values: { reference },
      });
    }
    const pointer = this.#pointerOf(reference, path);
    if (pointer !== '' && !pointer.startsWith('/')) {
      const anchored = findAnchor(this.#root, pointer, '#');
      if (anchored !== null) return locate(anchored.schema, anchored.path);
      this.#refuseReference(reference, path);
    }
    let target = this.#root;
    const keys = pointer.split('/').slice(1);
    for (const escaped of keys) {
      const key = escaped.replaceAll('~1', '/').replaceAll('~0', '~');
      const isThere = typeof target === 'object' && target !== null && Object.hasOwn(target, key);
      if (!isThere) this.#refuseReference(reference, path);
      target = (target as JsonObject)[key];
    }
    return locate(target, keys.length === 0 ? '#' : `#/${keys.join('/')}`);
  }

  #pointerOf(reference: string, path: string): string {
    try {
      return decodeURIComponent(reference.slice(1));
    } catch {
      return this.#refuseReference(reference, path);
    }
  }

  #refuseReference(reference: string, path: string): never {
    refuseSchema(path, `the reference ${reference} leads nowhere`, {
      hint: 'Define it under $defs, and refer to #/$defs/name.',
      values: { reference },
    });
  }
}

function united(one: Case, other: Case): Case {
  const fresh = other.filter(({ schema }) => !one.some((known) => known.schema === schema));
  return [...one, ...fresh];
}

function findAnchor(
  value: unknown,
  name: string,
  path: string,
): { schema: unknown; path: string } | null {
  if (typeof value !== 'object' || value === null) return null;
  if ((value as JsonObject).$anchor === name) return { schema: value, path };
  for (const [key, inner] of Object.entries(value)) {
    const found = findAnchor(inner, name, below(path, key));
    if (found !== null) return found;
  }
  return null;
}
