/** A run is read whole and then followed; a server that serves nothing is a state. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ExpertHistory } from './expertFrames.ts';
import { type Door, type Followed, followRun, readRuns, readServing } from './readExperts.ts';

function lineOf(step: number): string {
  const balance = { layers: [{ layer: 1, utilisation: [1] }] };
  return `${JSON.stringify({ kind: 'step', step, balance })}\n`;
}

function doorOf(answers: Readonly<Record<string, () => Response>>) {
  let on: Followed = { lines: () => {}, restart: () => {} };
  const followed: string[] = [];
  const state = { isClosed: false };
  const door: Door = {
    fetch: async (url) => (answers[String(url)] ?? (() => new Response('{}', { status: 500 })))(),
    follow: (url, listeners) => {
      followed.push(url);
      on = listeners;
      return () => {
        state.isClosed = true;
      };
    },
  };
  const push = (text: string): void => on.lines(text);
  return { door, followed, state, push, restart: () => on.restart() };
}

test('followRun: the file first, then what is written behind it', async () => {
  const url = '/studio/api/runs/a%20b/metrics?from=0';
  const headers = { 'x-next-byte': '77' };
  const { door, followed, push, restart, state } = doorOf({
    [url]: () => new Response(lineOf(1) + lineOf(2), { headers }),
  });
  const seen: ExpertHistory[] = [];
  const stop = followRun(door, 'a b', {
    history: (history) => seen.push(history),
    failure: (reason) => assert.fail(reason),
  });
  while (followed.length === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(followed, ['/studio/api/runs/a%20b/follow?from=77']);
  push(lineOf(3));
  push('{"kind":"sample"}\n');
  restart();
  push(lineOf(7));
  assert.deepEqual(
    seen.map(({ frames }) => frames.map(({ step }) => step)),
    [[1, 2], [1, 2, 3], [], [7]],
  );
  stop();
  assert.ok(state.isClosed);
});

test('followRun: a refusal is told in the server’s words', async () => {
  const refusal = { error: { message: 'there is no run x' } };
  const { door } = doorOf({
    '/studio/api/runs/x/metrics?from=0': () => Response.json(refusal, { status: 404 }),
  });
  const reason = await new Promise((resolve) => {
    followRun(door, 'x', { history: () => assert.fail(), failure: resolve });
  });
  assert.equal(reason, 'there is no run x');
});

test('readServing: loads of the server, or nothing where nothing is served', async () => {
  const [state, experts] = ['/studio/api/serve/state', '/studio/api/serve/experts'];
  const layers = [{ layer: 1, tokensPerExpert: [3, 1] }];
  const ready = { [state]: () => Response.json({ kind: 'ready' }) };
  const served = doorOf({ ...ready, [experts]: () => Response.json({ layers }) });
  const { frames } = await readServing(served.door);
  assert.deepEqual(frames[0]?.layers[0]?.loads, [1.5, 0.5]);
  // A refusal would stand in the browser's console: nobody asks where nothing is served.
  const idle = doorOf({ [state]: () => Response.json({ kind: 'starting' }) });
  assert.deepEqual((await readServing(idle.door)).frames, []);
  const stopped = doorOf({ ...ready, [experts]: () => Response.json({}, { status: 503 }) });
  assert.deepEqual((await readServing(stopped.door)).frames, []);
  await assert.rejects(readServing(doorOf(ready).door), /HTTP 500/);
  await assert.rejects(readServing(doorOf({}).door), /HTTP 500/);
  await assert.rejects(readRuns(doorOf({}).door), /HTTP 500/);
});
