/**
 * The golden tests of the model over the full set: YaRN, V2 and V2-Lite folders, every gradient
 * whole, intermediate tensors. `MOEBIUS_GOLDEN` names the set, which is too large to commit.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { goldenRoot } from '../support/golden.ts';
import '../model/goldenDecode.test.ts';
import '../model/goldenForward.test.ts';
import '../model/goldenTraining.test.ts';

test('The full golden set is there: set MOEBIUS_GOLDEN to its folder', () => {
  for (const folder of ['v3-tiny', 'v3-tiny-yarn', 'v2-tiny', 'v2-lite-tiny', 'v3-tiny-fp8']) {
    assert.ok(existsSync(join(goldenRoot, folder, 'expected.safetensors')), folder);
  }
});
