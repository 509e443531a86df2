/**
 * Writes dist/, the form in which the package is published: JavaScript with `.d.ts` beside it,
 * since Node runs no TypeScript below node_modules, and the studio's page. npm calls it before it
 * packs.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../bin/launch.js';
import { ensureStudio } from './build-studio.js';
import { say } from './setup/progress.js';

const dist = join(packageRoot, 'dist');
const tsc = join(packageRoot, 'node_modules', '.bin', 'tsc');

rmSync(dist, { recursive: true, force: true });
const { status } = spawnSync(tsc, ['--project', 'tsconfig.build.json'], {
  cwd: packageRoot,
  // npm's own output may be read by a program: what the compiler says goes to the error stream.
  stdio: ['ignore', 2, 2],
});
const absent = ['index.js', 'index.d.ts', 'cli/main.js'].filter(
  (file) => !existsSync(join(dist, 'src', file)),
);
if (status !== 0 || absent.length > 0) {
  say(`dist/ is not fit to publish${absent.length > 0 ? `: ${absent.join(', ')} missing` : ''}`);
  process.exitCode = 1;
}
const page = await ensureStudio({ root: packageRoot, force: true });
if (page.kind === 'unavailable') {
  say(page.reason);
  process.exitCode = 1;
}
