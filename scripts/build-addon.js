/**
 * Builds the native kernels: csrc/*.cpp to build/Release/moebius.node, with the C++ compiler called
 * directly. No node-gyp: its failure would fail a whole install, and it wants Python and headers of
 * its own; Node-API is stable over Node versions, so npm's `node-api-headers` serve them all.
 *
 *     node scripts/build-addon.js [--force] [--print]
 *
 * With --print the addon's path is on stdout, or in one line the reason why there is none.
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
import { conventionFlags } from './setup/callingConvention.js';
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
 * @typedef {{ name: string, path: string, key: string, flags: string[] }} Unit
 * @typedef {{ key: string, units: Unit[], include: string }} Recipe what the sources ask for
 * @typedef {{ key: string, compiler: string, flags: string[], units: string[] }} Note left beside
 *   an addon: the recipe it was built by
 * @typedef {{ kind: 'ready', path: string, isNew: boolean, compiler: string }
 *   | { kind: 'unavailable', reason: string, hint: string }} Addon `reason` is a sentence
 */

/**
 * The addon of these very sources, built now if it is not there yet. One that was built elsewhere
 * and brought along serves on a machine without a compiler.
 *
 * @param {{ root: string, force?: boolean }} options `root` is the package's folder
 * @returns {Promise<Addon>}
 */
export async function ensureAddon({ root, force = false }) {
  const include = nodeApiHeaders(root);
  if (!include) {
    return unavailable('The npm package node-api-headers is missing.', 'Run npm install.');
  }
  const recipe = readRecipe(root, include);
  if (recipe.units.length === 0) {
    return unavailable('This package has no C++ sources.', 'Use the WebAssembly kernels.');
  }
  const compiler = findCompiler();
  const folder = outputFolder(root, recipe);
  const there = force ? undefined : builtAddon(folder, recipe, compiler);
  if (there) return there;
  if (!compiler) {
    return unavailable(
      'No C++ compiler was found ($CXX, c++, g++, clang++).',
      'Install one (Debian: apt-get install g++).',
    );
  }
  const wait = (/** @type {string} */ holder) =>
    say(`waiting for process ${holder}, which builds the kernels`);
  const work = async () => {
    // Whoever held the lock before us may have built this very thing.
    const made = force ? undefined : builtAddon(folder, recipe, compiler);
    if (made) return made;
    try {
      await build(root, folder, compiler, recipe, force);
    } catch (error) {
      const reason = `${compiler.command.join(' ')} could not build the native kernels.`;
      return unavailable(reason, error instanceof Error ? error.message : String(error));
    }
    return ready(folder, true, compiler.version);
  };
  return withLock(join(folder, 'build.lock'), work, wait);
}

/** @param {string} folder @param {boolean} isNew @param {string} compiler @returns {Addon} */
function ready(folder, isNew, compiler) {
  return { kind: 'ready', path: join(folder, 'moebius.node'), isNew, compiler };
}

