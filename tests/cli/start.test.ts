/** `moebius start`, what `npm start` runs, on a model and a text a hundred times smaller. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { freeFolder } from '../../src/cli/commands/start.ts';
import { type Json, lastLine, moebius, moebiusJson } from '../support/commandLine.ts';
import { projectRoot } from '../support/projectFiles.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { until } from '../support/testServer.ts';
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

test('start: a page shows the run, then serves what was trained, until it is left', async (context) => {
  const folder = temporaryFolder(context);
  const settings = tinySettings(writeText(folder), ['depth=2']);
  const program = join(projectRoot, 'bin', 'moebius.js');
  const args = ['start', '--out', join(folder, 'run'), '--ui-port', '0', ...settings];
  const child = spawn(process.execPath, [program, ...args], { cwd: folder });
  context.after(() => child.kill('SIGKILL'));
  const ended = once(child, 'exit');
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  }
  const url = await saidAs(/watch it train at (http:\S+)/);
  assert.equal((await fetch(url)).status, 200);
  assert.equal(await saidAs(/talk with it at (http:\S+)/), `${url}/#/chat`);
  const ask = async (path: string, init?: RequestInit): Promise<Json> =>
    (await (await fetch(`${url}${path}`, init)).json()) as Json;
  await until(async () => (await ask('/studio/api/serve/state')).kind === 'ready');
  const [run] = (await ask('/studio/api/runs')) as unknown as Json[];
  assert.deepEqual([run?.state, run?.step], ['finished', NUM_STEPS]);
  const answer = await ask('/v1/completions', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'the', max_tokens: 4, ignore_eos: true }),
  });
  assert.equal((answer.usage as Json).completion_tokens, 4);
  child.kill('SIGINT');
  assert.deepEqual(await ended, [0, null], said);
  assert.match(said, /npx moebius studio \S+ --checkpoint \S+step-/);

  async function saidAs(pattern: RegExp): Promise<string> {
    await until(async () => {
      assert.equal(child.exitCode, null, said);
      return pattern.test(said);
    });
    return pattern.exec(said)?.[1] ?? '';
  }
});

test('start: a folder that is there already is left alone', (context) => {
  const wanted = join(temporaryFolder(context), 'start');
  assert.equal(freeFolder(wanted), wanted);
  mkdirSync(wanted);
  assert.equal(freeFolder(wanted), `${wanted}-2`);
  mkdirSync(`${wanted}-2`);
  assert.equal(freeFolder(wanted), `${wanted}-3`);
});
