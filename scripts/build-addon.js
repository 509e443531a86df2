/**
 * Builds the native kernels: csrc/*.cpp to build/Release/moebius.node, with the C++ compiler called
 * directly. No node-gyp: its failure would fail a whole install, and it wants Python and headers of
 * its own; Node-API is stable over Node versions, so npm's `node-api-headers` serve them all.
 *
 *     node scripts/build-addon.js [--force] [--print]     # --print: the addon's path on stdout
 *
 * Every csrc/*.cpp is one translation unit. All are compiled with the same flags: the files
 * isa_*.cpp choose their instruction set themselves (`#pragma GCC target`), so that one addon runs
 * everywhere and picks its kernels at run time. What a unit may include is every other file under
 * csrc/; an object is kept under the hash of all that went into it, so editing one unit compiles
 * one unit.
 *
 * The package brings these sources too: `runtime/loadAddon.ts` calls `ensureAddon` at the first use
 * of native kernels, in a checkout and in an installed package alike.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, homedir } from 'node:os';
import { basename, dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runChild } from './setup/child.js';
import { withLock } from './setup/lock.js';
import { say, withProgress } from './setup/progress.js';

const FLAGS = [
  ...['-std=c++20', '-O3', '-fPIC', '-fno-exceptions', '-fno-rtti', '-fvisibility=hidden'],
  // A multiply and an add may fuse: the reference holds within the golden tolerances either way.
  ...['-Wall', '-Wextra', '-ffp-contract=fast', '-fno-math-errno', '-pthread'],
];
const LINK_FLAGS = ['-shared', '-pthread'].concat(
  process.platform === 'darwin' ? ['-Wl,-undefined,dynamic_lookup'] : [],
);

/**
 * @typedef {{ command: string[], version: string }} Compiler
 * @typedef {{ name: string, path: string, object: string }} Unit
 * @typedef {{ key: string, units: Unit[], include: string }} Recipe
 * @typedef {{ kind: 'ready', path: string, isNew: boolean, compiler: string }
 *   | { kind: 'unavailable', reason: string, hint: string }} Addon `reason` is a sentence
 */

/**
 * The addon of these very sources, built now if it is not there yet.
 *
 * @param {{ root: string, force?: boolean }} options `root` is the package's folder
 * @returns {Promise<Addon>}
 */
export async function ensureAddon({ root, force = false }) {
  if (unitNames(root).length === 0) {
    return unavailable('This checkout has no C++ sources yet.', 'Use the reference kernels.');
  }
  const compiler = findCompiler();
  if (!compiler) {
    return unavailable(
      'No C++ compiler was found ($CXX, c++, g++, clang++).',
      'Install one (Debian: apt-get install g++) or use the reference kernels.',
    );
  }
  const include = nodeApiHeaders(root);
  if (!include) {
    return unavailable('The npm package node-api-headers is missing.', 'Run npm install.');
  }
  const recipe = readRecipe(root, compiler, include);
  const folder = outputFolder(root, recipe.key);
  const path = join(folder, 'moebius.node');
  const ready = (/** @type {boolean} */ isNew) =>
    /** @type {const} */ ({ kind: 'ready', path, isNew, compiler: compiler.version });
  if (!force && builtKey(folder) === recipe.key) return ready(false);
  const lock = join(folder, 'build.lock');
  const wait = (/** @type {string} */ holder) =>
    say(`waiting for process ${holder}, which builds the kernels`);
  return withLock(
    lock,
    async () => {
      // Whoever held the lock before us may have built this very thing.
      if (!force && builtKey(folder) === recipe.key) return ready(false);
      try {
        await build(folder, compiler, recipe, force);
        return ready(true);
      } catch (error) {
        return unavailable(
          `${compiler.command.join(' ')} could not build the native kernels.`,
          error instanceof Error ? error.message : String(error),
        );
      }
    },
    wait,
  );
}

/** @param {string} reason @param {string} hint @returns {Addon} */
function unavailable(reason, hint) {
  return { kind: 'unavailable', reason, hint };
}

/** @param {string} root @returns {string[]} */
function unitNames(root) {
  return filesBelow(join(root, 'csrc')).filter((name) => isUnit(name));
}

/** @param {string} name relative to csrc */
function isUnit(name) {
  return name.endsWith('.cpp') && !name.includes(sep);
}

