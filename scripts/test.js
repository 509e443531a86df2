/**
 * Runs the tests: every *.test.ts of src/, studio/ and tests/. A file of tests/, and of a room
 * that touches the machine, has a process of its own; of the other rooms and the page's folders,
 * which hold no state outside their objects, a dozen files share one: starting a process costs more
 * than most of them.
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
import { isHere } from './setup/debian.js';

/** Rooms whose tests may change what belongs to the whole process. */
const TOUCHES_MACHINE = new Set(['cli', 'runtime', 'server']);
/** Of this run alone, as another may be under way. */
const FOLDER = join('build', 'tests', String(process.pid));

const args = process.argv.slice(2);
const isLong = args.includes('--long');
const options = args.filter((arg) => arg.startsWith('-') && arg !== '--long');
const words = args.filter((arg) => !arg.startsWith('-'));

const files = [...testsBelow('tests'), ...testsBelow('studio'), ...testsBelow('src')]
  .filter((path) => path.startsWith(join('tests', 'long')) === isLong)
  .filter((path) => words.length === 0 || words.some((word) => path.includes(word)));

// Ended from outside, a run ends its tests and then tidies up. Nothing waits before they run.
/** @type {(signal: NodeJS.Signals) => void} */
let stopTests = () => {};
for (const signal of /** @type {const} */ (['SIGHUP', 'SIGINT', 'SIGTERM'])) {
  process.on(signal, () => stopTests(signal));
}

if (files.length === 0) {
  console.error(`no test file matches ${words.join(' ') || 'in this checkout'}`);
  process.exitCode = 1;
} else {
  try {
    process.exitCode = await run(gathered(files));
    sayWhatWasSkipped();
  } finally {
    rmSync(join(packageRoot, FOLDER), { recursive: true, force: true });
  }
}

/** In one line, behind thousands that nobody reads. */
function sayWhatWasSkipped() {
  const inBrowser = files.filter((path) => path.startsWith(join('tests', 'browser')));
  if (inBrowser.length === 0 || isHere('chromium')) return;
  console.error(
    `test: ${inBrowser.length} files of tests/browser did not run: there is no Chromium` +
      ' (Debian: chromium; as root: node scripts/setup.js --with chromium)',
  );
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
  /** @type {string[]} */
  const alone = [];
  /** @type {Map<string, string[]>} */
  const rooms = new Map();
  for (const path of paths) {
    const [top = '', room = ''] = path.split(sep);
    if (top === 'tests' || TOUCHES_MACHINE.has(room)) alone.push(path);
    else rooms.set(`${top}-${room}`, [...(rooms.get(`${top}-${room}`) ?? []), path]);
  }
  mkdirSync(join(packageRoot, FOLDER), { recursive: true });
  const written = [...rooms].flatMap(([room, members]) =>
    dozens(members).map((some, index) => {
      const path = join(FOLDER, `${room}-${index}.test.mjs`);
      const urls = some.map((each) => pathToFileURL(join(packageRoot, each)).href);
      const text = urls.map((url) => `await import(${JSON.stringify(url)});\n`).join('');
      writeFileSync(join(packageRoot, path), text);
      return path;
    }),
  );
  return [...written, ...alone];
}

/** @param {readonly string[]} paths @returns {string[][]} */
function dozens(paths) {
  const numSlices = Math.ceil(paths.length / 12);
  return Array.from({ length: numSlices }, (_, i) => paths.slice(12 * i, 12 * (i + 1)));
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
  stopTests = (signal) => child.kill(signal);
  return new Promise((resolve) => child.on('exit', (code) => resolve(code ?? 1)));
}
