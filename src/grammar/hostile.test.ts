/**
 * Grammars that were made to hurt: each is refused by name, none overflows the stack, and none is
 * followed for longer than the bounds of `effort.ts` let it. `bench/grammarMasks.ts` has the times.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MoebiusError } from '../base/errors.ts';
import { compileGrammar } from './compileGrammar.ts';
import type { GrammarSpec, GrammarVocabulary } from './grammar.ts';

/** All bytes, all pairs of letters, and the end. */
const LETTERS = 'abcdefghijklmnopqrstuvwxyz';
const SPELLINGS: readonly Uint8Array[] = [
  ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
  ...[...LETTERS].flatMap((a) => [...LETTERS].map((b) => new TextEncoder().encode(a + b))),
];
const END = SPELLINGS.length;
const vocabulary: GrammarVocabulary = {
  size: END + 1,
  bytesOf: (id) => SPELLINGS[id] ?? null,
  controlToken: () => undefined,
  endIds: new Set([END]),
};

function nested(depth: number): unknown {
  let schema: unknown = { type: 'string' };
  for (let i = 0; i < depth; i++) schema = { type: 'array', items: schema };
  return schema;
}

/** Definitions each of which refers to the next one. */
function chained(length: number, link: (reference: object) => object): unknown {
  const names = Array.from({ length }, (_, i) => `d${i}`);
  const definitions = names.map((name, i) => [name, link({ $ref: `#/$defs/d${i + 1}` })]);
  return { $defs: Object.fromEntries([...definitions, [`d${length}`, {}]]), $ref: '#/$defs/d0' };
}

function ofSchema(schema: unknown): GrammarSpec {
  return { kind: 'jsonSchema', schema };
}

const HOSTILE: readonly (readonly [what: string, code: string, spec: GrammarSpec])[] = [
  ['a count to a million', 'grammar.tooLarge', { kind: 'regex', pattern: 'a{1,1000000}' }],
  [
    'a count of 400 digits',
    'grammar.badRegex',
    { kind: 'regex', pattern: `a{${'9'.repeat(400)}}` },
  ],
  ['subsets that double', 'grammar.tooLarge', { kind: 'regex', pattern: '(a|b)*a(a|b){30}' }],
  ['a megabyte of text', 'grammar.tooLarge', { kind: 'regex', pattern: 'a'.repeat(1e6) }],
  [
    'rules without end',
    'grammar.tooLarge',
    { kind: 'ebnf', text: `root ::= "a"${' '.repeat(1e6)}` },
  ],
  [
    'stars on stars',
    'grammar.tooDeep',
    { kind: 'ebnf', text: `root ::= "a"${'*'.repeat(50_000)}` },
  ],
  ['schemas in schemas', 'grammar.tooDeep', ofSchema(nested(20_000))],
  ['references in a row', 'grammar.tooDeep', ofSchema(chained(20_000, (next) => next))],
  [
    'references through properties',
    'grammar.tooDeep',
    ofSchema(chained(10_000, (next) => ({ type: 'object', properties: { x: next } }))),
  ],
  [
    'many patterns, none too large',
    'grammar.tooLarge',
    ofSchema({
      type: 'array',
      prefixItems: Array.from({ length: 400 }, (_, i) => ({ pattern: `^(a|b)*a(a|b){9}${i}$` })),
    }),
  ],
  ['a reference that is no URI', 'grammar.unsupportedSchema', ofSchema({ $ref: '#/%E0%A4%A' })],
];

for (const [what, code, spec] of HOSTILE) {
  test(`Hostile grammar: ${what}, is refused`, () => {
    assert.throws(
      () => compileGrammar(spec, vocabulary),
      (error) => error instanceof MoebiusError && error.code === code && error.hint !== undefined,
    );
    // The next one has the whole of its own effort.
    compileGrammar({ kind: 'regex', pattern: '[a-z]{1,40}' }, vocabulary);
  });
}

test('Hostile grammar: a text that can be read in too many ways ends with a refusal', () => {
  const numRules = 60;
  const name = (i: number): string => `a${i % numRules}`;
  const rules = Array.from({ length: numRules }, (_, i) => {
    const twice = `. ${name(i * 7 + 1)} ${name(i + 5)}`;
    return `${name(i)} ::= ${twice} | . ${name(i * 3 + 2)} | .`;
  });
  const all = Array.from({ length: numRules }, (_, i) => name(i)).join(' | ');
  const text = [`root ::= ${all}`, ...rules].join('\n');
  const matcher = compileGrammar({ kind: 'ebnf', text }, vocabulary).start();
  const mask = new Uint32Array(Math.ceil(vocabulary.size / 32));
  assert.throws(
    () => {
      for (let i = 0; i < 40; i++) {
        matcher.fillMask(mask);
        matcher.accept(97);
      }
    },
    { code: 'grammar.tooAmbiguous' },
  );
});
