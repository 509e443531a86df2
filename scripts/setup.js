/**
 * Makes a fresh clone ready and then runs a command, so that `npm start` and `npm test` may be the
 * very first thing anybody types. Plain JavaScript for Node 20: nothing is installed yet.
 *
 *     node scripts/setup.js [--with NAME,NAME] [--strict] [--no-native] [--run FILE ARGS…]
 *
 * It installs the packages of package-lock.json, builds the native kernels and the studio's page
 * when they are missing or stale, and runs FILE under the Node that npm has installed. `--with`
 * also brings what comes from Debian (setup/debian.js); with `--strict`, as CI uses it, whatever
 * could not be had is an error.
 */
import { join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { bundledNode, isNewEnough, packageRoot, runUnder } from '../bin/launch.js';
import { ensureAddon } from './build-addon.js';
import { ensureStudio } from './build-studio.js';
import { installNeeds } from './setup/debian.js';
import { withLock } from './setup/lock.js';
import { installPackages, stalePackages } from './setup/packages.js';
import { say } from './setup/progress.js';

/**
 * @typedef {{ needs: string[], isStrict: boolean, hasNative: boolean, command: string[] }} Options
 */

const KNOWN = '--with, --strict, --no-native and --run';

/** @param {readonly string[]} args @returns {Options} */
function parse(args) {
  const options = /** @type {Options} */ ({
    needs: [],
    isStrict: false,
    hasNative: true,
    command: [],
  });
  for (let index = 0; index < args.length; index++) {
    const arg = args[index];
    if (arg === '--run') {
      options.command = args.slice(index + 1);
      break;
    } else if (arg === '--with') {
      options.needs.push(...(args[++index] ?? '').split(','));
    } else if (arg === '--strict') {
      options.isStrict = true;
    } else if (arg === '--no-native') {
      options.hasNative = false;
    } else {
      throw new Error(`unknown option ${arg}; known are ${KNOWN}`);
    }
  }
  return options;
}

/** @param {Options} options @returns {Promise<boolean>} whether the command may run */
async function setUp({ needs, isStrict, hasNative }) {
  const missing = installNeeds(needs);
  if (missing.length > 0 && isStrict) return false;
  await ensurePackages();
  if (!hasNative) return true;
  const page = await ensureStudio({ root: packageRoot });
  if (page.kind === 'unavailable') say(page.reason);
  if (page.kind === 'unavailable' && isStrict) return false;
  const addon = await ensureAddon({ root: packageRoot });
  if (addon.kind === 'ready') return true;
  say(`${addon.reason} ${addon.hint} An earlier build or WebAssembly serves.`);
  return !isStrict;
}

async function ensurePackages() {
  if (stalePackages(packageRoot).length === 0) return;
  await withLock(
    join(packageRoot, 'build', 'setup.lock'),
    async () => {
      if (stalePackages(packageRoot).length > 0) await installPackages(packageRoot);
    },
    (holder) => say(`waiting for process ${holder}, which installs packages`),
  );
  const [first] = stalePackages(packageRoot);
  if (first !== undefined) throw new Error(`npm left ${first}: remove node_modules and try again`);
}

/** @param {string} file @param {string[]} args @returns {Promise<void>} sets the exit code */
async function run(file, args) {
  const node = bundledNode(packageRoot);
  if (node === process.execPath || (node === undefined && isNewEnough(process.versions.node))) {
    // Already there, as npm puts node_modules/.bin first: no second process to pass signals to.
    process.argv.splice(1, process.argv.length, file, ...args);
    await import(pathToFileURL(file).href);
    return;
  }
  const code = node ? await runUnder(node, [file, ...args]) : undefined;
  if (code === undefined) {
    say(`cannot run ${relative('.', file)}: it needs Node 22.18 or newer, not ${process.version}`);
  }
  process.exitCode = code ?? 1;
}

/** @returns {Promise<readonly string[] | undefined>} the command, when all is ready for it */
async function prepare() {
  try {
    const options = parse(process.argv.slice(2));
    return (await setUp(options)) ? options.command : undefined;
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    return undefined;
  }
}

const command = await prepare();
if (command === undefined) {
  process.exitCode = 1;
} else if (command[0] !== undefined) {
  await run(resolve(command[0]), command.slice(1));
}
