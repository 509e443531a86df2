/**
 * Runs the tests: every src/**\/*.test.ts and tests/**\/*.test.ts, each file in a process of its
 * own.
 *
 *     npm test                          # all but tests/long
 *     npm test -- model gate            # only files whose path has one of these words
 *     npm test -- --test-name-pattern=… # options go to Node's test runner
 *     npm run check:long                # tests/long, on the full goldens
 */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { packageRoot } from '../bin/launch.js';

const args = process.argv.slice(2);
const isLong = args.includes('--long');
const options = args.filter((arg) => arg.startsWith('-') && arg !== '--long');
const words = args.filter((arg) => !arg.startsWith('-'));

const files = [...testsBelow('tests'), ...testsBelow('src')]
  .filter((path) => path.startsWith(join('tests', 'long')) === isLong)
  .filter((path) => words.length === 0 || words.some((word) => path.includes(word)));

if (files.length === 0) {
  console.error(`no test file matches ${words.join(' ') || 'in this checkout'}`);
  process.exitCode = 1;
} else {
  process.exitCode = await run(files);
}

/** @param {string} folder @returns {string[]} paths relative to the package */
function testsBelow(folder) {
  return readdirSync(join(packageRoot, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join(folder, name))
    .sort();
}

/** @param {readonly string[]} paths @returns {Promise<number>} */
function run(paths) {
  const runner = [
    '--test',
    '--test-reporter=spec',
    // The kernels' own threads come on top, so a file a core is enough.
    `--test-concurrency=${availableParallelism()}`,
    // A hanging test ends the run long before CI's limit does; none takes a tenth of this.
    `--test-timeout=${isLong ? 3_600_000 : 300_000}`,
    `--import=${pathToFileURL(join(packageRoot, 'tests', 'support', 'fixedSeed.ts')).href}`,
  ];
  const child = spawn(process.execPath, [...runner, ...options, ...paths], {
    cwd: packageRoot,
    stdio: 'inherit',
    env: {
      ...process.env,
      NODE_COMPILE_CACHE: join(packageRoot, 'build', 'compile-cache'),
      ...(isLong ? { MOEBIUS_LONG: '1', MOEBIUS_SEED: 'random' } : {}),
    },
  });
  return new Promise((resolve) => child.on('exit', (code) => resolve(code ?? 1)));
}
