/**
 * Objects: named properties in the order of the schema, of which those that are not required may be
 * left out; then others, where the schema lets them in.
 *
 * Other names are told from the named ones, and by the patterns that they match, by automata over
 * names. For them, names are spelled in one way (`spelledInJson`).
 */
import type { Automaton } from '../automaton.ts';
import { isEmpty, matches } from '../automaton.ts';
import { difference, intersection } from '../automatonAlgebra.ts';
import {
  bracketed,
  COLON,
  COMMA,
  SPELLED_CHARACTER,
  STRING_RULE,
  spelledInJson,
} from '../jsonText.ts';
import { regularAutomaton } from '../nfa.ts';
import {
  choice,
  type MembersPattern,
  NOTHING,
  type Pattern,
  repeat,
  sequence,
  text,
} from '../pattern.ts';
import { searchRegex } from '../regex.ts';
import type { PatternOf, PlainSchema } from './keywords.ts';
import {
  below,
  countAt,
  type Located,
  listAt,
  locate,
  refuseSchema,
  schemaMapAt,
} from './keywords.ts';
import { stringPattern } from './stringPattern.ts';

/** What one of several schemas that hold together says of properties. */
interface Part {
  readonly named: ReadonlyMap<string, Located>;
  readonly patterned: ReadonlyMap<string, Located>;
  readonly additional: Located | null;
}

/** Each subset of patterns is a kind of names. */
const MAX_PATTERNS = 4;

export function objectPattern(schemas: readonly PlainSchema[], patternOf: PatternOf): Pattern {
  const parts = schemas.map(partOf);
  const required = requiredOf(schemas);
  const names = new Set(parts.flatMap(({ named }) => [...named.keys()]));
  const numOwn = names.size;
  for (const name of required) names.add(name);
  const kinds = new NameKinds(parts, names);
  const isNameAllowed = nameFilter(schemas);

  const members: MembersPattern['members'][number][] = [];
  for (const name of names) {
    const value = isNameAllowed(name) ? patternOf(kinds.schemasOf(name)) : NOTHING;
    const pattern = sequence(text(JSON.stringify(name)), COLON, value);
    members.push({ pattern, isOptional: !required.has(name) });
  }
  const isClosed =
    parts.every(({ additional }) => additional === null) &&
    (numOwn > 0 || parts.some(({ patterned }) => patterned.size > 0));
  const filter = nameAutomata(schemas);
  const extras = kinds
    .others(filter)
    .flatMap(({ key, located, isPatterned }) =>
      isClosed && !isPatterned ? [] : [sequence(key, COLON, patternOf(located))],
    );
  const extra = extras.length === 0 ? null : choice(...extras);
  return counted({ schemas, members, extra, numRequired: required.size });
}

function partOf({ schema, path }: PlainSchema): Part {
  const additional = schema.additionalProperties;
  return {
    named: schemaMapAt(schema, 'properties', path),
    patterned: schemaMapAt(schema, 'patternProperties', path),
    additional:
      additional === undefined ? null : locate(additional, below(path, 'additionalProperties')),
  };
}

function requiredOf(schemas: readonly PlainSchema[]): ReadonlySet<string> {
  const required = new Set<string>();
  for (const { schema, path } of schemas) {
    for (const name of listAt(schema, 'required', path)) {
      if (typeof name !== 'string') {
        refuseSchema(below(path, 'required'), 'names of properties are expected', {
          hint: 'Write required as a list of strings.',
          values: { found: name },
        });
      }
      required.add(name);
    }
  }
  return required;
}

/** Patterns that names are held to, of the strings' content without quotes. */
function nameAutomata(schemas: readonly PlainSchema[]): readonly Automaton[] {
  return schemas.flatMap(({ schema, path }) => {
    const names = schema.propertyNames;
    if (names === undefined) return [];
    const located = locate(names, below(path, 'propertyNames'));
    if (located.schema === true) return [];
    const allowed = ['type', 'pattern', 'format', 'minLength', 'maxLength'];
    const isString =
      typeof located.schema === 'object' &&
      Object.keys(located.schema).every((key) => allowed.includes(key)) &&
      [undefined, 'string'].includes(located.schema.type as string | undefined);
    if (!isString || typeof located.schema !== 'object') {
      refuseSchema(located.path, 'only names with pattern, format and lengths can be enforced', {
        hint: 'Use pattern, or name the properties.',
      });
    }
    const pattern = stringPattern([{ schema: located.schema, path: located.path }]);
    if (pattern === STRING_RULE) return [];
    // Lengths count characters in any spelling; names have one.
    const content = pattern.kind === 'sequence' ? (pattern.parts[1] as Pattern) : pattern;
    return [regularAutomaton(oneSpelling(content))];
  });
}

function oneSpelling(content: Pattern): Pattern {
  if (content.kind !== 'repeat') return content;
  return repeat(SPELLED_CHARACTER, content.min, content.max);
}

function nameFilter(schemas: readonly PlainSchema[]): (name: string) => boolean {
  const automata = nameAutomata(schemas);
  return (name) => automata.every((one) => matches(one, spelledName(name)));
}

