/**
 * `moebius train` and what stands on its result: the figures and files of a run, its settings as a
 * file, `eval` of its checkpoint. One run of a second serves all tests.
 */
import assert from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import { checkpointTensors } from '../../src/checkpoint/parameterNames.ts';
import { openSafetensors } from '../../src/checkpoint/safetensors.ts';
import { parseModelConfig } from '../../src/config/parseModelConfig.ts';
import { openFile } from '../../src/runtime/files.ts';
import { loadTokenizer } from '../../src/tokenizer/byteLevelBpe.ts';
import {
  assertRefused,
  type Json,
  lastLine,
  moebius,
  moebiusJson,
} from '../support/commandLine.ts';
import { assertSameRun, eventsOf } from '../support/sameRun.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { NUM_STEPS, tinyRun, tinySettings, writeText } from '../support/tinyRun.ts';

let text: string;
let out: string;
let result: Json;
let checkpoint: string;

before(async (context) => {
  const folder = temporaryFolder(context as TestContext);
  text = writeText(folder);
  out = join(folder, 'run');
  result = await moebiusJson(...tinyRun({ text, out }));
  checkpoint = String(result.checkpoint);
});

test('train: ends with the figures that scripts rely on', () => {
  const keys = [
    'tokensPerSecond',
    'stepSeconds',
    'predictedStepSeconds',
    'peakMemoryBytes',
    'validationBitsPerByte',
  ];
  for (const key of keys) assert.ok(Number(result[key]) > 0, `${key} is ${result[key]}`);
  for (const key of ['fmaPeakGflops', 'shareOfPeak']) {
    assert.ok(key in result, key);
    assert.ok(result[key] === null || Number(result[key]) > 0, `${key} is ${result[key]}`);
  }
  assert.equal(result.end, 'finished');
  assert.equal(result.step, NUM_STEPS);
  assert.equal(result.tokens, NUM_STEPS * 2 * 16);
});

test('train: the checkpoint is a Hugging Face folder with the published tensor names', async () => {
  assert.deepEqual(readdirSync(checkpoint).sort(), [
    'config.json',
    'generation_config.json',
    'model.safetensors',
    'optimizer.safetensors',
    'tokenizer.json',
    'tokenizer_config.json',
    'train.json',
    'trainer_state.json',
  ]);
  const json = (file: string): Json =>
    JSON.parse(readFileSync(join(checkpoint, file), 'utf8')) as Json;
  const config = parseModelConfig(json('config.json'), 'config.json');
  const { tensors } = await openSafetensors(await openFile(join(checkpoint, 'model.safetensors')));
  const wanted = [...checkpointTensors(config)];
  assert.deepEqual([...tensors.keys()].sort(), wanted.map(({ name }) => name).sort());
  for (const { name, shape } of wanted) assert.deepEqual(tensors.get(name)?.shape, shape, name);
  const tokenizer = loadTokenizer(readFileSync(join(checkpoint, 'tokenizer.json')));
  assert.ok(tokenizer.vocabSize <= config.vocabSize);
  assert.equal(tokenizer.decode(tokenizer.encode('the whale')), 'the whale');
  assert.equal((json('train.json') as { steps: number }).steps, NUM_STEPS);
});

test('train: the run’s folder has whole metrics, TensorBoard files and the newest checkpoints', () => {
  assert.deepEqual(readdirSync(out).sort(), [
    'checkpoints',
    'metrics.jsonl',
    'tensorboard',
    'train.json',
  ]);
  const events = eventsOf(out);
  const kinds = events.map(({ kind }) => kind);
  assert.equal(kinds[0], 'start');
  assert.equal(kinds.at(-1), 'end');
  assert.equal(kinds.filter((kind) => kind === 'step').length, NUM_STEPS);
  // A checkpoint is written before the evaluation and the sample of its step.
  const last = kinds.lastIndexOf('checkpoint');
  assert.ok(last < kinds.lastIndexOf('evaluation') && last < kinds.lastIndexOf('sample'));
  const [board = ''] = readdirSync(join(out, 'tensorboard'));
  assert.match(board, /^events\.out\.tfevents\.\d+\.moebius$/);
  assert.ok(readFileSync(join(out, 'tensorboard', board)).length > 1000);
  const checkpoints = readdirSync(join(out, 'checkpoints')).sort();
  assert.deepEqual(checkpoints, ['best.json', 'step-0000004', 'step-0000006']);
});

test('train: says before step 1 what was derived, and what it predicts', async (context) => {
  const again = join(temporaryFolder(context), 'again');
  const ran = await moebius(...tinyRun({ text, out: again }), '--json');
  lastLine(ran);
  for (const row of ['parameters', 'active', 'FLOPs per token', 'memory', 'predicted step']) {
    assert.match(ran.stdout, new RegExp(`^${row} `, 'm'));
  }
  assertSameRun(again, out);
});

