/** A server that serves nothing is a state, and a refusal is told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Door, readServing } from './readExperts.ts';

function doorOf(answers: Readonly<Record<string, () => Response>>): Door {
  return {
    fetch: async (url) => (answers[String(url)] ?? (() => new Response('{}', { status: 500 })))(),
  };
}

test('readServing: loads of the server, or nothing where nothing is served', async () => {
  const [state, experts] = ['/studio/api/serve/state', '/studio/api/serve/experts'];
  const layers = [{ layer: 1, tokensPerExpert: [3, 1] }];
  const ready = { [state]: () => Response.json({ kind: 'ready' }) };
  const served = doorOf({ ...ready, [experts]: () => Response.json({ layers }) });
  const { frames } = await readServing(served);
  assert.deepEqual(frames[0]?.layers[0]?.loads, [1.5, 0.5]);
  // A refusal would stand in the browser's console: nobody asks where nothing is served.
  const idle = doorOf({ [state]: () => Response.json({ kind: 'starting' }) });
  assert.deepEqual((await readServing(idle)).frames, []);
  const stopped = doorOf({ ...ready, [experts]: () => Response.json({}, { status: 503 }) });
  assert.deepEqual((await readServing(stopped)).frames, []);
  await assert.rejects(readServing(doorOf(ready)), /HTTP 500/);
  await assert.rejects(readServing(doorOf({})), /HTTP 500/);
});
