/** JSON schemas: what is written parses and is admitted by a validator that shares no code. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sampleText, takes, testVocabulary } from '../../../tests/support/grammarTexts.ts';
import { Random } from '../../base/random.ts';
import { compileGrammar } from '../compileGrammar.ts';
import type { CompiledGrammar } from '../grammar.ts';

type Schema = Readonly<Record<string, unknown>>;

/** Closing tokens many times: else random texts would hardly ever end. */
const vocabulary = testVocabulary(
  Array.from({ length: 60 }, (_, i) => ['"', ']', '}'][i % 3] ?? ''),
);

function compiled(schema: unknown): CompiledGrammar {
  return compileGrammar({ kind: 'jsonSchema', schema }, vocabulary);
}

/** Plain validation of the keywords that the cases use. */
function admits(schema: unknown, value: unknown, root: unknown): boolean {
  if (typeof schema === 'boolean') return schema;
  const one = schema as Schema;
  const inner = (part: unknown, of: unknown): boolean => admits(part, of, root);
  const list = (key: string): readonly unknown[] => (one[key] as readonly unknown[]) ?? [];
  const has = (key: string): boolean => one[key] !== undefined;
  const limit = (key: string): number => one[key] as number;
  if (has('$ref')) {
    const keys = String(one.$ref).split('/').slice(1);
    const target = keys.reduce((at: unknown, key) => (at as Schema)[key], root);
    if (!inner(target, value)) return false;
  }
  if (has('allOf') && !list('allOf').every((part) => inner(part, value))) return false;
  for (const key of ['anyOf', 'oneOf']) {
    if (has(key) && !list(key).some((part) => inner(part, value))) return false;
  }
  if (has('enum') && !list('enum').some((each) => same(each, value))) return false;
  if (has('const') && !same(one.const, value)) return false;
  const types = has('type') ? [one.type].flat() : [];
  if (types.length > 0 && !types.some((type) => isOfType(value, String(type)))) return false;
  if (typeof value === 'string') {
    const { length } = [...value];
    if (has('minLength') && length < limit('minLength')) return false;
    if (has('maxLength') && length > limit('maxLength')) return false;
    if (has('pattern') && !new RegExp(String(one.pattern), 'u').test(value)) return false;
    if (has('format') && !isOfFormat(value, String(one.format))) return false;
  }
  if (typeof value === 'number') {
    if (has('minimum') && value < limit('minimum')) return false;
    if (has('maximum') && value > limit('maximum')) return false;
    if (has('exclusiveMinimum') && value <= limit('exclusiveMinimum')) return false;
    if (has('exclusiveMaximum') && value >= limit('exclusiveMaximum')) return false;
    if (has('multipleOf')) {
      const quotient = value / limit('multipleOf');
      if (Math.abs(quotient - Math.round(quotient)) > 1e-9 * Math.abs(quotient)) return false;
    }
  }
  if (Array.isArray(value)) {
    if (has('minItems') && value.length < limit('minItems')) return false;
    if (has('maxItems') && value.length > limit('maxItems')) return false;
    const prefix = list('prefixItems');
    const isGood = (item: unknown, i: number): boolean =>
      inner(i < prefix.length ? prefix[i] : (one.items ?? true), item);
    if (!value.every(isGood)) return false;
  } else if (typeof value === 'object' && value !== null) {
    const properties = (one.properties ?? {}) as Schema;
    const patterned = Object.entries((one.patternProperties ?? {}) as Schema);
    const keys = Object.keys(value);
    if (has('minProperties') && keys.length < limit('minProperties')) return false;
    if (has('maxProperties') && keys.length > limit('maxProperties')) return false;
    if (!list('required').every((key) => Object.hasOwn(value, String(key)))) return false;
    for (const [key, item] of Object.entries(value)) {
      const own = Object.hasOwn(properties, key) ? [properties[key]] : [];
      const matched = patterned.filter(([source]) => new RegExp(source, 'u').test(key));
      const parts = [...own, ...matched.map(([, part]) => part)];
      if (parts.length === 0) parts.push(one.additionalProperties ?? true);
      if (!parts.every((part) => inner(part, item))) return false;
      if (has('propertyNames') && !inner(one.propertyNames, key)) return false;
    }
  }
  return true;
}

