/** What a server tells about itself: health, load, metrics, experts; and what admins may do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiKey } from '../../src/server/apiKeys.ts';
import { ChatTemplate } from '../../src/tokenizer/chatTemplate.ts';
import { formatTime } from '../../src/tokenizer/formatTime.ts';
import { chatBody, testServer, until } from '../support/testServer.ts';

const LIMIT = { timeout: 30_000 };
const CHAT = '/v1/chat/completions';
const ADMIN = { headers: { authorization: 'Bearer root' } };
const adminKey = apiKey('root', 'admin');

test(
  'server: while the model loads, health says how far and requests are 503',
  LIMIT,
  async (context) => {
    const { get, post, engine, log } = await testServer(context);
    engine.state = { kind: 'starting', doneBytes: 30, totalBytes: 120 };
    const health = await get('/health');
    assert.equal(health.status, 503);
    const loading = { status: 'loading', progress: 0.25, doneBytes: 30, totalBytes: 120 };
    assert.deepEqual(await health.json(), loading);
    assert.equal((await get('/ready')).status, 503);
    const refused = await post(CHAT, chatBody());
    assert.equal(refused.status, 503);
    assert.equal(refused.headers.get('retry-after'), '5');
    // Who waits for a model asks every second: only the request that came too early is told of.
    await until(() => log.length > 0);
    assert.deepEqual(
      log.map(({ level, path, status }) => [level, path, status]),
      [['warn', CHAT, 503]],
    );
    engine.state = { kind: 'failed', error: { code: 'engine.crashed', message: 'it is broken' } };
    assert.equal(((await (await get('/health')).json()) as { status: string }).status, 'failed');
    engine.state = { kind: 'ready' };
    assert.deepEqual(await (await get('/health')).json(), { status: 'ok' });
    assert.equal((await post(CHAT, chatBody())).status, 200);
  },
);

test('server: metrics have both names, and count what was done', LIMIT, async (context) => {
  const { get, post, server } = await testServer(context);
  const messages = [{ role: 'user', content: 'a prompt of more than one block' }];
  await (await post(CHAT, chatBody({ max_tokens: 20, messages }))).text();
  await (await post(CHAT, chatBody({ max_tokens: 20, messages, stream: true }))).text();
  await until(() => server.numOpen === 0);
  const text = await (await get('/metrics')).text();
  const value = (name: string): number => {
    const line = text.split('\n').find((each) => each.startsWith(`${name} `));
    return Number(line?.split(' ').at(-1) ?? Number.NaN);
  };
  assert.equal(value('moebius_generation_tokens_total'), 40);
  assert.equal(value('vllm:generation_tokens_total{model_name="markov"}'), 40);
  assert.equal(value('vllm:num_requests_running{model_name="markov"}'), 0);
  assert.equal(
    value('vllm:request_success_total{finished_reason="length",model_name="markov"}'),
    2,
  );
  assert.equal(value('vllm:time_to_first_token_seconds_count{model_name="markov"}'), 2);
  // The first token of each has none before it.
  assert.equal(value('vllm:inter_token_latency_seconds_count{model_name="markov"}'), 38);
  assert.ok(value('moebius_spec_decode_num_draft_tokens_total') > 0);
  const accepted = value('moebius_spec_decode_num_accepted_tokens_total');
  const first = 'moebius_spec_decode_num_accepted_tokens_per_pos_total{position="0"}';
  assert.equal(value(first), accepted);
  assert.ok(value('moebius_scheduler_steps_total') > 0);
  assert.ok(value('moebius_prefix_cache_hits_total') > 0, 'the second prompt was cached');
});

test('server: without compatibility there are only names of our own', LIMIT, async (context) => {
  const { get } = await testServer(context, { server: { metricsCompat: 'none' } });
  const text = await (await get('/metrics')).text();
  assert.doesNotMatch(text, /vllm:/);
  assert.match(text, /^moebius_num_requests_running 0$/m);
});

test('server: metrics may be behind a key', LIMIT, async (context) => {
  const server = { keys: [apiKey('k', 'k')], metricsAccess: 'key' } as const;
  const { get } = await testServer(context, { server });
  assert.equal((await get('/metrics')).status, 401);
  assert.equal((await get('/metrics', { authorization: 'Bearer k' })).status, 200);
});

test(
  'server: an expert recording holds what came between start and stop',
  LIMIT,
  async (context) => {
    const { post, get } = await testServer(context, {
      server: { adminKey, expertMetrics: 'counts' },
    });
    const admin = async (action: string): Promise<Record<string, unknown>> => {
      const response = await post(`/${action}_expert_distribution_record`, {}, ADMIN);
      return (await response.json()) as Record<string, unknown>;
    };
    assert.ok('error' in (await admin('dump')), 'nothing was started');
    await (await post(CHAT, chatBody())).text();
    await admin('start');
    const before = (await admin('dump')) as { layers: { tokens: number }[] };
    assert.deepEqual(
      before.layers.map(({ tokens }) => tokens),
      [0, 0],
    );
    await (await post(CHAT, chatBody())).text();
    await admin('stop');
    const { layers } = (await admin('dump')) as {
      layers: { tokens: number; balancedness: number; tokens_per_expert: number[] }[];
    };
    await (await post(CHAT, chatBody())).text();
    const [again] = ((await admin('dump')) as { layers: { tokens: number }[] }).layers;
    assert.equal(again?.tokens, layers[0]?.tokens);
    assert.ok((layers[0]?.tokens ?? 0) >= 24);
    const counts = layers[0]?.tokens_per_expert ?? [];
    const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length;
    assert.equal(layers[0]?.balancedness, mean / Math.max(...counts));
    const text = await (await get('/metrics')).text();
    assert.match(text, /^moebius_expert_balancedness\{layer="0"\} 0\.\d+$/m);
    assert.match(text, /^moebius_expert_tokens_total\{layer="1",expert="3"\} \d+$/m);
  },
);

test('server: an admin aborts a request by its id, or all of them', LIMIT, async (context) => {
  const { post, engine, log } = await testServer(context, {
    engine: { stepMs: 2 },
    server: { adminKey },
  });
  const headers = { 'x-request-id': 'mine' };
  const running = post(CHAT, chatBody({ max_tokens: 3000 }), { headers });
  await until(() => engine.stats.running === 1);
  const aborted = await post('/abort_request', { rid: 'mine' }, ADMIN);
  assert.deepEqual(await aborted.json(), { aborted: 1 });
  await (await running).text();
  await until(() => log.some((entry) => entry.id === 'mine'));
  assert.equal(log.find((entry) => entry.id === 'mine')?.aborted, 'admin');
  const none = await post('/abort_request', { abort_all: true }, ADMIN);
  assert.deepEqual(await none.json(), { aborted: 0 });
  assert.equal((await post('/abort_request', {}, ADMIN)).status, 400);
});

test(
  'server: the closing line has counts and acceptance, and nothing that was said',
  LIMIT,
  async (context) => {
    const { post, log } = await testServer(context);
    await (await post(CHAT, chatBody())).text();
    await until(() => log.length === 1);
    const [line] = log;
    assert.ok(line !== undefined);
    const { path, status, output, finish, accepted, drafted } = line;
    const expected = { path: CHAT, status: 200, output: 24, finish: 'length' };
    assert.deepEqual({ path, status, output, finish }, expected);
    assert.ok(typeof accepted === 'number' && typeof drafted === 'number' && drafted > 0);
    assert.ok(!JSON.stringify(log).includes('tell me'), 'no prompt is logged');
  },
);

test('server: models are listed and described, with and without /v1', LIMIT, async (context) => {
  const { get } = await testServer(context);
  for (const path of ['/v1/models', '/models']) {
    const { data } = (await (await get(path)).json()) as { data: { id: string }[] };
    assert.equal(data[0]?.id, 'markov');
    assert.equal((await get(`${path}/markov`)).status, 200);
    assert.equal((await get(`${path}/other/one`)).status, 404);
  }
});

test('server: a template that asks for the date gets this machine’s', LIMIT, async (context) => {
  const chatTemplate =
    "{{ strftime_now('%Y-%m-%d') }}{% for message in messages %}{{ message.content }}{% endfor %}";
  const { post } = await testServer(context, { template: new ChatTemplate({ chatTemplate }) });
  const dates = (): string => formatTime('%Y-%m-%d', new Date());
  const before = dates();
  const applied = await post('/apply-template', { messages: [{ role: 'user', content: '!' }] });
  const { prompt } = (await applied.json()) as { prompt: string };
  assert.ok([`${before}!`, `${dates()}!`].includes(prompt), prompt);
  assert.equal((await post(CHAT, chatBody({ max_tokens: 1 }))).status, 200);
});
