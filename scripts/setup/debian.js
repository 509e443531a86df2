/**
 * What comes from Debian and not from npm: a compiler, and programs that a measurement is held
 * against. `--with NAME` installs one as root and otherwise says in one line what to install.
 */
import { spawnSync } from 'node:child_process';
import { say } from './progress.js';

/** @typedef {{ package: string, purpose: string, probe: [string, ...string[]] }} Need */

export const NEEDS = /** @type {Record<string, Need>} */ ({
  compiler: {
    package: 'g++',
    purpose: 'native kernels',
    probe: ['sh', '-c', 'command -v c++ || command -v g++ || command -v clang++'],
  },
  clang: {
    package: 'clang-19 lld-19',
    purpose: 'building the WebAssembly kernels, which are committed',
    probe: ['sh', '-c', 'command -v clang++-19 && command -v wasm-ld-19'],
  },
  chromium: {
    package: 'chromium',
    purpose: 'the tests that look at pages in a browser',
    probe: ['sh', '-c', 'command -v chromium'],
  },
  curl: {
    package: 'curl',
    purpose: 'asking the server as shell scripts do',
    probe: ['curl', '--version'],
  },
  xz: {
    package: 'xz-utils',
    purpose: 'the compression that a trained model is compared with',
    probe: ['xz', '--version'],
  },
  torch: {
    // Without OpenBLAS torch multiplies by the reference BLAS, many times slower: no peer at all.
    package: 'python3-torch libopenblas0-pthread',
    purpose: 'the same training run in PyTorch',
    // Debian's own interpreter: a python3 found earlier in PATH does not see Debian's packages.
    probe: ['sh', '-c', 'ldconfig -p | grep -q libopenblas && /usr/bin/python3 -c "import torch"'],
  },
});

/** @param {string} name a key of NEEDS @returns {boolean} whether it works on this machine */
export function isHere(name) {
  const probe = NEEDS[name]?.probe;
  if (!probe) throw new Error(`no such need: ${name}`);
  const [program, ...args] = probe;
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0;
}

/**
 * @param {readonly string[]} names keys of NEEDS
 * @returns {string[]} the names that are still missing afterwards
 */
export function installNeeds(names) {
  const unknown = names.find((name) => !NEEDS[name]);
  if (unknown !== undefined) {
    throw new Error(`--with ${unknown}: choose from ${Object.keys(NEEDS).join(', ')}`);
  }
  const missing = names.filter((name) => !isHere(name));
  const packages = missing.flatMap((name) => NEEDS[name]?.package.split(' ') ?? []);
  if (packages.length > 0 && process.getuid?.() === 0) apt(packages);
  return missing.filter((name) => {
    if (isHere(name)) return false;
    const need = /** @type {Need} */ (NEEDS[name]);
    const packages = need.package.split(' ').join(' and ');
    say(`${name} is not here (${need.purpose}): install the Debian package ${packages} as root`);
    return true;
  });
}

/** @param {readonly string[]} packages */
function apt(packages) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  /** @param {string[]} args */
  const aptGet = (args) =>
    spawnSync('apt-get', args, { env, stdio: ['ignore', 'ignore', 'inherit'] }).status === 0;
  const install = ['install', '-y', '--no-install-recommends', ...packages];
  say(`installing the Debian packages ${packages.join(' ')} …`);
  // A machine's first install often has no package lists, or old ones.
  if (!aptGet(install) && aptGet(['update'])) aptGet(install);
}
