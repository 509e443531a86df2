/** Matchers: masks are what accept says, for any grammar and any vocabulary. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  acceptedBy,
  maskOf,
  sampleText,
  takes,
  testVocabulary,
} from '../../tests/support/grammarTexts.ts';
import { Random } from '../base/random.ts';
import { compileGrammar } from './compileGrammar.ts';
import type { GrammarSpec } from './grammar.ts';

const CONTROLS = ['<call>', '<end>'];

/** Of every kind: nested, ambiguous, counted, right recursive, with control tokens. */
const SPECS: Readonly<Record<string, GrammarSpec>> = {
  object: { kind: 'jsonObject' },
  regex: { kind: 'regex', pattern: '(?:[a-é]{2,5}|中.|"\\d+")*x?' },
  counted: { kind: 'regex', pattern: '(?:ab?){120,140}c' },
  bounded: { kind: 'regex', pattern: '"(?:a|é|\\\\"){0,130}"b{0,200}' },
  choice: { kind: 'choice', choices: ['yes', 'no', 'yesterday', '中', '中国'] },
  nested: { kind: 'ebnf', text: 'root ::= "(" root* ")" | "[" root ("," root)* "]"? | "a"' },
  ambiguous: { kind: 'ebnf', text: 'root ::= item+\nitem ::= "a" | "a" item "b"? | "ab" root?' },
  controls: {
    kind: 'ebnf',
    text: 'root ::= ~"</" ( <[<call>]> [a-z]+ "{" root "}" )* <[<end>]>?',
  },
  optional: {
    kind: 'ebnf',
    text: 'root ::= a b c "."\na ::= "x"?\nb ::= a "y"*\nc ::= (a b)? "z"?',
  },
  schema: {
    kind: 'jsonSchema',
    schema: {
      type: 'object',
      properties: {
        a: { type: 'string', maxLength: 3 },
        b: { type: ['integer', 'null'], minimum: -5, maximum: 120 },
        c: { type: 'array', items: { $ref: '#' }, maxItems: 2 },
      },
      required: ['b'],
      additionalProperties: { type: 'boolean' },
    },
  },
};

const PIECES = [
  'a',
  'b',
  'ab',
  'é',
  '中',
  '国',
  '"',
  '":',
  '", "',
  '{',
  '}',
  '{"',
  '},',
  '[',
  ']',
  ',',
];
const MORE = [': ', '\n', '\n  ', ' ', '0', '12', '-', '(', ')', '"a"', '"b":', 'x', 'yes', 'aba'];

/** Tokens of pieces, cut anywhere: also inside a character. */
const tokens = fc.array(
  fc
    .tuple(
      fc.array(fc.constantFrom(...PIECES, ...MORE), { minLength: 1, maxLength: 4 }),
      fc.nat(2),
      fc.nat(2),
    )
    .map(([pieces, before, behind]) => {
      const bytes = new TextEncoder().encode(pieces.join(''));
      return bytes.slice(Math.min(before, bytes.length - 1), bytes.length - behind);
    })
    .filter((bytes) => bytes.length > 0),
  { minLength: 20, maxLength: 40 },
);

for (const [name, spec] of Object.entries(SPECS)) {
  test(`masks: hold exactly the tokens that accept takes, grammar ${name}`, () => {
    fc.assert(
      fc.property(tokens, fc.nat(), (extra, seed) => {
        const vocabulary = testVocabulary(extra, CONTROLS);
        const random = new Random(seed);
        const grammar = compileGrammar(spec, vocabulary);
        sampleText({
          grammar,
          vocabulary,
          pick: (count) => random.integer(count),
          maxSteps: 30,
          look: (matcher, allowed) => {
            assert.deepEqual(allowed, acceptedBy(matcher, vocabulary.size));
            assert.ok(allowed.length > 0, 'a text can always go on or end');
            assert.equal(allowed.includes(vocabulary.endId), matcher.mayEnd);
            assert.equal(matcher.forcedToken(), allowed.length === 1 ? allowed[0] : null);
            const isEnd = allowed.every((id) => id === vocabulary.endId);
            assert.equal(matcher.mustEnd, isEnd);
          },
        });
      }),
      { numRuns: 8, endOnFailure: true },
    );
  });
}

