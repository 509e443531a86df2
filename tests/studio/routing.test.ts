/** The studio follows a prompt through the gates: what it tells, what it refuses, and whom. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { startStudio } from '../../src/cli/studio/studioThread.ts';
import type {
  PromptRouting,
  ServedExperts,
  ServeState,
  StudioError,
} from '../../src/server/studio/wire.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { writeTalkingCheckpoint } from '../support/talkingCheckpoint.ts';
import { until } from '../support/testServer.ts';

const LIMIT = { timeout: 90_000 };
const TEMPLATE =
  "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{{ 'assistant:' }}";

interface Asked {
  readonly status: number;
  readonly body: unknown;
}

interface Studio {
  readonly url: string;
  readonly route: (body: unknown, headers?: Readonly<Record<string, string>>) => Promise<Asked>;
  readonly experts: () => Promise<ServedExperts>;
}

async function studio(t: TestContext, serves: 'serves' | 'idle'): Promise<Studio> {
  const root = temporaryFolder(t);
  const page = join(root, 'page');
  const checkpoint = join(root, 'models', 'one');
  for (const folder of [page, checkpoint]) mkdirSync(folder, { recursive: true });
  writeFileSync(join(page, 'index.html'), '<!doctype html>');
  await writeTalkingCheckpoint(checkpoint, { chatTemplate: TEMPLATE });
  const settings = { folder: join(root, 'models'), host: '127.0.0.1', port: 0, page };
  const served = serves === 'serves' ? checkpoint : null;
  const { url, close } = await startStudio({ ...settings, checkpoint: served }, () => {});
  t.after(close);
  const get = async (path: string): Promise<unknown> =>
    (await fetch(`${url}/studio/api/serve/${path}`)).json();
  if (serves === 'serves') {
    await until(async () => ((await get('state')) as ServeState).kind === 'ready');
  }
  const route: Studio['route'] = async (body, headers = {}) => {
    const response = await fetch(`${url}/studio/api/serve/routing`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin: url, ...headers },
      body: JSON.stringify(body),
    });
    return { status: response.status, body: await response.json() };
  };
  return { url, route, experts: async () => (await get('experts')) as ServedExperts };
}

function codeOf({ body }: Asked): string {
  return (body as StudioError).error.code;
}

test(
  'serve/routing: every token’s experts and weights, and the same in the counts',
  LIMIT,
  async (t) => {
    const { route, experts } = await studio(t, 'serves');
    const before = await experts();
    const { status, body } = await route({ prompt: 'Bär 专' });
    assert.equal(status, 200);
    const routing = body as PromptRouting;
    const { tokens, layers, expertsPerToken, numExperts } = routing;
    assert.deepEqual(
      tokens.map(({ text }) => text),
      ['B', '\\xC3', '\\xA4', 'r', ' ', '\\xE4', '\\xB8', '\\x93'],
    );
    assert.deepEqual(
      tokens.map(({ id }) => id),
      [...new TextEncoder().encode('Bär 专')],
    );
    assert.deepEqual(
      tokens.map(({ bytes }) => bytes ?? null),
      [null, [0xc3], [0xa4], null, null, [0xe4], [0xb8], [0x93]],
    );
    assert.deepEqual([routing.checkpoint, numExperts], ['one', 8]);
    const after = await experts();
    assert.ok(layers.length > 0);
    for (const [i, layer] of layers.entries()) {
      const [chosen, weights] = [routing.experts[i] ?? [], routing.weights[i] ?? []];
      assert.deepEqual([chosen.length, weights.length], [tokens.length, tokens.length]);
      for (const [token, ids] of chosen.entries()) {
        assert.equal(new Set(ids).size, expertsPerToken);
        assert.ok(ids.every((id) => Number.isInteger(id) && id >= 0 && id < numExperts));
        assert.ok(weights[token]?.every((weight) => weight > 0));
      }
      const countsOf = (loads: ServedExperts): readonly number[] =>
        loads.layers.find((each) => each.layer === layer)?.tokensPerExpert ?? [];
      const counted = countsOf(after).map((count, e) => count - (countsOf(before)[e] ?? 0));
      const told = new Array<number>(numExperts).fill(0);
      for (const id of chosen.flat()) told[id] = (told[id] ?? 0) + 1;
      assert.deepEqual(told, counted, `layer ${layer}`);
    }
    // A chat is what its template makes of it, and the same prompt goes the same ways.
    const chat = await route({ messages: [{ role: 'user', content: 'hi' }] });
    const text = (chat.body as PromptRouting).tokens.map((token) => token.text).join('');
    assert.equal(text, 'user: hi\nassistant:');
    assert.deepEqual(await route({ prompt: 'Bär 专' }), { status, body });
  },
);

test('serve/routing: what cannot be followed is refused with a reason', LIMIT, async (t) => {
  const { route, url } = await studio(t, 'serves');
  const refusals: readonly (readonly [unknown, number, string])[] = [
    [{}, 400, 'request.invalid'],
    [[], 400, 'request.invalid'],
    [{ prompt: 7 }, 400, 'request.invalid'],
    [{ prompt: 'a', steps: 3 }, 400, 'request.invalid'],
    [{ messages: [{ role: 'nobody', content: 'a' }] }, 400, 'request.invalid'],
    [{ prompt: '', add_special_tokens: false }, 400, 'generate.empty'],
    [{ prompt: 'a'.repeat(513) }, 400, 'routes.tooLong'],
    [{ prompt: 'a'.repeat(70_000) }, 413, 'request.tooLarge'],
  ];
  for (const [body, status, code] of refusals) {
    const refused = await route(body);
    const name = JSON.stringify(body).slice(0, 80);
    assert.deepEqual([refused.status, codeOf(refused)], [status, code], name);
  }
  assert.equal((await route({ prompt: 'a'.repeat(512) })).status, 200);
  const foreign = await route({ prompt: 'a' }, { origin: 'http://example.org' });
  assert.deepEqual([foreign.status, codeOf(foreign)], [403, 'studio.origin']);
  const plain = await fetch(`${url}/studio/api/serve/routing`, { method: 'POST', body: 'a' });
  assert.equal(plain.status, 415);
  assert.equal((await fetch(`${url}/studio/api/serve/routing`)).status, 404);
  // More at once than may be followed: some wait their turn, the others are told to.
  const many = await Promise.all(Array.from({ length: 12 }, () => route({ prompt: 'many' })));
  assert.ok(many.filter(({ status }) => status === 200).length >= 4);
  for (const each of many) if (each.status !== 200) assert.equal(codeOf(each), 'studio.routing');
});

test('serve/routing: without a checkpoint there is nothing to follow', LIMIT, async (t) => {
  const { route } = await studio(t, 'idle');
  const refused = await route({ prompt: 'a' });
  assert.deepEqual([refused.status, codeOf(refused)], [503, 'studio.notServing']);
});
