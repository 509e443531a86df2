/** Cutting at a pattern, in the five ways a tokenizer.json names. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readBehavior, readPattern, type SplitBehavior, splitText } from './splitPattern.ts';

/** The words that Hugging Face's documentation gives for `the-final--countdown` cut at `-`. */
const DOCUMENTED: Readonly<Record<SplitBehavior, readonly string[]>> = {
  Removed: ['the', 'final', 'countdown'],
  Isolated: ['the', '-', 'final', '-', '-', 'countdown'],
  MergedWithPrevious: ['the-', 'final-', '-', 'countdown'],
  MergedWithNext: ['the', '-final', '-', '-countdown'],
  Contiguous: ['the', '-', 'final', '--', 'countdown'],
};

test('splitText: the documented example, in all five behaviours', () => {
  const pattern = readPattern({ String: '-' }, 'pattern');
  for (const [behavior, words] of Object.entries(DOCUMENTED)) {
    const rule = { pattern, behavior: readBehavior(behavior, 'behavior'), isInverted: false };
    assert.deepEqual(splitText('the-final--countdown', rule), words, behavior);
  }
});

test('splitText: inverted, what lies between matches is the match', () => {
  const pattern = readPattern({ Regex: '\\p{L}+' }, 'pattern');
  assert.deepEqual(splitText('a, b', { pattern, behavior: 'Removed', isInverted: true }), [
    'a',
    'b',
  ]);
  assert.deepEqual(
    splitText('a, b', { pattern, behavior: 'MergedWithPrevious', isInverted: true }),
    ['a, ', 'b'],
  );
});

test('splitText: an empty match cuts and leaves nothing behind', () => {
  const pattern = readPattern({ Regex: '(?=b)' }, 'pattern');
  assert.deepEqual(splitText('abab', { pattern, behavior: 'Isolated', isInverted: false }), [
    'a',
    'ba',
    'b',
  ]);
});

test('splitText: nothing to cut gives the text, and no text gives nothing', () => {
  const rule = { pattern: /x/gu, behavior: 'Removed', isInverted: false } as const;
  assert.deepEqual(splitText('abc', rule), ['abc']);
  assert.deepEqual(splitText('', rule), []);
  assert.deepEqual(splitText('xx', rule), []);
});

test('readPattern, readBehavior: refuse what is neither', () => {
  assert.throws(() => readPattern({}, 'pattern'), { code: 'tokenizer.shape' });
  assert.throws(() => readPattern('-', 'pattern'), { code: 'tokenizer.shape' });
  assert.throws(() => readBehavior('isolated', 'behavior'), {
    code: 'tokenizer.shape',
    message: /behavior must be one of Removed, Isolated/,
  });
});
