/**
 * What must hold before a change lands: types, lint and format, then the tests, among them the laws
 * of the house (tests/architecture.test.ts, tests/tidy.test.ts).
 *
 *     npm run check             # everything
 *     npm run check:static      # without the tests: seconds
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { packageRoot } from '../bin/launch.js';

/** @type {{ name: string, command: string[] }[]} */
const steps = [
  { name: 'types of the TypeScript', command: ['tsc', '--project', '.'] },
  { name: 'types of the studio', command: ['tsc', '--project', 'studio'] },
  { name: 'types of the scripts', command: ['tsc', '--project', 'tsconfig.scripts.json'] },
  { name: 'lint and format', command: ['biome', 'ci', '--error-on-warnings', '.'] },
];
if (!process.argv.includes('--static')) {
  steps.push({ name: 'tests', command: [process.execPath, 'scripts/test.js'] });
}

const bin = join(packageRoot, 'node_modules', '.bin');
const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
const failed = steps.filter(({ name, command }) => {
  const [program = '', ...args] = command;
  const start = Date.now();
  const { status } = spawnSync(program, args, { cwd: packageRoot, env, stdio: 'inherit' });
  const seconds = ((Date.now() - start) / 1000).toFixed(1);
  console.error(`check: ${name}: ${status === 0 ? 'holds' : 'FAILS'} (${seconds} s)`);
  return status !== 0;
});
process.exitCode = failed.length === 0 ? 0 : 1;