function spelledName(name: string): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(name).slice(1, -1));
}

/** A kind of names that are not named: those that match certain patterns and no others. */
interface NameKind {
  readonly key: Pattern;
  readonly located: readonly Located[];
  readonly isPatterned: boolean;
}

class NameKinds {
  readonly #parts: readonly Part[];
  readonly #names: ReadonlySet<string>;
  readonly #automata: ReadonlyMap<string, Automaton>;

  constructor(parts: readonly Part[], names: ReadonlySet<string>) {
    this.#parts = parts;
    this.#names = names;
    const sources = new Set(parts.flatMap(({ patterned }) => [...patterned.keys()]));
    const path = [...(parts[0]?.patterned.values() ?? [])][0]?.path ?? '#';
    if (sources.size > MAX_PATTERNS) {
      refuseSchema(path, `more than ${MAX_PATTERNS} patternProperties cannot be enforced`, {
        hint: 'Join patterns that have one schema with |.',
      });
    }
    this.#automata = new Map(
      [...sources].map((source) => [source, regularAutomaton(spelledInJson(searchRegex(source)))]),
    );
  }

  schemasOf(name: string): readonly Located[] {
    const spelled = spelledName(name);
    return this.#schemasFor(
      ({ named }) => named.get(name) ?? null,
      (source) => matches(this.#automata.get(source) as Automaton, spelled),
    );
  }

  /** @param filters what all names are held to */
  others(filters: readonly Automaton[]): readonly NameKind[] {
    const sources = [...this.#automata.keys()];
    if (sources.length === 0 && filters.length === 0 && this.#names.size === 0) {
      const located = this.#schemasFor(
        () => null,
        () => false,
      );
      return [{ key: STRING_RULE, located, isPatterned: false }];
    }
    const anyName = regularAutomaton(repeat(SPELLED_CHARACTER, 0, Number.POSITIVE_INFINITY));
    let allowed = filters.reduce(intersection, anyName);
    if (this.#names.size > 0) {
      const named = [...this.#names].map((name) => text(JSON.stringify(name).slice(1, -1)));
      allowed = difference(allowed, regularAutomaton(choice(...named)));
    }
    return Array.from({ length: 2 ** sources.length }, (_, subset) => {
      let names = allowed;
      const matched = new Set(sources.filter((_source, i) => (subset >> i) % 2 === 1));
      for (const [source, automaton] of this.#automata) {
        names = matched.has(source) ? intersection(names, automaton) : difference(names, automaton);
      }
      const located = this.#schemasFor(
        () => null,
        (source) => matched.has(source),
      );
      const key = sequence(text('"'), { kind: 'automaton', automaton: names }, text('"'));
      return { names, kind: { key, located, isPatterned: matched.size > 0 } };
    })
      .filter(({ names }) => !isEmpty(names))
      .map(({ kind }) => kind);
  }

  /** Of each part: the name's own schema, those of its patterns, or else the additional one. */
  #schemasFor(
    namedIn: (part: Part) => Located | null,
    isMatched: (source: string) => boolean,
  ): readonly Located[] {
    return this.#parts.flatMap((part) => {
      const own = namedIn(part);
      const patterned = [...part.patterned].flatMap(([source, one]) =>
        isMatched(source) ? [one] : [],
      );
      const found = own === null ? patterned : [own, ...patterned];
      if (found.length > 0) return found;
      return part.additional === null ? [] : [part.additional];
    });
  }
}

interface Members {
  readonly schemas: readonly PlainSchema[];
  readonly members: MembersPattern['members'];
  readonly extra: Pattern | null;
  readonly numRequired: number;
}

/** With minProperties and maxProperties where they can be held to. */
function counted({ schemas, members, extra, numRequired }: Members): Pattern {
  let [min, max] = [0, Number.POSITIVE_INFINITY];
  for (const { schema, path } of schemas) {
    min = Math.max(min, countAt(schema, 'minProperties', path) ?? 0);
    max = Math.min(max, countAt(schema, 'maxProperties', path) ?? Number.POSITIVE_INFINITY);
  }
  if (min > max) return NOTHING;
  if (members.length === 0) {
    if (extra === null || max === 0) {
      return min > 0 ? NOTHING : bracketed('{', '}', NOTHING, 'optional');
    }
    const list = sequence(extra, repeat(sequence(COMMA, extra), Math.max(0, min - 1), max - 1));
    return bracketed('{', '}', list, min === 0 ? 'optional' : 'required');
  }
  const most = extra === null ? members.length : Number.POSITIVE_INFINITY;
  if (min > numRequired || max < most) {
    refuseSchema(
      schemas.map(({ path }) => path).join(' and '),
      'minProperties and maxProperties beside named properties cannot be enforced',
      { hint: 'Use required, or leave them out.', values: { min, max } },
    );
  }
  const list: Pattern = { kind: 'members', members, separator: COMMA, extra };
  return bracketed('{', '}', list, numRequired === 0 ? 'optional' : 'required');
}
