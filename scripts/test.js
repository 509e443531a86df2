/**
 * Runs the tests: every src/**\/*.test.ts and tests/**\/*.test.ts. A file of tests/, and of a room
 * that touches the machine, has a process of its own; of the other rooms, which hold no state
 * outside their objects, a dozen files share one: starting a process costs more than most of them.
 *
 *     npm test                          # all but tests/long
 *     npm test -- model gate            # only files whose path has one of these words
 *     npm test -- --test-name-pattern=… # options go to Node's test runner
 *     npm run check:long                # tests/long, on the full goldens
 */
import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { packageRoot } from '../bin/launch.js';

/** Rooms whose tests may change what belongs to the whole process. */
const TOUCHES_MACHINE = new Set(['cli', 'runtime', 'server']);

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
  process.exitCode = await run(gathered(files));
}

/** @param {string} folder @returns {string[]} paths relative to the package */
function testsBelow(folder) {
  return readdirSync(join(packageRoot, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join(folder, name))
    .sort();
}

/**
 * Files that share a process are imported by one that is written for it, a dozen of one room each.
 * They come first, as they are what runs longest.
 *
 * @param {readonly string[]} paths
 * @returns {string[]} paths of what is to be run
 */
function gathered(paths) {
  const folder = join('build', 'tests');
  rmSync(join(packageRoot, folder), { recursive: true, force: true });
  mkdirSync(join(packageRoot, folder), { recursive: true });
  /** @type {string[]} */
  const alone = [];
  /** @type {Map<string, string[]>} */
  const groups = new Map();
  for (const path of paths) {
    const [top, room = ''] = path.split(sep);
    if (top !== 'src' || TOUCHES_MACHINE.has(room)) {
      alone.push(path);
      continue;
    }
    const chunk = Math.floor([...groups.values()].flat().filter(isOf(room)).length / 12);
    const name = `${room}-${chunk}`;
    groups.set(name, [...(groups.get(name) ?? []), path]);
  }
  const written = [...groups].map(([name, members]) => {
    const path = join(folder, `${name}.test.mjs`);
    const urls = members.map((each) => pathToFileURL(join(packageRoot, each)).href);
    const text = urls.map((url) => `await import(${JSON.stringify(url)});\n`).join('');
    writeFileSync(join(packageRoot, path), text);
    return path;
  });
  return [...written, ...alone];
}

/** @param {string} room @returns {(path: string) => boolean} */
function isOf(room) {
  return (path) => path.split(sep)[1] === room;
}

/** @param {readonly string[]} paths @returns {Promise<number>} */
function run(paths) {
  const runner = [
    '--test',
    '--test-reporter=spec',
    // A file a core, and a thread of kernels a file: threads of several files that wait for each
    // other on the same cores took two to four times the time. What is about threads says how many.
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
      ...(isLong
        ? { MOEBIUS_LONG: '1', MOEBIUS_SEED: 'random' }
        : { MOEBIUS_THREADS: process.env.MOEBIUS_THREADS ?? '1' }),
    },
  });
  return new Promise((resolve) => child.on('exit', (code) => resolve(code ?? 1)));
}
