/** The launcher: which Node is fit, and how an unfit one hands over or explains itself. */
import assert from 'node:assert/strict';
import { cpSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { projectRoot, readProjectFile } from './support/projectFiles.ts';
import {
  importScript,
  type Launcher,
  runProgram,
  scriptUrl,
  temporaryFolder,
} from './support/scripts.ts';

const { isNewEnough, bundledNode } = await importScript<Launcher>('bin/launch.js');
const { version } = JSON.parse(readProjectFile('package.json')) as { version: string };

/** Makes any Node believe that it is Node 20, which runs no TypeScript. */
const asNode20 = [
  '--import',
  'data:text/javascript,Object.defineProperty(process,"versions",{value:{node:"20.20.2"}})',
];

test('isNewEnough: takes exactly the versions that run TypeScript unbuilt', () => {
  const fit = ['22.18.0', '22.19.1', '23.6.0', '24.0.0', '24.21.0', '26.10.0'];
  const unfit = ['18.20.4', '20.20.2', '21.7.3', '22.0.0', '22.17.9', '23.5.0', ''];
  assert.deepEqual([...fit, ...unfit].filter(isNewEnough), fit);
});

test('bundledNode: finds the Node that npm has installed, where there is one', () => {
  assert.match(bundledNode(projectRoot) ?? '', /node_modules\/node-[\w-]+\/bin\/node$/);
  assert.equal(bundledNode(projectRoot, 'sunos-sparc'), undefined);
  assert.equal(bundledNode('/', 'linux-x64'), undefined);
});

test('launch: runs the command line in place and takes over its exit code', async () => {
  const bin = join(projectRoot, 'bin', 'moebius.js');
  const good = await runProgram(process.execPath, [bin, '--version']);
  assert.deepEqual([good.code, good.stdout.trim()], [0, version]);
  const bad = await runProgram(process.execPath, [bin, 'no-such-command']);
  assert.equal(bad.code, 1);
});

test('launch: an old Node hands over to the bundled one', async () => {
  const bin = join(projectRoot, 'bin', 'moebius.js');
  const good = await runProgram(process.execPath, [...asNode20, bin, '--version']);
  assert.deepEqual([good.code, good.stdout.trim()], [0, version]);
  const bad = await runProgram(process.execPath, [...asNode20, bin, 'no-such-command']);
  assert.equal(bad.code, 1);
});

test('launch: an old Node without a bundled one explains itself in two lines', async (context) => {
  const folder = temporaryFolder(context);
  cpSync(join(projectRoot, 'bin'), join(folder, 'bin'), { recursive: true });
  symlinkSync(join(projectRoot, 'package.json'), join(folder, 'package.json'));
  const args = [...asNode20, join(folder, 'bin', 'moebius.js')];
  const { code, stderr } = await runProgram(process.execPath, args);
  assert.equal(code, 1);
  assert.match(stderr, /^moebius needs Node 22\.18 or newer; .*\nInstall Node 24, or .*\n$/);
});

test('runUnder: passes signals on and reports the one that ended the program', async () => {
  const inner = "console.log('up'); setInterval(() => {}, 1000)";
  const outer = `const { runUnder } = await import(${JSON.stringify(scriptUrl('bin/launch.js'))});
    process.exitCode = await runUnder(process.execPath, ['-e', ${JSON.stringify(inner)}]);`;
  for (const [signal, expected] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
    ['SIGHUP', 129],
  ] as const) {
    const args = ['--input-type=module', '-e', outer];
    const { code } = await runProgram(process.execPath, args, {
      onOutput: (stdout, kill) => stdout.includes('up') && kill(signal),
    });
    assert.equal(code, expected, signal);
  }
});

test('runUnder: gives undefined for a Node that cannot be started', async () => {
  const outer = `const { runUnder } = await import(${JSON.stringify(scriptUrl('bin/launch.js'))});
    console.log(await runUnder('/no/such/node', []));`;
  const { stdout } = await runProgram(process.execPath, ['--input-type=module', '-e', outer]);
  assert.equal(stdout.trim(), 'undefined');
});
