/** The pair's picture: each part has letters of its own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { lettersOf } from './pairTimeline.ts';

test('lettersOf: one letter each, two where the first is taken', () => {
  const names = ['attention', 'experts', 'dispatch', 'combine', 'denseMlp', 'embedding', 'experts'];
  assert.deepEqual([...lettersOf(names).values()], ['A', 'E', 'D', 'C', 'De', 'Em']);
});

test('lettersOf: no two names share letters unless one begins the other', () => {
  const name = fc.stringMatching(/^[a-e]{1,5}$/);
  fc.assert(
    fc.property(fc.uniqueArray(name, { maxLength: 9 }), (names) => {
      const letters = [...lettersOf(names)];
      for (const [index, [first, mark]] of letters.entries()) {
        for (const [other, otherMark] of letters.slice(index + 1)) {
          assert.ok(mark !== otherMark || first.startsWith(other), `${first} ${other}: ${mark}`);
        }
      }
    }),
  );
});
