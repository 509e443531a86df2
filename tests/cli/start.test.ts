/** `moebius start`, what `npm start` runs, on a model and a text a hundred times smaller. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { freeFolder } from '../../src/cli/commands/start.ts';
import { lastLine, moebius, moebiusJson } from '../support/commandLine.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { NUM_STEPS, tinySettings, writeText } from '../support/tinyRun.ts';

test('start: trains, measures, saves, and speaks the same words with and without speculation', async (context) => {
  const folder = temporaryFolder(context);
  const out = join(folder, 'run');
  const settings = tinySettings(writeText(folder), ['depth=2']);
  const ran = await moebius('start', '--out', out, ...settings, '--json');
  const json = lastLine(ran);
  assert.deepEqual([json.end, json.step], ['finished', NUM_STEPS]);
  for (const key of [
    'tokensPerSecond',
    'stepSeconds',
    'predictedStepSeconds',
    'peakMemoryBytes',
    'validationBitsPerByte',
    'generationTokensPerSecond',
    'speculativeTokensPerSecond',
  ]) {
    assert.ok(Number(json[key]) > 0, `${key} is ${json[key]}`);
  }
  assert.ok(json.xzBitsPerByte === null || Number(json.xzBitsPerByte) > 0);
  assert.ok(Number(json.acceptanceRate) >= 0 && Number(json.acceptanceRate) <= 1);
  assert.ok(String(json.sample).length > 0);
  const checkpoint = String(json.checkpoint);
  assert.ok(existsSync(join(checkpoint, 'model.safetensors')));
  assert.ok(ran.stdout.includes(checkpoint), 'it says where the checkpoint lies');
  for (const row of ['validation', 'xz -9', 'generation', 'with MTP speculation']) {
    assert.match(ran.stdout, new RegExp(`^${row}`, 'm'));
  }
  const generated = await moebiusJson('generate', '--checkpoint', checkpoint, '--prompt', 'the');
  assert.ok(Number(generated.tokens) > 0);
});

test('start: a folder that is there already is left alone', (context) => {
  const wanted = join(temporaryFolder(context), 'start');
  assert.equal(freeFolder(wanted), wanted);
  mkdirSync(wanted);
  assert.equal(freeFolder(wanted), `${wanted}-2`);
  mkdirSync(`${wanted}-2`);
  assert.equal(freeFolder(wanted), `${wanted}-3`);
});
