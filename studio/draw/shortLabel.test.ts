/** Labels of passes made short. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shortLabel } from './shortLabel.ts';

test('shortLabel: a pass has its micro-batch, a pair both, anything else nothing shorter', () => {
  const labels = ['7B16', '0F5', '1W9', '7I1', '14F3 & 1B2', 'send activation', 'nccl_F3', ''];
  assert.deepEqual(labels.map(shortLabel), ['16', '5', '9', '1', '3|2', '', '', '']);
});
