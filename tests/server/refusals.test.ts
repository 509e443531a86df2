/** What a server turns away: bodies, paths, headers, methods, keys, origins; always as JSON. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiKey, parseApiKeys } from '../../src/server/apiKeys.ts';
import {
  chatBody,
  rawExchange,
  type TestServer,
  testServer,
  until,
} from '../support/testServer.ts';

const LIMIT = { timeout: 30_000 };
const CHAT = '/v1/chat/completions';

interface Refusal {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly code: string;
    readonly param: string | null;
  };
}

async function refusal(response: Response, status: number): Promise<Refusal['error']> {
  const text = await response.text();
  assert.equal(response.status, status, text);
  const { error } = JSON.parse(text) as Refusal;
  assert.equal(typeof error.message, 'string');
  assert.equal(typeof error.type, 'string');
  return error;
}

test(
  'server: bodies that are no JSON object are refused with the reason',
  LIMIT,
  async (context) => {
    const { post } = await testServer(context);
    const cases: readonly (readonly [string, string])[] = [
      ['', 'is empty'],
      ['{"messages": [', 'is not JSON'],
      ['[]', 'object'],
      ['"text"', 'object'],
      [`{"a":${'['.repeat(10_000)}${']'.repeat(10_000)}}`, 'levels deep'],
      ['{"__proto__": {"max_tokens": 1}}', '__proto__'],
      ['{"\\u005f_proto__": {"max_tokens": 1}}', '__proto__'],
    ];
    for (const [body, reason] of cases) {
      const error = await refusal(await post(CHAT, body), 400);
      assert.ok(error.message.includes(reason), `${body.slice(0, 40)}: ${error.message}`);
    }
  },
);

test('server: a body that is not UTF-8 is refused', LIMIT, async (context) => {
  const { port } = await testServer(context);
  const body = Buffer.concat([
    Buffer.from('{"prompt":"'),
    Buffer.from([0xff, 0xfe]),
    Buffer.from('"}'),
  ]);
  const head =
    `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n` +
    `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
  const text = await rawExchange(port, Buffer.concat([Buffer.from(head), body]));
  assert.match(text, /^HTTP\/1\.1 400 /);
  assert.match(text, /is not UTF-8/);
});

test('server: too large a body is refused, told or found out', LIMIT, async (context) => {
  const { post, port } = await testServer(context, { limits: { bodyBytes: 1000 } });
  const error = await refusal(await post(CHAT, `{"prompt":"${'x'.repeat(2000)}"}`), 413);
  assert.equal(error.code, 'request.tooLarge');
  const chunk = `400\r\n${'x'.repeat(1024)}\r\n`;
  const text = await rawExchange(
    port,
    `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n` +
      `Transfer-Encoding: chunked\r\n\r\n${chunk}${chunk}`,
  );
  assert.match(text, /^HTTP\/1\.1 413 /);
});

test(
  'server: another media type is refused, with the header that is wanted',
  LIMIT,
  async (context) => {
    const { post } = await testServer(context);
    const headers = { 'content-type': 'text/plain' };
    const error = await refusal(await post(CHAT, '{}', { headers }), 415);
    assert.ok(error.message.includes('Content-Type: application/json'));
  },
);

test(
  'server: unknown addresses are 404, wrong methods 405 with those that are right',
  LIMIT,
  async (context) => {
    const { get, url } = await testServer(context);
    assert.equal((await refusal(await get('/v2/chat'), 404)).code, 'not_found');
    const wrong = await get(CHAT);
    assert.equal(wrong.headers.get('allow'), 'POST');
    assert.equal((await refusal(wrong, 405)).code, 'method_not_allowed');
    await refusal(await fetch(`${url}/health`, { method: 'DELETE' }), 405);
  },
);

test('server: crooked paths are refused without harm', LIMIT, async (context) => {
  const { port, get } = await testServer(context);
  const paths = [
    '/%',
    '/%ff',
    '/..%2f..%2fetc/passwd',
    '//',
    '/v1//models',
    '/v1/models/%00',
    '/?',
  ];
  for (const path of [...paths, `/${'a'.repeat(8000)}`, '/__proto__', '/constructor']) {
    const text = await rawExchange(
      port,
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    );
    assert.match(text, /^HTTP\/1\.1 4\d\d /, path);
    assert.match(text, /\{"error":\{/, path);
  }
  assert.equal((await get('/health')).status, 200);
});

test(
  'server: what is no HTTP is refused as JSON, and the next request is served',
  LIMIT,
  async (context) => {
    const { port, get } = await testServer(context);
    const attacks = [
      'nonsense\r\n\r\n',
      'GET /health\r\n\r\n',
      `GET / HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(40_000)}\r\n\r\n`,
      'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
      'GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc',
      'GET / HTTP/1.1\r\nBad Header: 1\r\n\r\n',
      'GET / HTTP/1.1\r\n\r\n',
      'BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n',
      'GET /\u0000 HTTP/1.1\r\nHost: x\r\n\r\n',
    ];
    for (const attack of attacks) {
      const text = await rawExchange(port, attack);
      assert.match(text, /^HTTP\/1\.1 4\d\d /, JSON.stringify(attack.slice(0, 60)));
    }
    assert.equal((await get('/health')).status, 200);
  },
);

async function withKeys(context: Parameters<typeof testServer>[0]): Promise<TestServer> {
  const keys = [
    apiKey('secret-one', 'one'),
    ...parseApiKeys('# two keys\nsecret-two name=two rpm=2 # slow\n\nsecret-three tokens=40\n'),
  ];
  return testServer(context, { server: { keys, adminKey: apiKey('root', 'admin') } });
}

const bearer = (key: string): Record<string, string> => ({ authorization: `Bearer ${key}` });

test('server: keys are asked for everywhere but at public addresses', LIMIT, async (context) => {
  const { get, post, log } = await withKeys(context);
  for (const path of ['/health', '/ready', '/version', '/metrics']) {
    assert.equal((await get(path)).status, 200, path);
  }
  for (const headers of [{}, bearer('secret'), bearer('secret-one2'), { authorization: 'x' }]) {
    const refused = await get('/v1/models', headers as Record<string, string>);
    assert.equal(refused.headers.get('www-authenticate'), 'Bearer');
    assert.equal((await refusal(refused, 401)).code, 'invalid_api_key');
  }
  assert.equal((await get('/v1/models', bearer('secret-one'))).status, 200);
  assert.equal((await get('/v1/models', { 'x-api-key': 'secret-two' })).status, 200);
  const headers = bearer('secret-one');
  assert.equal((await post(CHAT, chatBody({ max_tokens: 2 }), { headers })).status, 200);
  await until(() => log.some(({ path }) => path === CHAT));
  assert.equal(log.find(({ path }) => path === CHAT)?.key, 'one');
  assert.ok(!JSON.stringify(log).includes('secret'), 'no key is logged');
});

test(
  'server: admin endpoints want their own key, and are off without one',
  LIMIT,
  async (context) => {
    const { post } = await withKeys(context);
    assert.equal((await refusal(await post('/flush_cache', {}), 401)).code, 'auth.admin');
    await refusal(await post('/flush_cache', {}, { headers: bearer('secret-one') }), 401);
    assert.equal((await post('/flush_cache', {}, { headers: bearer('root') })).status, 200);
    const off = await testServer(context);
    await refusal(await off.post('/flush_cache', {}, { headers: bearer('root') }), 403);
  },
);

test('server: pages of this machine may call, others may not', LIMIT, async (context) => {
  const { get, url } = await testServer(context);
  const allowed = async (origin: string): Promise<string | null> =>
    (await get('/health', { origin })).headers.get('access-control-allow-origin');
  assert.equal(await allowed('http://localhost:3000'), 'http://localhost:3000');
  assert.equal(await allowed('http://127.0.0.1'), 'http://127.0.0.1');
  assert.equal(await allowed('https://localhost.evil.example'), null);
  assert.equal(await allowed('null'), null);
  const preflight = await fetch(`${url}${CHAT}`, {
    method: 'OPTIONS',
    headers: {
      origin: 'http://localhost:3000',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization, content-type',
    },
  });
  assert.equal(preflight.status, 204);
  assert.match(preflight.headers.get('access-control-allow-headers') ?? '', /authorization/);
});

test('parseApiKeys: a line that is wrong is named', () => {
  assert.throws(() => parseApiKeys('key requets=3'), {
    code: 'server.keys',
    hint: /Take requests/,
  });
  assert.throws(() => parseApiKeys('key rpm=0'), { code: 'server.keys', message: /line 1/ });
  assert.throws(() => apiKey('two words', 'x'), { code: 'server.keys' });
});
