/**
 * Builds the studio's page: studio/ to dist/studio, static files that ship with the package.
 *
 *     node scripts/build-studio.js [--force]
 *
 * It is built when it is missing or older than what it is made of: the page itself and `src/`,
 * whose pure rooms it imports. Set-up, `npm run build` and the packing of the package come by
 * here.
 */
import fs from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { withLock } from './setup/lock.js';
import { say } from './setup/progress.js';

/**
 * @typedef {{ kind: 'ready', path: string, isNew: boolean, bytes: number, gzipBytes: number }
 *   | { kind: 'unavailable', reason: string }} Page `reason` is a sentence
 */

/** @param {string} root @returns {string} where the page lies */
export function pagePath(root) {
  return join(root, 'dist', 'studio');
}

/**
 * @param {{ root: string, force?: boolean }} options
 * @returns {Promise<Page>}
 */
export async function ensureStudio({ root, force = false }) {
  const path = pagePath(root);
  if (!force && !isStale(root)) return { kind: 'ready', path, isNew: false, ...sizes(path) };
  return withLock(
    join(root, 'build', 'studio.lock'),
    async () => {
      const failure = await build(root);
      if (failure !== undefined) return { kind: 'unavailable', reason: failure };
      return { kind: 'ready', path, isNew: true, ...sizes(path) };
    },
    (holder) => say(`waiting for process ${holder}, which builds the studio's page`),
  );
}

/** @param {string} root @returns {Promise<string | undefined>} why there is no page */
async function build(root) {
  try {
    const vite = await import('vite');
    const configFile = join(root, 'studio', 'vite.config.js');
    // Node reads the configuration itself: nothing is written into node_modules.
    await vite.build({ configFile, configLoader: 'native', logLevel: 'warn' });
    return undefined;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return `The studio's page could not be built: ${reason}`;
  }
}

/** @param {string} root */
function isStale(root) {
  const index = join(pagePath(root), 'index.html');
  if (!fs.existsSync(index)) return true;
  const built = fs.statSync(index).mtimeMs;
  return ['studio', 'src'].some((folder) => newest(join(root, folder)) > built);
}

/** @param {string} folder @returns {number} when a file in it that is no test last changed */
function newest(folder) {
  return fs
    .readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => !name.endsWith('.test.ts'))
    .map((name) => fs.statSync(join(folder, name)))
    .reduce((most, stat) => (stat.isFile() ? Math.max(most, stat.mtimeMs) : most), 0);
}

/** @param {string} folder @returns {{ bytes: number, gzipBytes: number }} */
function sizes(folder) {
  const texts = fs
    .readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => fs.statSync(path).isFile())
    .map((path) => fs.readFileSync(path));
  const sum = (/** @type {number[]} */ numbers) => numbers.reduce((total, each) => total + each, 0);
  return {
    bytes: sum(texts.map((text) => text.length)),
    gzipBytes: sum(texts.map((text) => gzipSync(text).length)),
  };
}

const program = process.argv[1] ?? '';
if (fs.existsSync(program) && fs.realpathSync(program) === fileURLToPath(import.meta.url)) {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  const page = await ensureStudio({ root, force: process.argv.includes('--force') });
  if (page.kind === 'unavailable') {
    say(page.reason);
    process.exitCode = 1;
  } else {
    const state = page.isNew ? 'built' : 'up to date';
    say(`${page.path} is ${state}, ${page.bytes} bytes (${page.gzipBytes} compressed)`);
  }
}
