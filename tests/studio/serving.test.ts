/** The studio serves checkpoints: the command, its thread, the API on its origin, and switching. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startStudio } from '../../src/cli/studio/studioThread.ts';
import type { CheckpointSummary, ServedInside, ServeState } from '../../src/server/studio/wire.ts';
import { moebius } from '../support/commandLine.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { writeTalkingCheckpoint } from '../support/talkingCheckpoint.ts';
import { until } from '../support/testServer.ts';

const LIMIT = { timeout: 90_000 };

test('studio: a checkpoint is served on its origin, and another in its place', LIMIT, async (t) => {
  const root = temporaryFolder(t);
  const page = join(root, 'page');
  mkdirSync(page);
  writeFileSync(join(page, 'index.html'), '<!doctype html>');
  const [first, second] = [join(root, 'models', 'first'), join(root, 'models', 'second')];
  for (const folder of [first, second]) {
    mkdirSync(folder, { recursive: true });
    await writeTalkingCheckpoint(folder);
  }
  const folder = join(root, 'models');
  const settings = { folder, host: '127.0.0.1', port: 0, checkpoint: first, page };
  const { url, close } = await startStudio(settings, () => {});
  let isOpen = true;
  t.after(() => (isOpen ? close() : undefined));
  const getJson = async (path: string): Promise<unknown> => (await fetch(`${url}${path}`)).json();
  const post = (path: string, body: object): Promise<Response> =>
    fetch(`${url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin: url },
      body: JSON.stringify(body),
    });
  const readyWith = async (checkpoint: string): Promise<void> => {
    await until(async () => {
      const state = (await getJson('/studio/api/serve/state')) as ServeState;
      assert.notEqual(state.kind, 'failed', JSON.stringify(state));
      return state.kind === 'ready' && state.checkpoint === checkpoint;
    });
  };
  const found = (await getJson('/studio/api/checkpoints')) as CheckpointSummary[];
  assert.deepEqual(
    found.map(({ id, directory, runId }) => ({ id, directory, runId })),
    [
      { id: 'first', directory: first, runId: null },
      { id: 'second', directory: second, runId: null },
    ],
  );
  await readyWith('first');
  const chat = { messages: [{ role: 'user', content: 'hi' }], max_tokens: 8, ignore_eos: true };
  const answer = await post('/v1/chat/completions', { ...chat, stream: true });
  assert.equal(answer.status, 200);
  assert.match(await answer.text(), /data: \[DONE\]\n\n$/);
  const stopping = new AbortController();
  const long = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...chat, max_tokens: 3000, stream: true }),
    signal: stopping.signal,
  });
  assert.equal(long.status, 200);
  stopping.abort();
  // Whoever goes away frees the engine.
  await until(async () => {
    const { running, requests } = (await getJson('/load')) as { running: number; requests: number };
    return running + requests === 0;
  });
  const { layers } = (await getJson('/studio/api/serve/experts')) as {
    layers: { tokensPerExpert: number[] }[];
  };
  assert.ok(
    layers.length > 0 && layers.every(({ tokensPerExpert }) => tokensPerExpert.length === 8),
  );
  assert.ok(layers.some(({ tokensPerExpert }) => tokensPerExpert.some((count) => count > 0)));
  const { steps } = (await getJson('/studio/api/serve/inside')) as ServedInside;
  assert.ok(steps.length > 0);
  for (const { real, simulated } of steps) {
    assert.ok(real.length > 0);
    // The same program in both worlds; in one of them only where the machine has been measured.
    const names = (spans: typeof real): string => spans.map(({ name }) => name).join();
    if (simulated.length > 0) assert.equal(names(simulated), names(real));
  }
  assert.equal((await post('/studio/api/serve', { checkpoint: 'second' })).status, 200);
  await readyWith('second');
  const { model } = (await (await post('/v1/chat/completions', chat)).json()) as { model: string };
  assert.equal(model, 'second');
  assert.equal((await post('/studio/api/serve', { checkpoint: null })).status, 200);
  assert.equal((await fetch(`${url}/v1/models`)).status, 503);
  isOpen = false;
  await close();
  await assert.rejects(fetch(url));
});

test('startStudio: what cannot be opened is refused, from its thread', LIMIT, async (t) => {
  const root = temporaryFolder(t);
  const settings = { folder: root, host: '127.0.0.1', port: 0, checkpoint: null, page: root };
  const start = (more: object): Promise<unknown> => startStudio({ ...settings, ...more }, () => {});
  await assert.rejects(start({}), { code: 'studio.unbuilt' });
  writeFileSync(join(root, 'index.html'), '<!doctype html>');
  await assert.rejects(start({ checkpoint: join(root, 'nowhere') }), { code: 'studio.checkpoint' });
  await assert.rejects(start({ folder: join(root, 'index.html') }), { code: 'studio.notFolder' });
  await assert.rejects(start({ host: '203.0.113.7' }), { code: 'system.EADDRNOTAVAIL' });
  const { code, stderr } = await moebius('studio', root, '--port', 'x');
  assert.equal(code, 1);
  assert.match(stderr, /give an integer from 0 to 65535/);
});
