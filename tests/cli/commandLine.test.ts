/**
 * What holds for every command: the last line of standard output is JSON where it is asked for,
 * mistakes end with exit code 1 and the nearest name, help comes at once.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createProgram } from '../../src/cli/main.ts';
import {
  assertRefused,
  type Json,
  lastLine,
  moebius,
  moebiusJson,
} from '../support/commandLine.ts';
import { goldenRoot } from '../support/golden.ts';
import { readProjectFile } from '../support/projectFiles.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { tinyRun, writeText } from '../support/tinyRun.ts';

/** Commands and their subcommands, as they are typed. */
function commandNames(): string[] {
  return createProgram().commands.flatMap((command) =>
    command.commands.length === 0
      ? [command.name()]
      : command.commands.map((inner) => `${command.name()} ${inner.name()}`),
  );
}

test('Command line: --version is the package’s', async () => {
  const { version } = JSON.parse(readProjectFile('package.json')) as { version: string };
  const ran = await moebius('--version');
  assert.deepEqual([ran.code, ran.stdout], [0, `${version}\n`]);
});

test('Command line: every command says what it does and which options it has', async () => {
  const names = commandNames();
  assert.ok(names.length >= 11, names.join());
  for (const name of names) {
    const ran = await moebius(...name.split(' '), '--help');
    assert.equal(ran.code, 0);
    assert.match(ran.stdout, new RegExp(`^Usage: moebius ${name}`));
    assert.equal(ran.stderr, '');
  }
});

test('Command line: an unknown command or option is refused with the nearest name', async () => {
  const cases: readonly [readonly string[], RegExp][] = [
    [['trian', 'tiny'], /Did you mean train\?/],
    [['train', 'tiny', '--reusme'], /Did you mean --resume\?/],
    [['generate', '--checkpoint', 'x', '--temprature', '1'], /Did you mean --temperature\?/],
    [['inspect', 'deepseek-v3', '--contxt', '8'], /Did you mean --context\?/],
    [['forward', '--checkpiont', 'x'], /--checkpiont is no option; --checkpoint is/],
    [['plan', 'train', '--modle', 'x'], /--modle is no option; --model is/],
    [['config', 'prnt', 'tiny'], /Did you mean print\?/],
    [['doctor', '--jsn'], /Did you mean --json\?/],
    [['bench', 'trin', '--tiny'], /Take train\./],
  ];
  for (const [args, expected] of cases) {
    const ran = await moebius(...args);
    assert.equal(ran.code, 1, args.join(' '));
    assert.match(ran.stderr, expected, args.join(' '));
    assert.doesNotMatch(ran.stderr, /^\s+at /m);
  }
});

test('Command line: what a command needs and did not get is named', async () => {
  for (const [args, missing] of [
    [['generate'], '--checkpoint'],
    [['forward', '--checkpoint', 'x', '--inputs', 'y'], '--output'],
    [['train'], 'recipe|file'],
    [['inspect'], 'target'],
    [['eval'], '--checkpoint'],
  ] as const) {
    const ran = await moebius(...args);
    assert.equal(ran.code, 1);
    assert.ok(ran.stderr.includes(missing), ran.stderr);
  }
});

test('Command line: what the system refuses is a mistake too, in one error without a stack', async (context) => {
  const folder = temporaryFolder(context);
  const file = join(folder, 'file');
  writeFileSync(file, '');
  const golden = join(goldenRoot, 'v3-tiny');
  const forward = ['forward', '--checkpoint', golden, '--kernels', 'reference'];
  const inputs = join(golden, 'inputs.json');
  const output = ['--output', join(folder, 'out.safetensors')];
  assertRefused(await moebius(...forward, '--inputs', folder, ...output), 'system.EISDIR');
  assertRefused(await moebius(...forward, '--inputs', inputs, '--output', folder), 'system.EISDIR');
  const below = ['--output', join(file, 'out.safetensors')];
  assertRefused(await moebius(...forward, '--inputs', inputs, ...below), 'file.noFolder');
  const run = await moebius(...tinyRun({ text: writeText(folder), out: file }));
  assertRefused(run, 'run.notFolder');
});

test('Command line: kernels by name only', async () => {
  const args = ['generate', '--checkpoint', join(goldenRoot, 'v3-tiny'), '--prompt', 'a'];
  const ran = await moebius(...args, '--kernels', 'referense');
  assertRefused(ran, 'kernels.unknown');
  assert.match(ran.stderr, /Take reference\./);
});

test('doctor: ends with what this machine can do, as JSON', async () => {
  const json = await moebiusJson('doctor');
  assert.equal(json.node, process.versions.node);
  assert.ok(Number(json.cores) >= 1);
  assert.ok(json.kernels === 'native' || typeof json.reason === 'string');
  if (json.kernels === 'native') {
    for (const key of ['fmaPeakGflops', 'readBytesPerSecond', 'copyBytesPerSecond']) {
      assert.ok(Number(json[key]) > 0, key);
    }
  }
});

test('config recipes: ends with recipes and presets, as JSON', async () => {
  const { recipes, presets } = await moebiusJson('config', 'recipes');
  const names = (recipes as readonly Json[]).map(({ name }) => name);
  assert.deepEqual(names.toSorted(), ['deep', 'start', 'tiny', 'v3-mini']);
  assert.ok((presets as readonly string[]).includes('deepseek-v3'));
});

test('Command line: without --json nothing in the output is meant for programs', async (context) => {
  const out = join(temporaryFolder(context), 'out.safetensors');
  const folder = join(goldenRoot, 'v3-tiny');
  const forward = ['--checkpoint', folder, '--inputs', join(folder, 'inputs.json')];
  for (const args of [
    ['inspect', 'v3-mini'],
    ['config', 'recipes'],
    ['forward', ...forward, '--output', out],
  ]) {
    const ran = await moebius(...args);
    assert.equal(ran.code, 0, ran.stderr);
    assert.doesNotMatch(ran.stdout, /^\{/m);
    assert.ok(lastLine(await moebius(...args, '--json')));
  }
});
