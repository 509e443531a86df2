/**
 * Runs every examples/*.ts as a user would, one after the other, and stops at the first that fails.
 * They import `moebius` by its name; the condition `moebius-source` points that name at src/.
 *
 *     npm run examples [-- WORD]     # only files whose name has the word
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../bin/launch.js';

const words = process.argv.slice(2);
const names = readdirSync(join(packageRoot, 'examples'))
  .filter((name) => name.endsWith('.ts'))
  .filter((name) => words.every((word) => name.includes(word)))
  .sort();

const failed = names.find((name) => {
  console.error(`examples: ${name}`);
  const args = ['--conditions=moebius-source', join('examples', name)];
  return spawnSync(process.execPath, args, { cwd: packageRoot, stdio: 'inherit' }).status !== 0;
});
console.error(failed ? `examples: ${failed} FAILED` : `examples: all ${names.length} ran`);
process.exitCode = failed || names.length === 0 ? 1 : 0;
