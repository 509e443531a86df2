/** Caps and rates, for each key and in total: 429 and 503, each with the seconds to wait. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiKey } from '../../src/server/apiKeys.ts';
import { NO_KEY_LIMITS } from '../../src/server/limits.ts';
import { chatBody, type TestServer, testServer, until } from '../support/testServer.ts';

const LIMIT = { timeout: 30_000 };
const CHAT = '/v1/chat/completions';
const slow = { stepMs: 5, maxSequences: 1 };

/** A request that runs until the test is over. */
function occupy({ post }: TestServer, signal: AbortSignal, more: object = {}): void {
  post(CHAT, chatBody({ max_tokens: 3000, ...more }), { signal }).catch(() => {});
}

async function loadOf({ get }: TestServer): Promise<Record<string, number>> {
  return (await (await get('/load')).json()) as Record<string, number>;
}

async function refused(response: Response, status: number): Promise<Record<string, unknown>> {
  const { error } = (await response.json()) as { error: Record<string, unknown> };
  assert.equal(response.status, status, JSON.stringify(error));
  assert.match(response.headers.get('retry-after') ?? '', /^[1-9]\d?$/);
  return error;
}

test(
  'server: a full queue is 503, and what waits is served when there is room',
  LIMIT,
  async (context) => {
    const server = await testServer(context, { engine: slow, limits: { maxQueuedRequests: 1 } });
    const leave = new AbortController();
    context.after(() => leave.abort());
    occupy(server, leave.signal);
    await until(() => server.engine.stats.running === 1);
    await until(async () => (await loadOf(server)).queued_requests === 0);
    const waiting = server.post(CHAT, chatBody({ max_tokens: 2 }));
    await until(() => server.engine.stats.waiting === 1);
    const error = await refused(await server.post(CHAT, chatBody()), 503);
    assert.equal(error.code, 'queue_full');
    assert.equal(error.maxQueuedRequests, 1);
    assert.equal((await server.get('/ready')).status, 503);
    leave.abort();
    assert.equal((await waiting).status, 200);
    await until(() => server.server.numOpen === 0);
    assert.equal((await server.get('/ready')).status, 200);
  },
);

test('server: waiting tokens are capped like waiting requests', LIMIT, async (context) => {
  const server = await testServer(context, { engine: slow, limits: { maxQueuedTokens: 200 } });
  const leave = new AbortController();
  context.after(() => leave.abort());
  occupy(server, leave.signal);
  await until(() => server.engine.stats.running === 1);
  await until(async () => (await loadOf(server)).queued_requests === 0);
  occupy(server, leave.signal, { max_tokens: 50 });
  await until(() => server.engine.stats.waiting === 1);
  const error = await refused(await server.post(CHAT, chatBody({ max_tokens: 150 })), 503);
  assert.equal(error.maxQueuedTokens, 200);
});

test('server: a key’s own caps are 429, and others are served', LIMIT, async (context) => {
  const keys = [
    apiKey('a', 'narrow', { ...NO_KEY_LIMITS, maxRequests: 1 }),
    apiKey('b', 'short', { ...NO_KEY_LIMITS, maxTokens: 500 }),
    apiKey('c', 'rare', { ...NO_KEY_LIMITS, requestsPerMinute: 2 }),
    apiKey('d', 'thrifty', { ...NO_KEY_LIMITS, tokensPerMinute: 15 }),
    apiKey('e', 'free'),
  ];
  const server = await testServer(context, { engine: { stepMs: 2 }, server: { keys } });
  const ask = (key: string, more: object = {}): Promise<Response> => {
    const headers = { authorization: `Bearer ${key}` };
    return server.post(CHAT, chatBody({ max_tokens: 4, ...more }), { headers });
  };
  const narrow = ask('a', { max_tokens: 200 });
  await until(() => server.engine.stats.running === 1);
  assert.equal((await refused(await ask('a'), 429)).maxRequests, 1);
  assert.equal((await refused(await ask('b', { max_tokens: 600 }), 429)).maxTokens, 500);
  assert.equal((await ask('b')).status, 200);
  assert.deepEqual([(await ask('c')).status, (await ask('c')).status], [200, 200]);
  assert.equal((await refused(await ask('c'), 429)).requestsPerMinute, 2);
  assert.equal((await ask('d')).status, 200);
  assert.equal((await refused(await ask('d'), 429)).tokensPerMinute, 15);
  assert.equal((await ask('e')).status, 200);
  assert.equal((await narrow).status, 200);
  assert.equal((await ask('a')).status, 200);
});

test('server: caps in total count every choice', LIMIT, async (context) => {
  const limits = { maxRequests: 3 };
  const server = await testServer(context, { engine: { stepMs: 2 }, limits });
  await refused(await server.post(CHAT, chatBody({ n: 4, max_tokens: 2 })), 503);
  assert.equal((await server.post(CHAT, chatBody({ n: 3, max_tokens: 2 }))).status, 200);
});

test('server: books are even after answers, refusals and aborts', LIMIT, async (context) => {
  const server = await testServer(context, { engine: { stepMs: 1 } });
  const leave = new AbortController();
  occupy(server, leave.signal, { n: 2 });
  await server.post(CHAT, chatBody());
  await server.post(CHAT, { messages: 'none' });
  leave.abort();
  await until(() => server.server.numOpen === 0);
  const load = await loadOf(server);
  assert.deepEqual(
    Object.values(load).map((value) => Math.abs(value)),
    Object.values(load).map(() => 0),
  );
});
