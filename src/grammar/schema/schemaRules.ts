/**
 * From a JSON schema to rules. Each case of a schema (`expandSchema.ts`) becomes one rule, known by
 * the schemas that it is made of, so that references may go in circles and shared definitions are
 * shared. Schemas that hold together are merged keyword by keyword.
 *
 * Where a schema leaves open what need not be left open, the narrower reading is taken, which the
 * schema still admits: properties beside named ones, and items behind prefixItems, come only where
 * it says so; keywords without a type speak of the type that they are for.
 */
import { MoebiusError } from '../../base/errors.ts';
import {
  BOOLEAN,
  INTEGER_RULE,
  jsonRules,
  NULL,
  NUMBER_RULE,
  VALUE_RULE,
  valuePattern,
} from '../jsonText.ts';
import { choice, NOTHING, type Pattern, type RuleSet, rule } from '../pattern.ts';
import { arrayPattern } from './arrayPattern.ts';
import { type Bound, decimalPattern } from './decimalPattern.ts';
import { type Case, SchemaExpander } from './expandSchema.ts';
import {
  below,
  KEYWORDS_OF_TYPE,
  type Located,
  listAt,
  locate,
  numberAt,
  type PatternOf,
  type PlainSchema,
  refuseSchema,
} from './keywords.ts';
import { objectPattern } from './objectPattern.ts';
import { stringPattern } from './stringPattern.ts';

/** @throws grammar.unsupportedSchema */
export function schemaRules(schema: unknown): RuleSet {
  const compiler = new SchemaCompiler(schema);
  const rules = compiler.rules;
  const root = compiler.pattern([locate(schema, '#')]);
  rules.set('json schema', root);
  if (root.kind === 'choice' && root.options.length === 0) {
    throw new MoebiusError('grammar.empty', 'the JSON schema admits no value', {
      hint: 'Look for types, enums or allOf that contradict one another.',
    });
  }
  return { rules, root: 'json schema' };
}

const TYPES = ['null', 'boolean', 'integer', 'number', 'string', 'array', 'object'] as const;
type Type = (typeof TYPES)[number];

class SchemaCompiler {
  readonly rules: Map<string, Pattern> = jsonRules();
  readonly #expander: SchemaExpander;
  readonly #ids = new Map<object, number>();
  /** By the case's schemas: null while it is being compiled. */
  readonly #known = new Map<string, Pattern | null>();

  constructor(root: unknown) {
    this.#expander = new SchemaExpander(root);
  }

  pattern(located: readonly Located[]): Pattern {
    return choice(...this.#expander.casesOf(located).map((one) => this.#casePattern(one)));
  }

  #casePattern(one: Case): Pattern {
    const schemas = one.filter((part): part is PlainSchema => typeof part.schema === 'object');
    const ids = schemas.map(({ schema }) => this.#idOf(schema)).sort((a, b) => a - b);
    const key = ids.join();
    const name = `${schemas.map(({ path }) => path).join(' and ')} (${key})`;
    const known = this.#known.get(key);
    if (known === null) return rule(name);
    if (known !== undefined) return known;
    this.#known.set(key, null);
    let pattern = this.#merged(schemas);
    // A rule of its own, but for what is one already and what is a word.
    if (pattern.kind !== 'rule' && pattern.kind !== 'text' && pattern !== NOTHING) {
      this.rules.set(name, pattern);
      pattern = rule(name);
    } else if (pattern.kind === 'rule') this.rules.set(name, pattern);
    this.#known.set(key, pattern);
    return pattern;
  }

  #idOf(schema: object): number {
    const id = this.#ids.get(schema) ?? this.#ids.size;
    this.#ids.set(schema, id);
    return id;
  }

  #merged(schemas: readonly PlainSchema[]): Pattern {
    const types = typesOf(schemas);
    const values = valuesOf(schemas);
    if (values !== null) {
      refuseBesideValues(schemas);
      const admitted = types === null ? values : values.filter((value) => hasType(value, types));
      return choice(...admitted.map(valuePattern));
    }
    if (types === null) return VALUE_RULE;
    const patternOf: PatternOf = (located) => this.pattern(located);
    const options = [...types].flatMap((type): readonly Pattern[] => {
      switch (type) {
        case 'null':
          return [NULL];
        case 'boolean':
          return [BOOLEAN];
        case 'string':
          return [stringPattern(schemas)];
        case 'integer':
          return types.has('number') ? [] : [numberPattern(schemas, 'integer')];
        case 'number':
          return [numberPattern(schemas, 'decimal')];
        case 'array':
          return [arrayPattern(schemas, patternOf)];
        case 'object':
          return [objectPattern(schemas, patternOf)];
        default:
          return type satisfies never;
      }
    });
    return options.length === 0 ? NOTHING : choice(...options);
  }
}

