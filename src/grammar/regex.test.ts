/** Regular expressions, held to the engine's own on random texts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MoebiusError } from '../base/errors.ts';
import { type Automaton, matches } from './automaton.ts';
import { regularAutomaton } from './nfa.ts';
import { searchRegex, wholeRegex } from './regex.ts';

const utf8 = new TextEncoder();

function assertSame(source: string, texts: readonly string[]): void {
  const [whole, search] = automataOf(source);
  const peerWhole = new RegExp(`^(?:${source})$`, 'u');
  const peerSearch = new RegExp(source, 'u');
  for (const text of texts) {
    const bytes = utf8.encode(text);
    const at = `/${source}/ on ${JSON.stringify(text)}`;
    assert.equal(matches(whole, bytes), peerWhole.test(text), at);
    assert.equal(matches(search, bytes), peerSearch.test(text), `${at}, anywhere`);
  }
}

/** Expressions whose automata would be exponentially large are refused, which is no mistake. */
function automataOf(source: string): readonly [Automaton, Automaton] {
  try {
    return [regularAutomaton(wholeRegex(source)), regularAutomaton(searchRegex(source))];
  } catch (error) {
    fc.pre(!(error instanceof MoebiusError && error.code === 'grammar.tooLarge'));
    throw error;
  }
}

const LETTERS = ['a', 'b', 'c', '1', '_', ' ', '\n', '-', 'é', '中', '\u2028', '😀', '\u{10ffff}'];

const atom = fc.oneof(
  fc.constantFrom('a', 'b', 'c', '1', 'é', '中', '😀', '.', '\\.', '\\n'),
  fc.constantFrom(
    '\\d',
    '\\D',
    '\\w',
    '\\W',
    '\\s',
    '\\S',
    '\\p{Script=Han}',
    '\\P{Script=Han}',
    '\\u{1F600}',
  ),
  fc.constantFrom(
    '[ab]',
    '[^ab]',
    '[a-c1]',
    '[^\\w]',
    '[\\s\\d]',
    '[é-中]',
    '[\\u{1F000}-\\u{1FFFF}]',
  ),
  fc.constantFrom('[^]', '[]', '[\\-a]', '[^\\n]', '[\\ud7ff-\\ue000]', '\\x61', '\\u4e2d'),
);
const quantifier = fc.constantFrom(
  '',
  '',
  '',
  '*',
  '+',
  '?',
  '{2}',
  '{1,}',
  '{0,2}',
  '*?',
  '{1,3}?',
);
const { expression } = fc.letrec<{ expression: string; term: string; group: string }>((tie) => ({
  expression: fc
    .array(fc.array(tie('term'), { maxLength: 3 }), { minLength: 1, maxLength: 2 })
    .map((options) => options.map((terms) => terms.join('')).join('|')),
  group: tie('expression').map((inner) => `(?:${inner})`),
  term: fc
    .tuple(fc.oneof({ maxDepth: 2, depthSize: 'small' }, atom, tie('group')), quantifier)
    .map(([body, suffix]) => body + suffix),
}));

test('regular expressions: match what the engine matches, on random expressions and texts', () => {
  const texts = fc.array(
    fc.array(fc.constantFrom(...LETTERS), { maxLength: 6 }).map((letters) => letters.join('')),
    { minLength: 8, maxLength: 8 },
  );
  fc.assert(fc.property(expression, texts, assertSame), { numRuns: 60, endOnFailure: true });
});

test('regular expressions: anchors at the ends of alternatives hold only where they are', () => {
  const texts = ['ab', 'xab', 'abx', 'xabx', 'cd', 'xcd', 'cdx', '', 'a', 'xcdx'];
  for (const source of ['^ab|cd$', '^ab$|cd', 'ab|^cd$', '^(?:ab|cd)$', '^', '$', '^$', 'ab']) {
    assertSame(source, texts);
  }
});

test('regular expressions: named groups and groups that capture are groups', () => {
  assertSame('(a)(?<name>b|c){2}', ['abc', 'abb', 'ab', 'acbc']);
  assert.equal(matches(regularAutomaton(wholeRegex('(?P<x>a)b')), utf8.encode('ab')), true);
});

test('regular expressions: classes hold every character that the engine puts into them', () => {
  const points = fc.integer({ min: 0, max: 0x10ffff }).filter((p) => p < 0xd800 || p > 0xdfff);
  for (const source of ['\\s', '\\w', '.', '\\p{Script=Han}', '[^\\p{Lu}]', '[\\d\\S]']) {
    const automaton = regularAutomaton(wholeRegex(source));
    const peer = new RegExp(`^${source}$`, 'u');
    fc.assert(
      fc.property(points, (point) => {
        const text = String.fromCodePoint(point);
        assert.equal(matches(automaton, utf8.encode(text)), peer.test(text));
      }),
    );
  }
});

test('regular expressions: what is not regular is refused by its name', () => {
  const refusals: readonly (readonly [string, RegExp])[] = [
    ['a(?=b)', /lookahead/],
    ['a(?!b)', /negative lookahead/],
    ['(?<=a)b', /lookbehind/],
    ['(?<!a)b', /negative lookbehind/],
    ['(a)\\1', /back reference \\1/],
    ['(?<x>a)\\k<x>', /back reference \\k/],
    ['\\bword', /word boundary \\b/],
    ['a\\B', /word boundary \\B/],
    ['a^b', /anchor/],
    ['(a$)b', /anchor \$ inside a group/],
    ['a++', /possessive/],
    ['(?>a)', /atomic/],
  ];
  for (const [source, message] of refusals) {
    assert.throws(() => wholeRegex(source), { code: 'grammar.notRegular', message }, source);
  }
});

test('regular expressions: mistakes are refused with their place', () => {
  const broken = [
    '(',
    ')',
    'a)',
    '[a',
    '*a',
    'a**',
    'a{3,2}',
    'a{,3}',
    '\\',
    '\\q',
    '\\x1',
    '[z-a]',
  ];
  for (const source of [...broken, '\\p{Nothing}', '\\u{110000}', '\\ud800', '(?i)a', '\\01']) {
    assert.throws(
      () => wholeRegex(source),
      (error) => error instanceof MoebiusError && error.code === 'grammar.badRegex',
      source,
    );
  }
  assert.throws(() => wholeRegex('abc(d'), { values: { pattern: 'abc(d', position: 6 } });
});