function same(a: unknown, b: unknown): boolean {
  try {
    assert.deepStrictEqual(a, b);
    return true;
  } catch {
    return false;
  }
}

function isOfType(value: unknown, type: string): boolean {
  if (type === 'null') return value === null;
  if (type === 'array') return Array.isArray(value);
  if (type === 'integer') return Number.isInteger(value);
  if (type === 'object')
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  return typeof value === type;
}

function isOfFormat(value: string, format: string): boolean {
  if (format === 'date') return new Date(`${value}T00:00:00Z`).toISOString().startsWith(value);
  if (format === 'date-time') return !Number.isNaN(Date.parse(value));
  if (format === 'uuid') return /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i.test(value);
  if (format === 'ipv4') return value.split('.').every((byte) => Number(byte) < 256);
  if (format === 'ipv6') return URL.canParse(`http://[${value}]/`);
  if (format === 'uri') return URL.canParse(value) || /^[a-z][a-z\d+.-]*:/i.test(value);
  if (format === 'email') return /^[^@\s]+@[^@\s]+$/.test(value);
  return format === 'time' && !Number.isNaN(Date.parse(`2024-01-01T${value}`));
}

const TREE: Schema = {
  $defs: {
    node: {
      type: 'object',
      properties: {
        value: { type: 'integer' },
        next: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] },
      },
      required: ['value', 'next'],
      additionalProperties: false,
    },
  },
  $ref: '#/$defs/node',
};

