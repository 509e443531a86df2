/**
 * `moebius forward` over the full golden set: YaRN, V2 and V2-Lite too, and every gradient whole.
 * It lies beside the checkout, or where `MOEBIUS_GOLDEN` or `MOEBIUS_SHARED` says.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { projectRoot } from '../support/projectFiles.ts';

const { MOEBIUS_GOLDEN, MOEBIUS_SHARED = join(projectRoot, '..', 'shared') } = process.env;
const root = MOEBIUS_GOLDEN ?? join(MOEBIUS_SHARED, 'golden');

if (existsSync(join(root, 'v2-tiny', 'expected.safetensors'))) {
  // Read once, when the golden files' reader is loaded.
  process.env.MOEBIUS_GOLDEN = root;
  const { testForwardGoldens } = await import('../support/forwardGoldens.ts');
  testForwardGoldens();
} else {
  test('forward: the full golden set', { skip: `it is not at ${root}` }, () => {});
}