/** @param {string} folder @returns {string[]} relative paths in a fixed order */
function filesBelow(folder) {
  if (!fs.existsSync(folder)) return [];
  return fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

/** @returns {Compiler | undefined} the first that runs; `$CXX` may carry words of its own */
function findCompiler() {
  const own = process.env.CXX?.split(' ').filter((word) => word !== '') ?? [];
  for (const command of [own, ['c++'], ['g++'], ['clang++']]) {
    const [program, ...words] = command;
    if (!program) continue;
    const { status, stdout } = spawnSync(program, [...words, '--version'], { encoding: 'utf8' });
    if (status === 0) return { command, version: stdout.split('\n')[0] ?? '' };
  }
  return undefined;
}

/** @param {string} root @returns {string | undefined} */
function nodeApiHeaders(root) {
  try {
    const require = createRequire(join(root, 'package.json'));
    return join(dirname(require.resolve('node-api-headers/package.json')), 'include');
  } catch {
    return undefined;
  }
}

/**
 * Names every object, and the whole, by the hash of all that goes into it.
 *
 * @param {string} root @param {Compiler} compiler @param {string} include
 * @returns {Recipe}
 */
function readRecipe(root, compiler, include) {
  const folder = join(root, 'csrc');
  const names = filesBelow(folder);
  const shared = createHash('sha256');
  shared.update(JSON.stringify([compiler, FLAGS, process.platform, process.arch]));
  shared.update(fs.readFileSync(join(dirname(include), 'package.json')));
  for (const name of names.filter((each) => !isUnit(each))) {
    shared.update(`\0${name}\0`).update(fs.readFileSync(join(folder, name)));
  }
  const common = shared.digest('hex');
  const units = names.filter(isUnit).map((name) => {
    const path = join(folder, name);
    const key = createHash('sha256').update(common).update(fs.readFileSync(path)).digest('hex');
    return { name, path, object: `${basename(name, '.cpp')}-${key.slice(0, 16)}.o` };
  });
  const whole = JSON.stringify([LINK_FLAGS, ...units.map((unit) => unit.object)]);
  return { key: createHash('sha256').update(whole).digest('hex'), units, include };
}

/**
 * Beside the sources where that may be written; an installed package may belong to another user.
 *
 * @param {string} root @param {string} key
 */
function outputFolder(root, key) {
  const own = join(root, 'build', 'Release');
  if (builtKey(own) === key || isWritable(own)) return own;
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return join(cache, 'moebius', key.slice(0, 16));
}

/** @param {string} folder that may have to be made */
function isWritable(folder) {
  try {
    fs.mkdirSync(folder, { recursive: true });
    fs.accessSync(folder, fs.constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** @param {string} folder @returns {string | undefined} the key of the addon that lies there */
function builtKey(folder) {
  try {
    const { key } = JSON.parse(fs.readFileSync(join(folder, 'moebius.json'), 'utf8'));
    return fs.existsSync(join(folder, 'moebius.node')) ? key : undefined;
  } catch {
    return undefined;
  }
}

/**
 * @param {string} folder @param {Compiler} compiler @param {Recipe} recipe
 * @param {boolean} force
 */
async function build(folder, compiler, recipe, force) {
  const objects = join(dirname(folder), 'objects');
  fs.mkdirSync(objects, { recursive: true });
  const missing = recipe.units.filter(
    (unit) => force || !fs.existsSync(join(objects, unit.object)),
  );
  let done = 0;
  await withProgress(
    `building the native kernels (${compiler.command.join(' ')})`,
    () => `${done} of ${missing.length} files`,
    async () => {
      await eachOf(missing, availableParallelism(), async (unit) => {
        const flags = [...FLAGS, `-I${recipe.include}`, '-c', unit.path];
        await compileTo(join(objects, unit.object), compiler, flags);
        done++;
      });
      const parts = recipe.units.map((unit) => join(objects, unit.object));
      fs.rmSync(join(folder, 'moebius.json'), { force: true });
      await compileTo(join(folder, 'moebius.node'), compiler, [...LINK_FLAGS, ...parts]);
      writeWhole(join(folder, 'moebius.json'), describe(compiler, recipe));
    },
  );
  forgetOldObjects(objects, recipe);
}

/** @param {Compiler} compiler @param {Recipe} recipe */
function describe(compiler, recipe) {
  const units = recipe.units.map((unit) => unit.name);
  return JSON.stringify({ key: recipe.key, compiler: compiler.version, flags: FLAGS, units });
}

/**
 * A reader never sees a half-written file, and a running process keeps the addon that it has
 * mapped.
 *
 * @param {string} path @param {Compiler} compiler @param {readonly string[]} args
 */
async function compileTo(path, compiler, args) {
  const unfinished = `${path}.${process.pid}`;
  try {
    const [program = '', ...words] = compiler.command;
    const warnings = await runChild(program, [...words, ...args, '-o', unfinished]);
    if (warnings) process.stderr.write(warnings);
    fs.renameSync(unfinished, path);
  } finally {
    fs.rmSync(unfinished, { force: true });
  }
}

/** @param {string} path @param {string} text */
function writeWhole(path, text) {
  fs.writeFileSync(`${path}.${process.pid}`, text);
  fs.renameSync(`${path}.${process.pid}`, path);
}

/**
 * @template T
 * @param {readonly T[]} items @param {number} atOnce @param {(item: T) => Promise<void>} work
 */
async function eachOf(items, atOnce, work) {
  const rest = [...items];
  const takeNext = async () => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) await work(item);
  };
  const takers = Array.from({ length: atOnce }, takeNext);
  // All have stopped before an error is told, so that nothing writes after the lock is given back.
  const results = await Promise.allSettled(takers);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/**
 * Objects of an hour ago that this build does not use: going back and forth between two states of
 * the sources stays quick, and the folder stays small.
 *
 * @param {string} folder @param {Recipe} recipe
 */
function forgetOldObjects(folder, recipe) {
  const used = new Set(recipe.units.map((unit) => unit.object));
  for (const name of fs.readdirSync(folder)) {
    const path = join(folder, name);
    const age = Date.now() - (fs.statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (!used.has(name) && age > 3_600_000) fs.rmSync(path, { force: true });
  }
}

if (process.argv[1] && fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  const addon = await ensureAddon({ root, force: process.argv.includes('--force') });
  if (addon.kind === 'unavailable') {
    say(`${addon.reason}\n${addon.hint}`);
    process.exitCode = 1;
  } else if (process.argv.includes('--print')) {
    console.log(addon.path);
  } else {
    say(`${addon.path} is ${addon.isNew ? 'built' : 'up to date'} (${addon.compiler})`);
  }
}
