/** Oniguruma's dialect in JavaScript's: what it means, and what is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MoebiusError } from '../base/errors.ts';
import { compileLiteral, compileOniguruma } from './oniguruma.ts';

function matches(pattern: string, text: string): readonly string[] {
  return text.match(compileOniguruma(pattern)) ?? [];
}

test('\\s: is White_Space, which has U+0085 and lacks U+FEFF', () => {
  assert.deepEqual(matches('\\s', 'a\u0085b\ufeffc\u3000'), ['\u0085', '\u3000']);
  assert.deepEqual(matches('[^\\s]+', 'a\u0085b\ufeffc'), ['a', 'b\ufeffc']);
  assert.deepEqual(matches('\\S+', 'a b'), ['a', 'b']);
});

test('\\d, \\w and \\h: are Unicode digits, word characters and hexadecimal digits', () => {
  assert.deepEqual(matches('\\d+', '12٣²x'), ['12٣']);
  assert.deepEqual(matches('\\w+', 'né_ñ1—x²'), ['né_ñ1', 'x']);
  assert.deepEqual(matches('\\W+', 'a—!b'), ['—!']);
  assert.deepEqual(matches('\\h+', 'xAf09g'), ['Af09']);
  assert.deepEqual(matches('[\\H]', 'ag'), ['g']);
});

test('anchors: ^ and $ hold at every line, \\A, \\z and \\Z at the ends', () => {
  assert.deepEqual(matches('^.', 'ab\ncd'), ['a', 'c']);
  assert.deepEqual(matches('.$', 'ab\ncd'), ['b', 'd']);
  assert.deepEqual(matches('\\A.', 'ab\ncd'), ['a']);
  assert.deepEqual(matches('.\\z', 'ab\ncd\n'), []);
  assert.deepEqual(matches('.\\Z', 'ab\ncd\n'), ['d']);
});

test('dot: excludes only line feeds', () => {
  assert.deepEqual(matches('.+', 'a\rb\u2028c\nd'), ['a\rb\u2028c', 'd']);
});

test('(?i:…): folds ASCII letters, alone, in classes and ranges, up to its end', () => {
  assert.deepEqual(matches("'(?i:s|ll)x", "'Sx 'LLx 'sX"), ["'Sx", "'LLx"]);
  assert.deepEqual(matches('(?i:[sdm])', 'S d x'), ['S', 'd']);
  assert.deepEqual(matches('(?i:[a-c]+)', 'aBCd'), ['aBC']);
});

test('possessive and atomic: give nothing back', () => {
  assert.deepEqual(matches('a++a', 'aaa'), []);
  assert.deepEqual(matches('[^\\n\\p{L}]?+\\p{L}+', ' ab1cd'), [' ab', '1cd']);
  assert.deepEqual(matches('(?>a|ab)c', 'abc ac'), ['ac']);
  assert.deepEqual(matches('(?>a+)(?>b+)c', 'aabbc'), ['aabbc']);
  assert.deepEqual(matches('a*+', 'aab'), ['aa', '', '']);
});

test('quantifiers: braces, an open lower bound, lazy ones, and a brace that is none', () => {
  assert.deepEqual(matches('a{2}', 'aaaaa'), ['aa', 'aa']);
  assert.deepEqual(matches('ba{,2}', 'baaa'), ['baa']);
  assert.deepEqual(matches('a{1,}?b', 'aab'), ['aab']);
  assert.deepEqual(matches('a{x}', 'a{x}'), ['a{x}']);
});

test('classes: nested ones, intersections, posix names, a first ], literal - and signs', () => {
  assert.deepEqual(matches('[^(\\s|[.,])]+', 'a,b (c|d'), ['a', 'b', 'c', 'd']);
  assert.deepEqual(matches('[\\p{L}&&[^a-c]]+', 'abcdé1'), ['dé']);
  assert.deepEqual(matches('[^\\p{L}&&\\p{Lu}]+', 'aB1'), ['a', '1']);
  assert.deepEqual(matches('[[:digit:]x]+', '1x٣y'), ['1x٣']);
  assert.deepEqual(matches('[[:^digit:]]+', '1xy2'), ['xy']);
  assert.deepEqual(matches('[]a]+', 'a]b'), ['a]']);
  assert.deepEqual(matches('[+-]+', 'a+-b'), ['+-']);
  assert.deepEqual(matches('[\\s-x]+', 'a -x'), [' -x']);
  assert.deepEqual(matches('[a-\\d]+', '1-a'), ['1-a']);
  assert.deepEqual(matches('[!-/:&&[^.]]+', '!./'), ['!', '/']);
});

test('properties: scripts need no prefix, and a caret negates', () => {
  assert.deepEqual(matches('\\p{Han}+', 'ab漢字c'), ['漢字']);
  assert.deepEqual(matches('\\p{^L}+', 'ab12c'), ['12']);
  assert.deepEqual(matches('\\P{^L}+', 'ab12c'), ['ab', 'c']);
});

test('escapes: code points, controls and signs', () => {
  assert.deepEqual(matches('\\x41\\x{1F600}\\u00e9', 'A😀é'), ['A😀é']);
  assert.deepEqual(matches('[\\t\\n\\v\\f\\r\\a\\e]', '\u0007\u001b'), ['\u0007', '\u001b']);
  assert.deepEqual(matches('\\-\\/\\#\\ \\"', '-/# "'), ['-/# "']);
});

test('groups: look around, take names, and leave what is matched as it is', () => {
  assert.deepEqual(matches('\\s+(?!\\S)|\\s+', 'a  b'), [' ', ' ']);
  assert.deepEqual(matches('(?<=a)b|(?<!a)c|(?:d)(?=e)', 'ab c de'), ['b', 'c', 'd']);
  assert.deepEqual(matches('(?<name>a)(b)', 'ab'), ['ab']);
});

test('compileLiteral: takes every sign literally', () => {
  assert.deepEqual('a.(b)[c]^-x'.match(compileLiteral('.(b)[c]^-')), ['.(b)[c]^-']);
});

test('compileOniguruma: refuses by name what it cannot keep', () => {
  const refusals: readonly (readonly [string, RegExp])[] = [
    ['\\bword', /\\b is not supported/],
    ['(a)\\1', /\\1 is not supported/],
    ['\\K', /\\K is not supported/],
    ['(?i)abc', /the group \(\?i\)/],
    ['(?m:a)', /the group \(\?m:/],
    ['(a', /an unclosed group/],
    ['a)', /an unmatched \)/],
    ['[a', /an unclosed \[/],
    ['[z-a]', /runs backwards/],
    ['[a&&]', /an empty side of &&/],
    ['+a', /\+ with nothing before it/],
    ['a**', /a quantifier after a quantifier/],
    ['a{2}+', /a \+ after \{…\}/],
    ['\\p{Klingon}', /the property \\p\{Klingon\}/],
    ['(?i:\\p{Ll})', /inside \(\?i:…\)/],
    ['(?i:[!-z])', /this range inside \(\?i:…\)/],
    ['[[:punct:]]', /\[:punct:\] is not supported/],
    ['\\x{110000}', /the code point/],
    ['a\\', /a \\ at the end/],
  ];
  for (const [pattern, message] of refusals) {
    assert.throws(
      () => compileOniguruma(pattern),
      (error: unknown) => {
        assert.ok(error instanceof MoebiusError, pattern);
        assert.equal(error.code, 'tokenizer.regex');
        assert.match(error.message, message);
        assert.equal(error.values.pattern, pattern);
        return true;
      },
    );
  }
});
