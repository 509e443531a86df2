/** The set-up step: which packages are stale, one process at a time, clear refusals. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { projectRoot } from './support/projectFiles.ts';
import {
  importScript,
  type PackageCheck,
  runProgram,
  scriptUrl,
  temporaryFolder,
} from './support/scripts.ts';

const { stalePackages } = await importScript<PackageCheck>('scripts/setup/packages.js');

type Packages = Readonly<Record<string, object>>;

/** A package folder with a lock, npm's own note of what it installed, and the packages on disk. */
function writeInstall(root: string, lock: Packages, installed: Packages): void {
  const write = (path: string, content: object): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), JSON.stringify(content));
  };
  write('package-lock.json', { packages: { '': { version: '1.0.0' }, ...lock } });
  write('node_modules/.package-lock.json', { packages: installed });
  for (const [path, entry] of Object.entries(installed)) write(`${path}/package.json`, entry);
}

test('stalePackages: is empty for this checkout', () => {
  assert.deepEqual(stalePackages(projectRoot), []);
});

test('stalePackages: names what is missing, of another version or removed', (context) => {
  const root = temporaryFolder(context);
  const lock = {
    'node_modules/same': { version: '1.0.0' },
    'node_modules/absent': { version: '1.0.0' },
    'node_modules/older': { version: '2.0.0' },
    'node_modules/removed': { version: '1.0.0' },
  };
  const { 'node_modules/absent': _, ...rest } = lock;
  writeInstall(root, lock, { ...rest, 'node_modules/older': { version: '1.9.0' } });
  rmSync(join(root, 'node_modules/removed'), { recursive: true });
  assert.deepEqual(stalePackages(root), [
    'node_modules/absent (missing)',
    'node_modules/older (1.9.0, not 2.0.0)',
    'node_modules/removed (removed)',
  ]);
});

test('stalePackages: asks for the packages of this platform and of no other', (context) => {
  const root = temporaryFolder(context);
  const { platform, arch } = process;
  const lock = {
    'node_modules/here': { version: '1.0.0', optional: true, os: [platform], cpu: [arch] },
    'node_modules/there': { version: '1.0.0', optional: true, os: ['plan9'] },
    'node_modules/chip': { version: '1.0.0', optional: true, cpu: ['vax'] },
    'node_modules/libc': { version: '1.0.0', optional: true, libc: ['bionic'] },
  };
  writeInstall(root, lock, {});
  assert.deepEqual(stalePackages(root), ['node_modules/here (missing)']);
});

test('stalePackages: leaves out what only packages of other platforms need', (context) => {
  const root = temporaryFolder(context);
  const needs = (...names: readonly string[]): { dependencies: object } => ({
    dependencies: Object.fromEntries(names.map((name) => [name, '1'])),
  });
  const optional = { version: '1.0.0', optional: true };
  const lock = {
    'node_modules/vax': { ...optional, cpu: ['vax'], ...needs('first', 'shared', 'nested') },
    'node_modules/first': { ...optional, ...needs('second') },
    'node_modules/second': optional,
    'node_modules/here': { version: '1.0.0', ...needs('shared') },
    'node_modules/shared': optional,
    'node_modules/nested': optional,
    'node_modules/vax/node_modules/nested': optional,
  };
  writeInstall(root, lock, {});
  assert.deepEqual(stalePackages(root), [
    'node_modules/here (missing)',
    'node_modules/shared (missing)',
    'node_modules/nested (missing)',
  ]);
});

test('stalePackages: takes an install that was broken off for none', (context) => {
  const root = temporaryFolder(context);
  const lock = { 'node_modules/a': { version: '1.0.0' } };
  writeInstall(root, lock, lock);
  writeFileSync(join(root, 'node_modules/.package-lock.json'), '{"packages": {');
  assert.deepEqual(stalePackages(root), ['node_modules/a (missing)']);
});

/** A program that adds one to a number in a file, slowly, under the lock. */
const increment = (lock: string, file: string): string => `
  import fs from 'node:fs';
  const { withLock } = await import(${JSON.stringify(scriptUrl('scripts/setup/lock.js'))});
  await withLock(${JSON.stringify(lock)}, async () => {
    const value = Number(fs.readFileSync(${JSON.stringify(file)}, 'utf8'));
    await new Promise((resolve) => setTimeout(resolve, 20));
    fs.writeFileSync(${JSON.stringify(file)}, String(value + 1));
  });`;

test("withLock: one process at a time, even after a dead one's lock", async (context) => {
  const folder = temporaryFolder(context);
  const [lock, file] = [join(folder, 'deep', 'lock'), join(folder, 'number')];
  const dead = await runProgram(process.execPath, ['-p', 'process.pid']);
  mkdirSync(dirname(lock));
  writeFileSync(lock, `${dead.stdout.trim()} ${hostname()} left-behind`);
  writeFileSync(file, '0');
  const args = ['--input-type=module', '-e', increment(lock, file)];
  const runs = await Promise.all(
    Array.from({ length: 6 }, () => runProgram(process.execPath, args)),
  );
  assert.deepEqual(
    runs.map(({ code, stderr }) => [code, stderr]),
    runs.map(() => [0, '']),
  );
  assert.equal(readFileSync(file, 'utf8'), '6');
  assert.throws(() => readFileSync(lock), { code: 'ENOENT' });
});

test('setup: refuses an unknown option and an unknown need by name', async () => {
  const setup = join(projectRoot, 'scripts', 'setup.js');
  const option = await runProgram(process.execPath, [setup, '--wiht', 'xz']);
  assert.equal(option.code, 1);
  assert.match(
    option.stderr,
    /unknown option --wiht; known are --with, --strict, --no-native and --run/,
  );
  const need = await runProgram(process.execPath, [setup, '--with', 'cobol']);
  assert.equal(need.code, 1);
  assert.match(need.stderr, /--with cobol: choose from compiler, clang, chromium, curl, xz, torch/);
});

test('setup: runs the command with its arguments and takes over its exit code', async (context) => {
  const file = join(temporaryFolder(context), 'command.mjs');
  writeFileSync(file, 'console.log(process.argv.slice(2).join()); process.exitCode = 7;');
  const setup = join(projectRoot, 'scripts', 'setup.js');
  const { code, stdout } = await runProgram(process.execPath, [setup, '--run', file, '--a', 'b']);
  assert.deepEqual([code, stdout.trim()], [7, '--a,b']);
});