/** null where nothing is said of types. */
function typesOf(schemas: readonly PlainSchema[]): ReadonlySet<Type> | null {
  let types: ReadonlySet<Type> | null = null;
  for (const { schema, path } of schemas) {
    if (schema.type === undefined) continue;
    const found: unknown = schema.type;
    const names: readonly unknown[] = Array.isArray(found) ? found : [found];
    const own = new Set<Type>();
    for (const name of names) {
      const type = TYPES.find((one) => one === name);
      if (type === undefined) {
        refuseSchema(below(path, 'type'), `${JSON.stringify(name)} is no type`, {
          hint: `Use one of ${TYPES.join(', ')}, or a list of them.`,
          values: { type: name },
        });
      }
      own.add(type);
      if (type === 'number') own.add('integer');
    }
    types =
      types === null ? own : new Set(TYPES.filter((type) => types?.has(type) && own.has(type)));
  }
  if (types !== null) return types;
  const spoken = [...KEYWORDS_OF_TYPE].filter(([, keywords]) =>
    schemas.some(({ schema }) => keywords.some((key) => schema[key] !== undefined)),
  );
  return spoken.length === 0 ? null : new Set(spoken.map(([type]) => type as Type));
}

function hasType(value: unknown, types: ReadonlySet<Type>): boolean {
  if (value === null) return types.has('null');
  if (Array.isArray(value)) return types.has('array');
  if (typeof value === 'number') {
    return types.has('number') || (types.has('integer') && Number.isInteger(value));
  }
  return types.has(typeof value as Type);
}

/** Those of all enums and consts; null where there is none. */
function valuesOf(schemas: readonly PlainSchema[]): readonly unknown[] | null {
  let values: ReadonlyMap<string, unknown> | null = null;
  const restrict = (list: readonly unknown[]): void => {
    const own = new Map(list.map((value) => [canonical(value), value]));
    if (values === null) values = own;
    else values = new Map([...values].filter(([key]) => own.has(key)));
  };
  for (const { schema, path } of schemas) {
    if (schema.enum !== undefined) restrict(listAt(schema, 'enum', path));
    if (schema.const !== undefined) restrict([schema.const]);
  }
  const found = values as ReadonlyMap<string, unknown> | null;
  return found === null ? null : [...found.values()];
}

/** Equal for equal values, whatever the order of keys. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

function refuseBesideValues(schemas: readonly PlainSchema[]): void {
  for (const { schema, path } of schemas) {
    for (const keywords of KEYWORDS_OF_TYPE.values()) {
      const key = keywords.find((one) => schema[one] !== undefined);
      if (key === undefined) continue;
      refuseSchema(path, `${key} beside enum or const cannot be enforced`, {
        hint: `Leave ${key} out, and list only the values that it allows.`,
        values: { keyword: key },
      });
    }
  }
}

function numberPattern(schemas: readonly PlainSchema[], digits: 'integer' | 'decimal'): Pattern {
  let lower: Bound | null = null;
  let upper: Bound | null = null;
  const multiples = new Set<number>();
  for (const { schema, path } of schemas) {
    for (const key of ['minimum', 'exclusiveMinimum']) {
      const value = numberAt(schema, key, path);
      if (value === null) continue;
      const bound: Bound = { value, isExclusive: key === 'exclusiveMinimum' };
      if (lower === null || isTighter(bound, lower, value > lower.value)) lower = bound;
    }
    for (const key of ['maximum', 'exclusiveMaximum']) {
      const value = numberAt(schema, key, path);
      if (value === null) continue;
      const bound: Bound = { value, isExclusive: key === 'exclusiveMaximum' };
      if (upper === null || isTighter(bound, upper, value < upper.value)) upper = bound;
    }
    const multiple = numberAt(schema, 'multipleOf', path);
    if (multiple !== null) multiples.add(multiple);
  }
  if (lower === null && upper === null && multiples.size === 0) {
    return digits === 'integer' ? INTEGER_RULE : NUMBER_RULE;
  }
  const path = schemas.map((one) => one.path).join(' and ');
  return decimalPattern({ digits, lower, upper, multiples: [...multiples], path });
}

function isTighter(bound: Bound, than: Bound, isNarrower: boolean): boolean {
  return isNarrower || (bound.value === than.value && bound.isExclusive);
}
