/** Every combination of what a request can ask for, and the page that tells of them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { CONFORMANCE_PAGE, conformancePage } from '../../scripts/conformancePage.ts';

test('docs/conformance.md: every combination holds, and the page says so', async () => {
  assert.equal(await conformancePage(), readFileSync(CONFORMANCE_PAGE, 'utf8'));
});
