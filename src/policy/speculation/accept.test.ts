/** Acceptance of drafts: laws of the rule, over random drafts and samples. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { acceptDrafts } from './accept.ts';

test('acceptDrafts: accepted drafts are the longest common prefix, and one sample follows', () => {
  const token = fc.integer({ min: 0, max: 2 });
  fc.assert(
    fc.property(fc.array(token, { maxLength: 5 }), fc.array(token, { maxLength: 6 }), (d, s) => {
      const drafts = d.slice(0, s.length - 1);
      fc.pre(s.length > 0);
      const { numAccepted, tokens } = acceptDrafts(drafts, s);
      assert.deepEqual(tokens, s.slice(0, numAccepted + 1));
      assert.deepEqual(drafts.slice(0, numAccepted), s.slice(0, numAccepted));
      if (numAccepted < drafts.length) assert.notEqual(drafts[numAccepted], s[numAccepted]);
    }),
  );
});

test('acceptDrafts: without drafts the one sample is the new token', () => {
  assert.deepEqual(acceptDrafts([], [7]), { numAccepted: 0, tokens: [7] });
});
