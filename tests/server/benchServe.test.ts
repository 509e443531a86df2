/** `moebius bench serve` against a real server: the figures are there and add up. No timing. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { v3Mini } from '../../src/config/presets/small.ts';
import { serializeModelConfig } from '../../src/config/serializeModelConfig.ts';
import { assertRefused, type Json, moebius, moebiusJson } from '../support/commandLine.ts';
import { liveServer } from '../support/liveServer.ts';
import { temporaryFolder } from '../support/scripts.ts';

const server = liveServer();

const serve = (...args: readonly string[]): Promise<Json> =>
  moebiusJson('bench', 'serve', '--tiny', '--url', server.origin, ...args);

function assertLatencies(json: Json, names: readonly string[]): void {
  for (const name of names) {
    const { mean, median, p90, p99, count } = json[name] as Record<string, number>;
    for (const value of [mean, median, p90, p99]) assert.ok(Number.isFinite(value), name);
    assert.ok(Number(count) > 0, name);
  }
}

test('bench serve: a closed loop counts every request and every token', async () => {
  const json = await serve('--concurrency', '3', '--num-prompts', '7', '--ignore-eos');
  assert.deepEqual([json.successful, json.failed], [7, 0]);
  assert.deepEqual([json.inputTokens, json.outputTokens], [7 * 8, 7 * 8]);
  assertLatencies(json, ['ttft', 'tpot', 'itl', 'e2e']);
  assert.ok(Number(json.outputTokensPerSecond) > 0);
});

test('bench serve: an open loop, a ramp, seconds and goodput', async () => {
  const rate = ['--request-rate', '50', '--burstiness', '0.5', '--max-concurrency', '4'];
  const open = await serve(...rate, '--num-prompts', '10', '--goodput', 'ttft:60000,tpot:60000');
  assert.equal(open.successful, 10);
  assert.equal((open.goodput as Json).share, 1);
  const ramp = await serve('--ramp', 'linear:20..60', '--seconds', '0.5');
  assert.ok(Number(ramp.successful) > 0 && ramp.failed === 0);
});

test('bench serve: shared prefixes are found in the cache, and chats are asked too', async () => {
  const shared = ['--prompt', '256', '--shared-prefix', '1', '--num-prompts', '4'];
  const json = await serve(...shared, '--concurrency', '1', '--warmup', '1');
  assert.ok(Number(json.cachedShare) > 0.5, `${json.cachedShare}`);
  const none = await serve('--prompt', '256', '--num-prompts', '2', '--seed', '5');
  assert.equal(none.cachedTokens, 0);
});

test('bench serve: prompts of a file, and failures by their reasons', async (context) => {
  const path = join(temporaryFolder(context), 'prompts.jsonl');
  const good = { messages: [{ role: 'user', content: 'hello' }] };
  const bad = { messages: [{ role: 'nobody', content: 'hello' }] };
  writeFileSync(path, [good, bad].map((line) => JSON.stringify(line)).join('\n'));
  const chat = ['--endpoint', 'chat', '--prompts', path, '--warmup', '0'];
  const json = await serve(...chat, '--num-prompts', '4', '--concurrency', '1');
  assert.deepEqual([json.successful, json.failed], [2, 2]);
  assert.deepEqual(json.failures, { 'http 400': 2 });
});

test('bench serve --config: starts a server with made-up weights, and ends it', async (context) => {
  const path = join(temporaryFolder(context), 'config.json');
  const config = { ...v3Mini, vocabSize: 512, hiddenSize: 512, numHiddenLayers: 8 };
  writeFileSync(path, JSON.stringify(serializeModelConfig(config)));
  const own = ['--config', path, '--dtype', 'f32', '--num-prompts', '2'];
  const json = await moebiusJson('bench', 'serve', '--tiny', ...own);
  assert.equal(json.successful, 2);
  // A few tokens of a small model would all come in the first piece of a stream.
  const serve = ['--tokens', '32', '--serve', '--stream-interval 0'];
  const compared = ['--config', path, '--batch', '2', '--tiny', ...serve];
  const { ratio, ratioOfMeans } = await moebiusJson('bench', 'compare', 'serve', ...compared);
  assert.ok(Number(ratio) > 0 && Number(ratioOfMeans) > 0);
});

test('bench serve: what contradicts itself is refused before anything is started', async () => {
  const cases = [
    ['bench.option', '--concurrency', '2', '--request-rate', '3'],
    ['bench.option', '--burstiness', '2'],
    ['bench.option', '--request-rate', '2', '--ramp', 'linear:1..2'],
    ['bench.option', '--dtype', 'f32', '--url', 'http://127.0.0.1:1'],
    ['bench.option', '--model', 'x', '--config', 'y'],
    ['bench.option', '--tokens', '5'],
    ['bench.option', '--as-decode', '--max-tokens', '5'],
    ['bench.ramp', '--ramp', 'up'],
    ['bench.goodput', '--goodput', 'ttfb:5'],
    ['client.url', '--url', 'localhost:8000'],
    ['client.connection', '--url', 'http://127.0.0.1:1'],
  ] as const;
  for (const [code, ...args] of cases) {
    assertRefused(await moebius('bench', 'serve', ...args), code);
  }
});