test('eval: a checkpoint’s bits per byte are those of its last evaluation', async () => {
  const json = await moebiusJson('eval', '--checkpoint', checkpoint);
  const difference = Math.abs(Number(json.bitsPerByte) - Number(result.validationBitsPerByte));
  // Batches of eight instead of one: only the order of sums differs.
  assert.ok(difference < 1e-6, `${json.bitsPerByte} against ${result.validationBitsPerByte}`);
  assert.equal(json.isComplete, true);
});

test('eval: other text, other lengths, and a limit that counts what was seen', async (context) => {
  const folder = temporaryFolder(context);
  const file = join(folder, 'other.txt');
  writeFileSync(file, 'the whale sailed never again. '.repeat(20));
  const args = ['eval', '--checkpoint', checkpoint, '--data', file];
  const whole = await moebiusJson(...args);
  assert.equal(whole.numBytes, 600);
  const part = await moebiusJson(...args, '--max-tokens', '8', '--sequence-length', '8');
  assert.equal(part.isComplete, false);
  assert.ok(Number(part.numTokens) >= 8 && Number(part.numTokens) < Number(whole.numTokens));
  assert.ok(Number(part.numBytes) < 600);
});

test('eval: a damaged train.json is named, not stumbled over', async (context) => {
  const folder = join(temporaryFolder(context), 'copy');
  cpSync(checkpoint, folder, { recursive: true });
  writeFileSync(join(folder, 'train.json'), '{"steps": 3');
  assertRefused(await moebius('eval', '--checkpoint', folder), 'file.json');
});

test('eval: without text, or of a folder that is no checkpoint, is refused', async (context) => {
  const folder = temporaryFolder(context);
  const absent = join(folder, 'absent.txt');
  const args = ['eval', '--checkpoint', checkpoint];
  assertRefused(await moebius(...args, '--data', absent), 'data.missing');
  assertRefused(await moebius('eval', '--checkpoint', folder), 'file.missing');
  writeFileSync(join(folder, 'empty.txt'), '');
  assertRefused(await moebius(...args, '--data', join(folder, 'empty.txt')), 'data.empty');
});

test('config print: what it prints is a file that train accepts, for the same run', async (context) => {
  const folder = temporaryFolder(context);
  const printed = await moebius('config', 'print', 'tiny', ...tinySettings(text));
  assert.equal(printed.code, 0, printed.stderr);
  const file = join(folder, 'run.yaml');
  writeFileSync(file, printed.stdout);
  const from = await moebiusJson('train', file, '--out', join(folder, 'run'));
  assert.equal(from.validationBitsPerByte, result.validationBitsPerByte);
  assertSameRun(join(folder, 'run'), out);
});

test('config print: the JSON is the same config, and a JSON file of it is accepted too', async (context) => {
  const folder = temporaryFolder(context);
  const { config } = await moebiusJson('config', 'print', 'tiny', ...tinySettings(text));
  const file = join(folder, 'run.json');
  writeFileSync(file, JSON.stringify(config));
  const again = await moebiusJson('config', 'print', file);
  assert.deepEqual(again.config, config);
  assert.deepEqual(again.derived, []);
});

test('train: unknown recipes, settings and files are refused with the nearest name', async (context) => {
  const folder = temporaryFolder(context);
  const refused = async (...args: string[]): Promise<string> => {
    const ran = await moebius('train', ...args, '--out', join(folder, 'run'));
    assert.equal(ran.code, 1, ran.stderr);
    assert.doesNotMatch(ran.stderr, /^\s+at /m);
    return ran.stderr;
  };
  assert.match(await refused('tny'), /Did you mean tiny\?/);
  assert.match(await refused('tiny', '--set', 'batch.lenght=8'), /batch\.length/);
  assert.match(await refused('tiny', '--set', 'steps'), /PATH=VALUE/);
  assert.match(await refused('tiny', '--set', 'optimizer.beta1=much'), /a number/);
  assert.match(await refused('tiny', '--set', 'optimizer.beta1=1.5'), /beta1/);
  assert.match(await refused('absent.yaml'), /there is no absent\.yaml/);
  writeFileSync(join(folder, 'bad.yaml'), 'steps: [');
  assert.match(await refused(join(folder, 'bad.yaml')), /config\.syntax/);
  writeFileSync(join(folder, 'odd.yaml'), 'stepps: 3');
  assert.match(await refused(join(folder, 'odd.yaml')), /stepps/);
  const source = 'data.sources=[{"path":"/absent.txt","weight":null}]';
  assert.match(await refused('tiny', '--set', source), /data\.missing/);
  assert.deepEqual(readdirSync(folder).sort(), ['bad.yaml', 'odd.yaml'], 'no run was begun');
});