/** Schemas with texts that are admitted, and texts that are not. */
const CASES: Readonly<Record<string, readonly [Schema, readonly string[], readonly string[]]>> = {
  'types and lists of types': [
    { type: ['integer', 'null', 'boolean'] },
    ['1', '-20', 'null', 'true'],
    ['1.5', '"a"', '[]', '01', '+1'],
  ],
  'any value': [{}, ['{"a":[1,{"b":null}]}', '"x"', '-0.5e+3', '[]'], ['', '{', 'nul', '{"a":1,}']],
  'optional and required properties': [
    {
      type: 'object',
      properties: { a: { type: 'string' }, b: { type: 'integer' }, c: { const: 'x' } },
      required: ['b'],
    },
    [
      '{"b":1}',
      '{"a":"","b":2}',
      '{"b":1,"c":"x"}',
      '{"a":"z", "b": 3,\n  "c": "x"\n}',
      '{ "b":1 }',
    ],
    ['{}', '{"a":"x"}', '{"b":1,"a":"x"}', '{"b":1,"d":2}', '{"b":1,}', '{,"b":1}', '{  "b":1}'],
  ],
  'all properties optional': [
    { type: 'object', properties: { a: { type: 'null' }, b: { type: 'null' } } },
    ['{}', '{ }', '{"a":null}', '{"b":null}', '{"a":null,"b":null}', '{\n}'],
    ['{,}', '{"b":null,"a":null}', '{  }'],
  ],
  'additional properties': [
    {
      type: 'object',
      properties: { 'a"b': { type: 'integer' } },
      additionalProperties: { type: 'string' },
    },
    ['{}', '{"a\\"b":1}', '{"x":"y"}', '{"a\\"b":1,"x":"y","z":""}', '{"a":"é"}'],
    ['{"x":1}', '{"a\\"b":"x"}', '{"x":"y","a\\"b":1}'],
  ],
  'maps with counts': [
    {
      type: 'object',
      additionalProperties: { type: 'integer' },
      minProperties: 1,
      maxProperties: 2,
    },
    ['{"a":1}', '{"a":1,"b":2}'],
    ['{}', '{"a":1,"b":2,"c":3}'],
  ],
  'patterns of names': [
    {
      type: 'object',
      patternProperties: { '^n': { type: 'integer' }, s$: { type: ['string', 'integer'] } },
      additionalProperties: false,
      propertyNames: { maxLength: 4 },
    },
    ['{"n":1}', '{"as":"x"}', '{"ns":1}', '{}'],
    ['{"n":"x"}', '{"ns":"x"}', '{"b":1}', '{"nnnnn":1}'],
  ],
  'required names that have no schema': [
    { type: 'object', properties: { a: { type: 'null' } }, required: ['a', 'b'] },
    ['{"a":null,"b":[1]}'],
    ['{"a":null}', '{"b":1}'],
  ],
  arrays: [
    { type: 'array', items: { type: 'integer' }, minItems: 2, maxItems: 4 },
    ['[1,2]', '[1, 2, 3]', '[\n  1,\n  2,\n  3,\n  4\n]'],
    ['[]', '[1]', '[1,2,3,4,5]', '[1,"a"]', '[1,2,]'],
  ],
  tuples: [
    {
      type: 'array',
      prefixItems: [{ type: 'string' }, { type: 'integer' }],
      items: { type: 'boolean' },
      minItems: 1,
      maxItems: 4,
    },
    ['["a"]', '["a",1]', '["a",1,true]', '["a",1,true,false]'],
    ['[]', '[1]', '["a",true]', '["a",1,true,true,true]'],
  ],
  'tuples that end': [
    { type: 'array', prefixItems: [{ type: 'null' }, { type: 'null' }], items: false },
    ['[]', '[null]', '[null,null]'],
    ['[null,null,null]'],
  ],
  'strings with lengths': [
    { type: 'string', minLength: 2, maxLength: 3 },
    ['"ab"', '"中文字"', '"\\n\\u00e9"', '"😀😀"', '"\\ud83d\\ude00a"'],
    ['"a"', '"abcd"', '"\\ud83d"', '"\\ud83d\\u0041a"', '"a\nb"', '"\\x41a"'],
  ],
  'strings with long lengths': [
    { type: 'string', minLength: 300, maxLength: 400 },
    [`"${'é'.repeat(300)}"`, `"${'a'.repeat(400)}"`],
    [`"${'a'.repeat(299)}"`, `"${'a'.repeat(401)}"`],
  ],
  'strings with patterns': [
    { type: 'string', pattern: '^[A-Z]{2}-\\d+$' },
    ['"AB-1"', '"ZZ-007"'],
    ['"A-1"', '"AB-"', '"AB-1x"', '"xAB-1"'],
  ],
  'patterns, lengths and escapes': [
    { type: 'string', pattern: 'a"\\\\|\\n', maxLength: 4 },
    ['"a\\"\\\\"', '"xa\\"\\\\"', '"\\n"', '"123\\n"'],
    ['"a\\""', '"1234\\n"', '""'],
  ],
  integers: [
    { type: 'integer', minimum: -12, exclusiveMaximum: 205 },
    ['-12', '-1', '0', '9', '99', '199', '204'],
    ['-13', '205', '1000', '-0', '007', '1.0', '2e1'],
  ],
  'integers that are multiples': [
    { type: 'integer', minimum: 10, multipleOf: 7 },
    ['14', '21', '7000'],
    ['7', '15', '-14', '0'],
  ],
  numbers: [
    { type: 'number', exclusiveMinimum: -0.25, maximum: 1.5 },
    ['0', '1', '1.5', '1.50', '0.0001', '-0.2499', '1.4999'],
    ['-0.25', '1.51', '2', '10', '1e0', '-1', '-0.0'],
  ],
  'numbers that are multiples': [
    { type: 'number', multipleOf: 0.05, minimum: 0 },
    ['0', '1.5', '0.05', '12.35', '3.10'],
    ['0.01', '1.234', '-0.05'],
  ],
  'enums and constants': [
    { enum: ['a', 1, null, { x: [1, 2] }, 'a"b'] },
    ['"a"', '1', 'null', '{"x":[1,2]}', '{"x": [1, 2]}', '"a\\"b"'],
    ['"b"', '2', '{"x":[1]}', 'true'],
  ],
  'enums with types': [{ type: 'string', enum: ['a', 1, 'b'] }, ['"a"', '"b"'], ['1']],
  'allOf and anyOf together': [
    {
      allOf: [
        { properties: { kind: { type: 'string' }, id: { type: 'integer', minimum: 1 } } },
        { required: ['kind'], properties: { id: { maximum: 9 } } },
      ],
      type: 'object',
      oneOf: [
        { properties: { kind: { const: 'x' } } },
        { properties: { kind: { const: 'y' }, y: { type: 'null' } }, required: ['y'] },
      ],
    },
    [
      '{"kind":"x"}',
      '{"kind":"x","id":5}',
      '{"kind":"y","y":null}',
      '{"kind":"y","id":9,"y":null}',
    ],
    ['{}', '{"kind":"z"}', '{"kind":"y"}', '{"kind":"x","id":10}', '{"kind":"x","id":0}'],
  ],
  recursion: [
    TREE,
    ['{"value":1,"next":null}', '{"value":1,"next":{"value":2,"next":{"value":3,"next":null}}}'],
    ['{"value":1}', '{"value":1,"next":{}}', 'null'],
  ],
  'recursion with conditions': [
    {
      $defs: { list: { type: 'array', items: { $ref: '#/$defs/list' } } },
      allOf: [{ $ref: '#/$defs/list' }, { maxItems: 1 }],
    },
    ['[]', '[[]]', '[[[],[]]]'],
    ['[[],[]]', '[1]'],
  ],
  dates: [
    { type: 'string', format: 'date' },
    ['"2024-02-29"', '"1999-12-31"', '"2000-02-29"'],
    ['"2023-02-29"', '"1900-02-29"', '"2024-13-01"', '"2024-04-31"'],
  ],
  'date-times': [
    { type: 'string', format: 'date-time' },
    ['"2024-02-29T23:59:59Z"', '"2024-01-01T00:00:00.125+02:00"'],
    ['"2024-02-29"', '"2024-02-29T24:00:00Z"', '"2024-02-29T10:00:00"'],
  ],
  'IPv6 addresses': [
    { type: 'string', format: 'ipv6' },
    ['"::"', '"::1"', '"2001:db8::8a2e:370:7334"', '"1:2:3:4:5:6:7:8"', '"::ffff:1.2.3.4"'],
    ['"1:2:3"', '":::"', '"1:2:3:4:5:6:7:8:9"', '"12345::"'],
  ],
  'other formats': [
    {
      type: 'array',
      items: { anyOf: ['uuid', 'email', 'ipv4', 'time'].map((format) => ({ format })) },
    },
    ['["123e4567-e89b-12d3-a456-426614174000","a.b@c.org","255.0.1.9","12:00:00Z"]'],
    ['["x"]', '["256.1.1.1"]', '["a@"]', '["1.2.3"]'],
  ],
};

