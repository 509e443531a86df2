/** Finding added tokens in a text. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AddedToken, AddedTokenMatcher } from './addedTokens.ts';

function token(content: string, options: Partial<AddedToken> = {}): AddedToken {
  return {
    id: 0,
    content,
    isSpecial: false,
    isNormalized: false,
    stripsLeft: false,
    stripsRight: false,
    isWholeWord: false,
    ...options,
  };
}

/** Segments of a text; tokens in brackets. */
function segments(text: string, tokens: readonly AddedToken[]): readonly string[] {
  const found: string[] = [];
  const matcher = new AddedTokenMatcher(tokens.map((one) => [one.content, one]));
  matcher.forEachSegment(text, (segment, one) => {
    found.push(one === undefined ? segment : `[${segment}]`);
  });
  return found;
}

test('AddedTokenMatcher: takes the leftmost, and of those the longest', () => {
  const tokens = ['<a>', '<a><b>', 'b><c>', '<'].map((content) => token(content));
  assert.deepEqual(segments('x<a><b><c>y', tokens), ['x', '[<a><b>]', '[<]', 'c>y']);
  assert.deepEqual(segments('<a><c>', tokens), ['[<a>]', '[<]', 'c>']);
});

test('AddedTokenMatcher: goes on right after a spelling that breaks off', () => {
  assert.deepEqual(segments('aaab', [token('aab')]), ['a', '[aab]']);
});

test('AddedTokenMatcher: without tokens, or in an empty text, there is only text', () => {
  assert.deepEqual(segments('text', []), ['text']);
  assert.deepEqual(segments('', [token('x')]), []);
});

test('AddedTokenMatcher: takes white space along on the sides a token strips', () => {
  assert.deepEqual(segments('a  <m> \u3000b', [token('<m>', { stripsLeft: true })]), [
    'a',
    '[  <m>]',
    ' \u3000b',
  ]);
  assert.deepEqual(segments('a <m> \u3000b', [token('<m>', { stripsRight: true })]), [
    'a ',
    '[<m> \u3000]',
    'b',
  ]);
  const both = token('<m>', { stripsLeft: true, stripsRight: true });
  assert.deepEqual(segments('<m> <m>', [both]), ['[<m> ]', '[<m>]']);
});

test('AddedTokenMatcher: a whole word is left alone inside another', () => {
  const word = token('the', { isWholeWord: true });
  assert.deepEqual(segments('the other the_ the𝒜 the.', [word]), [
    '[the]',
    ' other the_ the𝒜 ',
    '[the]',
    '.',
  ]);
});

test('AddedTokenMatcher: lengthAt gives the longest spelling at one place', () => {
  const matcher = new AddedTokenMatcher([
    ['ab', token('ab')],
    ['abc', token('abc')],
  ]);
  assert.deepEqual([matcher.lengthAt('xabcab', 1), matcher.lengthAt('xabcab', 4)], [3, 2]);
  assert.equal(matcher.lengthAt('xabcab', 0), 0);
});
