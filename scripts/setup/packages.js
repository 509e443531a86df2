/**
 * npm packages: are those of package-lock.json here, and if not, bring them.
 *
 * npm leaves `node_modules/.package-lock.json`, written when an install has ended well; it is
 * compared with package-lock.json entry by entry, so an install made by hand counts too and one
 * that was interrupted does not. Install scripts are never run: nothing here may need one (npm 12
 * blocks them).
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runChild } from './child.js';
import { withProgress } from './progress.js';

/** @typedef {Record<string, string>} Names */
/** @typedef {{ version?: string, link?: boolean, optional?: boolean, os?: string[],
 *    cpu?: string[], libc?: string[], dependencies?: Names, devDependencies?: Names,
 *    optionalDependencies?: Names, peerDependencies?: Names }} LockEntry */

/**
 * @param {string} root
 * @returns {Promise<void>}
 * @throws {Error} with npm's own words
 */
export async function installPackages(root) {
  const wanted = wantedPackages(root);
  const isFresh = !existsSync(join(root, 'node_modules', '.package-lock.json'));
  const here = () => wanted.filter(([path]) => existsSync(join(root, path, 'package.json'))).length;
  await withProgress(
    `${isFresh ? 'installing' : 'updating'} ${wanted.length} packages`,
    () => `${here()} of ${wanted.length}`,
    // An update leaves in place what other running processes may be using; `ci` empties the folder.
    () => npm(root, isFresh ? ['ci'] : ['install', '--no-save']),
  );
}

/**
 * @param {string} root
 * @returns {string[]} what is missing or of another version, as `path (reason)`
 */
export function stalePackages(root) {
  /** @type {Record<string, LockEntry>} */
  const here = readLock(join(root, 'node_modules', '.package-lock.json'));
  return wantedPackages(root).flatMap(([path, entry]) => {
    const version = here[path]?.version;
    if (version === undefined) return [`${path} (missing)`];
    if (version !== entry.version) return [`${path} (${version}, not ${entry.version})`];
    return existsSync(join(root, path, 'package.json')) ? [] : [`${path} (removed)`];
  });
}

/**
 * The lock's entries that belong on this platform: not those of others, nor what only those need.
 *
 * @param {string} root
 * @returns {[string, LockEntry][]}
 */
function wantedPackages(root) {
  const lock = readLock(join(root, 'package-lock.json'));
  /** @type {Map<string, string[]>} */
  const dependents = new Map();
  for (const [path, entry] of Object.entries(lock)) {
    for (const needed of neededBy(lock, path, entry)) {
      dependents.set(needed, [...(dependents.get(needed) ?? []), path]);
    }
  }
  const wanted = new Map(Object.entries(lock).filter(([, entry]) => belongsHere(entry)));
  let before = 0;
  while (before !== wanted.size) {
    before = wanted.size;
    for (const [path, { optional }] of wanted) {
      const needing = dependents.get(path) ?? [];
      const isForOthers = needing.length > 0 && !needing.some((each) => wanted.has(each));
      if (optional && isForOthers) wanted.delete(path);
    }
  }
  return [...wanted].filter(([path, entry]) => path !== '' && !entry.link);
}

/**
 * The packages that a package would load, found as Node finds them: the nearest folder upwards.
 *
 * @param {Record<string, LockEntry>} lock
 * @param {string} path
 * @param {LockEntry} entry
 */
function neededBy(lock, path, entry) {
  const { dependencies, devDependencies, optionalDependencies, peerDependencies } = entry;
  const all = { ...dependencies, ...devDependencies, ...optionalDependencies, ...peerDependencies };
  return Object.keys(all).flatMap((name) => {
    for (let from = path; ; from = from.slice(0, Math.max(0, from.lastIndexOf('/node_modules/')))) {
      const candidate = `${from}${from === '' ? '' : '/'}node_modules/${name}`;
      if (candidate in lock) return [candidate];
      if (from === '') return [];
    }
  });
}

/** @param {LockEntry} entry */
function belongsHere({ os = [process.platform], cpu = [process.arch], libc }) {
  const fits = os.includes(process.platform) && cpu.includes(process.arch);
  return fits && (!libc || libc.includes(cLibrary()));
}

/** As npm tells it: only a Node built for glibc reports a glibc. */
function cLibrary() {
  const report = /** @type {{ header: { glibcVersionRuntime?: string } }} */ (
    process.report.getReport()
  );
  return report.header.glibcVersionRuntime ? 'glibc' : 'musl';
}

/** @param {string} file @returns {Record<string, LockEntry>} */
function readLock(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages ?? {};
  } catch {
    return {};
  }
}

/** @param {string} root @param {string[]} command @returns {Promise<string>} */
function npm(root, command) {
  const args = [
    ...command,
    '--ignore-scripts',
    '--include=dev',
    '--include=optional',
    '--no-audit',
    '--no-fund',
    '--prefer-offline',
    '--loglevel=error',
  ];
  const own = process.env.npm_execpath;
  return own?.endsWith('.js')
    ? runChild(process.execPath, [own, ...args], root)
    : runChild('npm', args, root);
}
