/**
 * `moebius forward`: the golden folders through the command itself, and the inputs and options that
 * it must refuse.
 */
import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertRefused, moebius, moebiusJson } from '../support/commandLine.ts';
import { testForwardGoldens } from '../support/forwardGoldens.ts';
import { goldenRoot } from '../support/golden.ts';
import { temporaryFolder } from '../support/scripts.ts';

testForwardGoldens();

const checkpoint = join(goldenRoot, 'v3-tiny');

function forwardArgs(folder: string, inputs: unknown, options?: unknown): string[] {
  writeFileSync(join(folder, 'inputs.json'), JSON.stringify(inputs));
  if (options !== undefined) writeFileSync(join(folder, 'options.json'), JSON.stringify(options));
  return [
    'forward',
    ...['--checkpoint', checkpoint, '--inputs', join(folder, 'inputs.json')],
    ...['--output', join(folder, 'out.safetensors'), '--kernels', 'reference'],
    ...(options === undefined ? [] : ['--options', join(folder, 'options.json')]),
  ];
}

test('forward: without options the losses use the defaults of the architecture', async (context) => {
  const folder = temporaryFolder(context);
  const inputs = { input_ids: [[1, 2, 3, 4]] };
  const plain = await moebiusJson(...forwardArgs(folder, inputs));
  const options = { mtp_lambda: 0.3, balance_alpha: 1e-4, balance_mode: 'paper' };
  const stated = await moebiusJson(
    ...forwardArgs(folder, inputs, { options: { ...options, mtp_hidden: 'post_norm' } }),
  );
  assert.deepEqual(plain.losses, stated.losses);
});

test('forward: inputs that are no batch of token ids are refused', async (context) => {
  const folder = temporaryFolder(context);
  const bad: readonly unknown[] = [
    null,
    [],
    {},
    { input_ids: [] },
    { input_ids: [1, 2] },
    { input_ids: [[1]] },
    { input_ids: [[1, 2], [3]] },
    { input_ids: [[1, 2.5]] },
    { input_ids: [['1', '2']] },
  ];
  for (const inputs of bad) {
    assertRefused(await moebius(...forwardArgs(folder, inputs)), 'input.shape');
  }
  assert.ok(!readdirSync(folder).includes('out.safetensors'), 'nothing was written');
});

test('forward: ids outside the vocabulary and too many positions are refused', async (context) => {
  const folder = temporaryFolder(context);
  for (const id of [-1, 512, 1e9]) {
    const ran = await moebius(...forwardArgs(folder, { input_ids: [[1, id, 2]] }));
    assert.equal(ran.code, 1, `${id}: ${ran.stderr}`);
    assert.doesNotMatch(ran.stderr, /^\s+at /m);
  }
  const long = { input_ids: [Array.from({ length: 5000 }, () => 1)] };
  const ran = await moebius(...forwardArgs(folder, long));
  assert.equal(ran.code, 1, ran.stderr);
  assert.doesNotMatch(ran.stderr, /^\s+at /m);
});

test('forward: an option it does not know, or a value of the wrong kind, is refused', async (context) => {
  const folder = temporaryFolder(context);
  const inputs = { input_ids: [[1, 2, 3]] };
  for (const options of [
    { mtp_lamda: 0.3 },
    { mtp_lambda: 'much' },
    { balance_alpha: -1 },
    { balance_mode: 'fair' },
    { mtp_hidden: 1 },
  ]) {
    const ran = await moebius(...forwardArgs(folder, inputs, { options }));
    assertRefused(ran, 'forward.option');
  }
  const [misspelt] = [await moebius(...forwardArgs(folder, inputs, { options: { mtp_lamda: 1 } }))];
  assert.match(misspelt.stderr, /mtp_lambda/);
});

test('forward: what is missing is named', async (context) => {
  const folder = temporaryFolder(context);
  const args = forwardArgs(folder, { input_ids: [[1, 2, 3]] });
  const instead = (option: string, value: string): string[] =>
    args.map((arg, i) => (args[i - 1] === option ? value : arg));
  const absent = join(folder, 'absent');
  assertRefused(await moebius(...instead('--checkpoint', absent)), 'file.missing');
  assertRefused(await moebius(...instead('--inputs', absent)), 'file.missing');
  assertRefused(await moebius(...args, '--options', absent), 'file.missing');
  assertRefused(await moebius(...instead('--kernels', 'nativ')), 'kernels.unknown');
  writeFileSync(join(folder, 'cut.json'), '{"input_ids": [[1,');
  assertRefused(await moebius(...instead('--inputs', join(folder, 'cut.json'))), 'file.json');
});