for (const [name, [schema, good, bad]] of Object.entries(CASES)) {
  test(`schemas, ${name}: take what they admit and nothing else`, () => {
    const grammar = compiled(schema);
    for (const text of good) {
      assert.ok(admits(schema, JSON.parse(text), schema), `the validator on ${text}`);
      assert.ok(takes(grammar, text), text);
    }
    for (const text of bad) assert.ok(!takes(grammar, text), text);
  });

  test(`schemas, ${name}: whatever the masks let through parses and is admitted`, () => {
    const grammar = compiled(schema);
    let numEnded = 0;
    for (let seed = 0; seed < 12; seed++) {
      const random = new Random(seed, name);
      const pick = (count: number): number => random.integer(count);
      const text = sampleText({ grammar, vocabulary, pick, maxSteps: 1500 });
      if (text === null) continue;
      numEnded++;
      assert.ok(admits(schema, JSON.parse(text), schema), text);
    }
    assert.ok(numEnded > 0, 'no text ended');
  });
}

test('integers: bounds and multiples are exact for random ones', () => {
  const number = fc.integer({ min: -1500, max: 1500 });
  fc.assert(
    fc.property(number, number, fc.integer({ min: 1, max: 12 }), (a, b, multipleOf) => {
      const [minimum, maximum] = [Math.min(a, b), Math.max(a, b)];
      const schema = { type: 'integer', minimum, maximum, multipleOf };
      if (Math.floor(maximum / multipleOf) * multipleOf < minimum) {
        assert.throws(() => compiled(schema), { code: 'grammar.empty' });
        return;
      }
      const grammar = compiled(schema);
      const near = [-2, -1, 0, 1, 2].flatMap((d) => [minimum + d, maximum + d, d, a * 10 + d]);
      for (const value of near) {
        const isIn = value >= minimum && value <= maximum && value % multipleOf === 0;
        assert.equal(takes(grammar, String(value)), isIn, `${value}`);
      }
    }),
    { numRuns: 60, endOnFailure: true },
  );
});