test('masks: are the same for a token as for its bytes one by one', () => {
  const vocabulary = testVocabulary(['{"a"', '": [1, ', '中文"', '}}']);
  const grammar = compileGrammar({ kind: 'jsonObject' }, vocabulary);
  for (let id = 256; id < vocabulary.endId; id++) {
    const whole = grammar.start();
    const byByte = grammar.start();
    for (const byte of new TextEncoder().encode('{"x')) {
      whole.accept(byte);
      byByte.accept(byte);
    }
    const isTaken = [...(vocabulary.tokens[id] ?? [])].every((byte) => byByte.accept(byte));
    assert.equal(whole.accept(id), isTaken);
    if (isTaken) assert.deepEqual(maskOf(whole, 261), maskOf(byByte, 261));
  }
});

test('clones: go their own ways', () => {
  const vocabulary = testVocabulary(['yes', 'yester']);
  const matcher = compileGrammar(
    { kind: 'choice', choices: ['yes', 'yesterday'] },
    vocabulary,
  ).start();
  assert.ok(matcher.accept(256));
  const clone = matcher.clone();
  for (const byte of new TextEncoder().encode('terday')) assert.ok(clone.accept(byte));
  assert.ok(clone.mustEnd);
  assert.ok(matcher.mayEnd);
  assert.ok(!matcher.mustEnd);
  assert.deepEqual(maskOf(matcher, vocabulary.size), ['t'.charCodeAt(0), vocabulary.endId]);
});

test('refused tokens: change nothing, and ids that are none are refused', () => {
  const vocabulary = testVocabulary([new Uint8Array(0)], CONTROLS);
  const matcher = compileGrammar({ kind: 'choice', choices: ['ab'] }, vocabulary).start();
  for (const id of [98, 256, vocabulary.endId, vocabulary.endId + 1, -1, 0.5, 1e9, Number.NaN]) {
    assert.equal(matcher.accept(id), false, String(id));
  }
  assert.ok(matcher.accept(97));
  assert.equal(matcher.forcedToken(), 98);
});

test('end tokens: only they may come after one', () => {
  const vocabulary = testVocabulary([]);
  const matcher = compileGrammar({ kind: 'choice', choices: ['a', 'ab'] }, vocabulary).start();
  assert.ok(matcher.accept(97));
  assert.ok(matcher.accept(vocabulary.endId));
  assert.ok(matcher.mustEnd);
  assert.equal(matcher.forcedToken(), vocabulary.endId);
  assert.equal(matcher.accept(98), false);
  assert.ok(matcher.accept(vocabulary.endId));
});

test('control tokens: come where they are named, never spelled as text', () => {
  const vocabulary = testVocabulary(['<call>'], CONTROLS);
  const call = vocabulary.controlToken('<call>') ?? -1;
  const grammar = compileGrammar({ kind: 'ebnf', text: 'root ::= "a" <[<call>]> "b"' }, vocabulary);
  const matcher = grammar.start();
  assert.equal(matcher.accept(call), false);
  assert.ok(matcher.accept(97));
  assert.equal(matcher.forcedToken(), call);
  assert.equal(matcher.accept(256), false);
  assert.ok(matcher.accept(call));
  assert.ok(matcher.accept(98));
  assert.ok(matcher.mustEnd);
});

test('deep nesting: is followed as far as it goes', () => {
  const vocabulary = testVocabulary(['[[[[', ']]]]']);
  const grammar = compileGrammar({ kind: 'jsonObject' }, vocabulary);
  const depth = 5000;
  assert.ok(takes(grammar, `{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`));
  assert.ok(!takes(grammar, `{"a":${'['.repeat(depth)}${']'.repeat(depth + 1)}}`));
  const matcher = grammar.start();
  for (const byte of new TextEncoder().encode(`{"a":${'['.repeat(depth)}`)) matcher.accept(byte);
  assert.ok(maskOf(matcher, vocabulary.size).includes(257));
});

test('ambiguity: many readings of one text cost states and not time', () => {
  const vocabulary = testVocabulary(['aaaa']);
  const text = 'root ::= s+\ns ::= "a" | "a" s | "a" s s | "aa" s "b"?';
  const grammar = compileGrammar({ kind: 'ebnf', text }, vocabulary);
  assert.ok(takes(grammar, 'a'.repeat(50)));
  const matcher = grammar.start();
  for (let i = 0; i < 40; i++) matcher.accept(97);
  assert.deepEqual(maskOf(matcher, vocabulary.size), acceptedBy(matcher, vocabulary.size));
  const endless = grammar.start();
  assert.throws(
    () => {
      while (endless.accept(97));
    },
    { code: 'grammar.tooAmbiguous' },
  );
});