/** @param {string} reason @param {string} hint @returns {Addon} */
function unavailable(reason, hint) {
  return { kind: 'unavailable', reason, hint };
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
 * Names every unit, and the whole, by the hash of all that goes into it but the compiler.
 *
 * @param {string} root @param {string} include
 * @returns {Recipe}
 */
function readRecipe(root, include) {
  const folder = join(root, 'csrc');
  const names = filesBelow(folder);
  const read = (/** @type {string} */ name) => fs.readFileSync(join(folder, name));
  const shared = createHash('sha256');
  shared.update(JSON.stringify([FLAGS, LINK_FLAGS, process.platform, process.arch]));
  shared.update(fs.readFileSync(join(dirname(include), 'package.json')));
  for (const name of names.filter((each) => !isUnit(each) && !each.endsWith('.md'))) {
    shared.update(`\0${name}\0`).update(read(name));
  }
  const common = shared.digest('hex');
  const units = names.filter(isUnit).map((name) => {
    const flags = name === 'addon.cpp' ? conventionFlags(root) : [];
    const text = createHash('sha256').update(common).update(read(name));
    const key = text.update(flags.join(' ')).digest('hex');
    return { name, path: join(folder, name), key, flags };
  });
  const whole = JSON.stringify(units.map(({ name, key }) => [name, key]));
  return { key: createHash('sha256').update(common).update(whole).digest('hex'), units, include };
}

/**
 * Beside the sources where that may be written; an installed package may belong to another user.
 *
 * @param {string} root @param {Recipe} recipe
 */
function outputFolder(root, recipe) {
  const own = join(root, 'build', 'Release');
  if (readNote(own)?.key === recipe.key || isWritable(own)) return own;
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return join(cache, 'moebius', recipe.key.slice(0, 16), 'Release');
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

/** @param {string} folder @returns {Note | undefined} of the addon that lies there */
function readNote(folder) {
  try {
    const note = JSON.parse(fs.readFileSync(join(folder, 'moebius.json'), 'utf8'));
    return fs.existsSync(join(folder, 'moebius.node')) ? note : undefined;
  } catch {
    return undefined;
  }
}

/**
 * @param {string} folder @param {Recipe} recipe @param {Compiler | undefined} compiler
 * @returns {Addon | undefined} what lies there, when it is of these sources and this compiler
 */
function builtAddon(folder, recipe, compiler) {
  const note = readNote(folder);
  const isCurrent = note?.key === recipe.key && (!compiler || note.compiler === compiler.version);
  return note && isCurrent ? ready(folder, false, note.compiler) : undefined;
}

/**
 * @param {string} root @param {string} folder @param {Compiler} compiler @param {Recipe} recipe
 * @param {boolean} force
 */
async function build(root, folder, compiler, recipe, force) {
  const objects = join(dirname(folder), 'objects');
  fs.mkdirSync(objects, { recursive: true });
  const salt = createHash('sha256').update(JSON.stringify(compiler));
  const parts = recipe.units.map((unit) => {
    const key = salt.copy().update(unit.key).digest('hex').slice(0, 16);
    return { ...unit, object: join(objects, `${basename(unit.name, '.cpp')}-${key}.o`) };
  });
  const missing = parts.filter(({ object }) => force || !fs.existsSync(object));
  const title = `building the native kernels (${compiler.command.join(' ')})`;
  let done = 0;
  await withProgress(
    title,
    () => `${done} of ${missing.length} files`,
    async () => {
      await eachOf(missing, availableParallelism(), async ({ path, object, flags }) => {
        const all = [...FLAGS, ...flags, `-I${recipe.include}`, '-c', path];
        await compileTo(object, compiler, all);
        done++;
      });
      if (readRecipe(root, recipe.include).key !== recipe.key) {
        for (const { object } of missing) fs.rmSync(object, { force: true });
        throw new Error('The sources changed while they were compiled: build again.');
      }
      fs.rmSync(join(folder, 'moebius.json'), { force: true });
      const all = parts.map(({ object }) => object);
      await compileTo(join(folder, 'moebius.node'), compiler, [...LINK_FLAGS, ...all]);
      writeWhole(join(folder, 'moebius.json'), describe(compiler, recipe));
    },
  );
  forgetOldObjects(objects, new Set(parts.map(({ object }) => basename(object))));
}

/** @param {Compiler} compiler @param {Recipe} recipe @returns {Note} */
function describe(compiler, recipe) {
  const units = recipe.units.map((unit) => unit.name);
  return { key: recipe.key, compiler: compiler.version, flags: FLAGS, units };
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

/** @param {string} path @param {Note} note */
function writeWhole(path, note) {
  fs.writeFileSync(`${path}.${process.pid}`, JSON.stringify(note));
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
 * @param {string} folder @param {ReadonlySet<string>} used
 */
function forgetOldObjects(folder, used) {
  for (const name of fs.readdirSync(folder)) {
    const path = join(folder, name);
    const age = Date.now() - (fs.statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (!used.has(name) && age > 3_600_000) fs.rmSync(path, { force: true });
  }
}

const program = process.argv[1] ?? '';
if (fs.existsSync(program) && fs.realpathSync(program) === fileURLToPath(import.meta.url)) {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  const addon = await ensureAddon({ root, force: process.argv.includes('--force') });
  if (addon.kind === 'unavailable') {
    process.exitCode = 1;
    const hint = addon.hint.includes('\n') ? 'npm run build:native shows the errors.' : addon.hint;
    if (process.argv.includes('--print')) console.log(`${addon.reason} ${hint}`);
    else say(`${addon.reason}\n${addon.hint}`);
  } else if (process.argv.includes('--print')) {
    console.log(addon.path);
  } else {
    say(`${addon.path} is ${addon.isNew ? 'built' : 'up to date'} (${addon.compiler})`);
  }
}