test('numbers: bounds are exact for random decimals', () => {
  const decimal = fc.integer({ min: -30_000, max: 30_000 }).map((n) => n / 1000);
  fc.assert(
    fc.property(decimal, decimal, fc.array(decimal, { minLength: 10 }), (a, b, values) => {
      const [minimum, exclusiveMaximum] = [Math.min(a, b), Math.max(a, b) + 0.001];
      const grammar = compiled({ type: 'number', minimum, exclusiveMaximum });
      for (const value of [...values, minimum, exclusiveMaximum, 0]) {
        const isIn = value >= minimum && value < exclusiveMaximum;
        assert.equal(takes(grammar, String(value)), isIn && !/e/.test(String(value)), `${value}`);
      }
    }),
    { numRuns: 60, endOnFailure: true },
  );
});

test('any JSON: every value that JSON.stringify writes is taken, indented too', () => {
  const grammar = compiled({});
  const object = compileGrammar({ kind: 'jsonObject' }, vocabulary);
  fc.assert(
    fc.property(
      fc.jsonValue({ stringUnit: 'binary' }),
      fc.constantFrom(0, 2, '\t'),
      (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        assert.ok(takes(grammar, text), text);
        assert.equal(takes(object, text), isOfType(value, 'object'), text);
        assert.ok(!takes(grammar, text.slice(0, -1)) || typeof value === 'number');
      },
    ),
    { numRuns: 200, endOnFailure: true },
  );
});

test('refusals: what cannot be enforced is named, with the place', () => {
  const refused: readonly (readonly [Schema, RegExp])[] = [
    [{ not: {} }, /#: the keyword not/],
    [{ properties: { a: { if: {} } } }, /#\/properties\/a: the keyword if/],
    [{ type: 'array', uniqueItems: true }, /uniqueItems/],
    [{ items: { contains: {} } }, /#\/items: the keyword contains/],
    [{ type: 'strin' }, /"strin" is no type/],
    [{ propertys: {} }, /propertys/],
    [{ $ref: '#/$defs/missing' }, /leads nowhere/],
    [{ $ref: 'https://example.org/x' }, /another document/],
    [{ $ref: '#' }, /refers to itself/],
    [{ format: 'idn-email' }, /idn-email/],
    [{ enum: ['a'], minLength: 3 }, /minLength beside enum/],
    [{ multipleOf: 0.123456789 }, /multipleOf/],
    [{ properties: { a: {}, b: {} }, maxProperties: 1 }, /maxProperties/],
    [{ minLength: -1 }, /count/],
    [{ items: [{}] }, /older drafts/],
  ];
  for (const [schema, message] of refused) {
    assert.throws(() => compiled(schema), { code: 'grammar.unsupportedSchema', message });
  }
  assert.throws(() => compiled('x'), { code: 'grammar.unsupportedSchema' });
  assert.throws(() => compiled({ pattern: '(?=a)' }), { code: 'grammar.notRegular' });
});

test('refusals: schemas that admit nothing', () => {
  const node = { type: 'object', properties: { next: { $ref: '#' } }, required: ['next'] };
  const empty = [false, { enum: [] }, { allOf: [{ type: 'null' }, { type: 'string' }] }, node];
  for (const schema of [...empty, { type: 'integer', minimum: 3, maximum: 2 }]) {
    assert.throws(() => compiled(schema), { code: 'grammar.empty' });
  }
});
