/**
 * Builds the WebAssembly kernels: csrc/isa_wasm.cpp and csrc/wasm.cpp to wasm/kernels.wasm, which
 * is committed, since it is the same for every machine and most have nothing to build it with.
 *
 *     node scripts/build-wasm.js [--force]     # Debian: apt-get install clang-19 lld-19
 *
 * The same sources and the same compiler give the same bytes. A custom section says what the binary
 * was made of, as the hash of all files that went into it and of the flags, so that without any
 * compiler a test can tell whether the committed binary is that of the sources.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runChild } from './setup/child.js';
import { say } from './setup/progress.js';

const UNITS = ['isa_wasm.cpp', 'wasm.cpp'];
const SECTION = 'moebius';

const FLAGS = [
  ...['--target=wasm32-unknown-unknown', '-std=c++20', '-O2', '-ffreestanding', '-nostdlib'],
  ...['-fno-exceptions', '-fno-rtti', '-fvisibility=hidden', '-fno-math-errno', '-Wall', '-Wextra'],
  ...['-msimd128', '-mrelaxed-simd', '-mbulk-memory', '-matomics', '-ffp-contract=fast'],
  // Keeps a tile's multiply-adds in the order they are written in. Other orders keep more values
  // alive than an engine has registers for: 20 instead of 36 GFLOP/s.
  ...['-mllvm', '-pre-RA-sched=source'],
];
const LINK_FLAGS = [
  ...['--no-entry', '--import-memory', '--shared-memory', '--max-memory=4294967296'],
  ...['--export=__stack_pointer', '--export=__heap_base', '--gc-sections', '--strip-all'],
  // A stack that runs over leaves the memory, and that traps.
  ...['--stack-first', '-z', 'stack-size=262144'],
];

/** 19 first: 22 orders instructions in a way that takes half the speed. */
const VERSIONS = [19, 20, 21, 22];

/**
 * @typedef {{ clang: string, linker: string, version: string }} Tools
 * @typedef {{ new (bytes: Uint8Array): object,
 *   customSections(module: object, name: string): ArrayBuffer[] }} WasmModule
 * @typedef {{ key: string, compiler: string }} Origin what the custom section says
 * @typedef {{ kind: 'ready', path: string, isNew: boolean, compiler: string }
 *   | { kind: 'unavailable', reason: string }} Binary `reason` is a sentence
 */

/**
 * The hash of all that goes into the binary but the compiler: what the units include, directly or
 * not, and the flags.
 *
 * @param {string} root the package's folder
 */
export function sourceKey(root) {
  const hash = createHash('sha256').update(JSON.stringify([FLAGS, LINK_FLAGS]));
  const folder = join(root, 'csrc');
  const names = new Set(UNITS);
  // A set is walked in the order of insertion, additions on the way included.
  for (const name of names) {
    for (const [, included = ''] of read(folder, name).matchAll(/^#include "([^"]+)"/gm)) {
      names.add(included);
    }
  }
  for (const name of [...names].sort()) hash.update(`\0${name}\0`).update(read(folder, name));
  return hash.digest('hex');
}

/**
 * Without comments and empty lines, which no compiler sees.
 *
 * @param {string} folder @param {string} name
 */
function read(folder, name) {
  return fs.readFileSync(join(folder, name), 'utf8').replace(/\s*(?:\/\/.*)?$/gm, '');
}

/** @param {string} root @returns {string} where the binary lies */
export function binaryPath(root) {
  return join(root, 'wasm', 'kernels.wasm');
}

/** @param {Uint8Array} bytes @returns {Origin | undefined} what a binary says of itself */
export function originOf(bytes) {
  // TypeScript knows the name from its library of the browser only.
  const { Module } = /** @type {{ WebAssembly: { Module: WasmModule } }} */ (
    /** @type {unknown} */ (globalThis)
  ).WebAssembly;
  const [section] = Module.customSections(new Module(bytes), SECTION);
  return section && JSON.parse(Buffer.from(section).toString());
}

/** @returns {Tools | undefined} a clang that makes relaxed SIMD, and its linker */
export function findTools() {
  for (const version of VERSIONS) {
    const [clang, linker] = [`clang++-${version}`, `wasm-ld-${version}`];
    const { status, stdout } = spawnSync(clang, ['--version'], { encoding: 'utf8' });
    if (status !== 0 || spawnSync(linker, ['--version']).status !== 0) continue;
    return { clang, linker, version: stdout.split('\n')[0] ?? '' };
  }
  return undefined;
}

/**
 * @param {{ root: string, path?: string, force?: boolean }} options `path` is where the binary goes
 * @returns {Promise<Binary>}
 */
export async function ensureWasm({ root, path = binaryPath(root), force = false }) {
  const key = sourceKey(root);
  const origin = fs.existsSync(path) ? originOf(fs.readFileSync(path)) : undefined;
  if (!force && origin?.key === key) {
    return { kind: 'ready', path, isNew: false, compiler: origin.compiler };
  }
  const tools = findTools();
  if (!tools) {
    const packages = `clang-${VERSIONS[0]} and lld-${VERSIONS[0]}`;
    return {
      kind: 'unavailable',
      reason: `No clang for WebAssembly was found: install the Debian packages ${packages}.`,
    };
  }
  const bytes = await build(root, tools);
  const whole = withSection(bytes, SECTION, JSON.stringify({ key, compiler: tools.version }));
  fs.mkdirSync(dirname(path), { recursive: true });
  fs.writeFileSync(`${path}.${process.pid}`, whole);
  fs.renameSync(`${path}.${process.pid}`, path);
  return { kind: 'ready', path, isNew: true, compiler: tools.version };
}

/** @param {string} root @param {Tools} tools @returns {Promise<Uint8Array>} */
async function build(root, { clang, linker }) {
  const folder = fs.mkdtempSync(join(tmpdir(), 'moebius-wasm-'));
  const sources = join(root, 'csrc');
  try {
    const objects = UNITS.map((unit) => join(folder, `${unit}.o`));
    // From the sources' folder, so that no path of this machine can find its way in.
    const compile = (/** @type {string} */ unit, /** @type {number} */ index) =>
      runChild(clang, [...FLAGS, '-c', unit, '-o', objects[index] ?? ''], sources);
    const warnings = (await Promise.all(UNITS.map(compile))).join('');
    if (warnings) process.stderr.write(warnings);
    const linked = join(folder, 'kernels.wasm');
    await runChild(linker, [...LINK_FLAGS, ...objects, '-o', linked]);
    return fs.readFileSync(linked);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** @param {Uint8Array} bytes @param {string} name @param {string} content @returns {Buffer} */
function withSection(bytes, name, content) {
  const named = Buffer.concat([leb128(name.length), Buffer.from(name), Buffer.from(content)]);
  return Buffer.concat([bytes, Buffer.from([0]), leb128(named.length), named]);
}

/** @param {number} value @returns {Buffer} */
function leb128(value) {
  const bytes = [];
  for (; value > 0x7f; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return Buffer.from([...bytes, value]);
}

const program = process.argv[1] ?? '';
if (fs.existsSync(program) && fs.realpathSync(program) === fileURLToPath(import.meta.url)) {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  const binary = await ensureWasm({ root, force: process.argv.includes('--force') });
  if (binary.kind === 'unavailable') {
    say(binary.reason);
    process.exitCode = 1;
  } else {
    const { size } = fs.statSync(binary.path);
    const state = binary.isNew ? 'built' : 'up to date';
    say(`${binary.path} is ${state}, ${size} bytes (${binary.compiler})`);
  }
}
