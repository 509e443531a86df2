/** Answers on their way: streamed, whole, cancelled, kept alive, and read too slowly. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import type { Tokenizer } from '../../src/tokenizer/byteLevelBpe.ts';
import { byteTokenizer } from '../../src/tokenizer/byteTokenizer.ts';
import { chatBody, rawExchange, streamData, testServer, until } from '../support/testServer.ts';

const LIMIT = { timeout: 30_000 };
const CHAT = '/v1/chat/completions';

interface Chunk {
  readonly choices: readonly {
    readonly delta: { readonly role?: string; readonly content?: string };
    readonly finish_reason: string | null;
  }[];
  readonly usage?: { readonly completion_tokens: number } | null;
}

interface Whole {
  readonly choices: readonly { readonly message: { readonly content: string } }[];
}

test(
  'server: streamed text is the unstreamed text, role first, usage and [DONE] last',
  LIMIT,
  async (context) => {
    const { post } = await testServer(context);
    const whole = (await (await post(CHAT, chatBody())).json()) as Whole;
    const asked = chatBody({ stream: true, stream_options: { include_usage: true } });
    const response = await post(CHAT, asked);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
    assert.equal(response.headers.get('x-accel-buffering'), 'no');
    const data = streamData(await response.text());
    assert.equal(data.at(-1), '[DONE]');
    const chunks = data.slice(0, -1) as Chunk[];
    assert.equal(chunks[0]?.choices[0]?.delta.role, 'assistant');
    const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('');
    assert.equal(text, whole.choices[0]?.message.content);
    assert.equal(chunks.at(-2)?.choices[0]?.finish_reason, 'length');
    assert.deepEqual(chunks.at(-1)?.choices, []);
    assert.equal(chunks.at(-1)?.usage?.completion_tokens, 24);
  },
);

test('server: a request’s own id comes back, a strange one does not', LIMIT, async (context) => {
  const { get } = await testServer(context);
  const mine = await get('/version', { 'x-request-id': 'trace-1.a:b' });
  assert.equal(mine.headers.get('x-request-id'), 'trace-1.a:b');
  const strange = await get('/version', { 'x-request-id': 'a b;<script>' });
  assert.match(strange.headers.get('x-request-id') ?? '', /^req-[0-9a-f]{24}$/);
});

for (const stream of [true, false]) {
  test(
    `server: a reader that leaves ends its request (stream: ${stream})`,
    LIMIT,
    async (context) => {
      const { post, engine, log, get } = await testServer(context, { engine: { stepMs: 2 } });
      const leave = new AbortController();
      const asked = post(CHAT, chatBody({ stream, max_tokens: 3000 }), { signal: leave.signal });
      const read = asked.then((response) => response.text());
      await until(() => engine.stats.generatedTokens > 5);
      leave.abort();
      await assert.rejects(read);
      const before = engine.stats.generatedTokens;
      await until(() => engine.stats.running === 0);
      // A step's tokens, and those of the steps before the socket told.
      assert.ok(engine.stats.generatedTokens - before < 100);
      await until(() => log.length > 0);
      assert.equal(log[0]?.status, 499);
      assert.equal(log[0]?.aborted, 'client_gone');
      assert.match(await (await get('/metrics')).text(), /aborted_total\{reason="client_gone"\} 1/);
    },
  );
}

test(
  'server: while nothing comes a stream says so in comments, a body in blank lines',
  LIMIT,
  async (context) => {
    const options = { engine: { stepMs: 250 }, server: { keepAliveSeconds: 0.05 } };
    const { post } = await testServer(context, options);
    const streamed = await (await post(CHAT, chatBody({ stream: true, max_tokens: 2 }))).text();
    assert.match(streamed, /^: keep-alive\n\n/m);
    assert.equal(streamData(streamed).at(-1), '[DONE]');
    const whole = await post(CHAT, chatBody({ max_tokens: 2 }));
    assert.equal(whole.headers.get('content-type'), 'application/json; charset=utf-8');
    const text = await whole.text();
    assert.match(text, /^\n+\{/);
    assert.equal((JSON.parse(text) as Whole).choices.length, 1);
  },
);

test(
  'server: a reader that takes nothing is dropped at its bound, and nobody else',
  LIMIT,
  async (context) => {
    const limits = { bufferedBytes: 50_000, stalledSeconds: 60 };
    const { port, engine, log, post } = await testServer(context, {
      limits,
      engine: { maxContext: 8192, numBlocks: 2200 },
    });
    const body = JSON.stringify(chatBody({ max_tokens: 8000, stream: true, n: 4 }));
    const socket = connect({ port, host: '127.0.0.1' }).pause();
    context.after(() => socket.destroy());
    socket.write(
      `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n` +
        `Content-Length: ${body.length}\r\n\r\n${body}`,
    );
    await until(() => log.some(({ aborted }) => aborted === 'slow_reader'));
    await until(() => engine.stats.running === 0);
    assert.equal((await post(CHAT, chatBody())).status, 200);
  },
);

test('server: a reader that stalls is dropped after its seconds', LIMIT, async (context) => {
  const { port, log } = await testServer(context, {
    limits: { stalledSeconds: 0.2 },
    engine: { maxContext: 8192, numBlocks: 2200 },
  });
  const body = JSON.stringify(chatBody({ max_tokens: 8000, stream: true, n: 4 }));
  const socket = connect({ port, host: '127.0.0.1' }).pause();
  context.after(() => socket.destroy());
  socket.write(
    `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${body.length}\r\n\r\n${body}`,
  );
  await until(() => log.some(({ aborted }) => aborted === 'slow_reader'));
});

test(
  'server: requests on one connection are answered one after another',
  LIMIT,
  async (context) => {
    const { port } = await testServer(context);
    const body = JSON.stringify(chatBody({ max_tokens: 3 }));
    const request = (connection: string): string =>
      `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n` +
      `Connection: ${connection}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    const text = await rawExchange(port, request('keep-alive') + request('close'));
    assert.equal(text.match(/HTTP\/1\.1 200 OK/g)?.length, 2);
  },
);

/** Responses with bodies in chunks, one after the other; every byte belongs to one. */
function chunkedBodies(bytes: Buffer): readonly string[] {
  const bodies: string[] = [];
  let at = 0;
  const line = (): string => {
    const end = bytes.indexOf('\r\n', at);
    assert.ok(end >= 0, `no line ends after byte ${at}`);
    const text = bytes.toString('latin1', at, end);
    at = end + 2;
    return text;
  };
  while (at < bytes.length) {
    assert.equal(line(), 'HTTP/1.1 200 OK');
    const headers: string[] = [];
    for (let header = line(); header !== ''; header = line()) headers.push(header.toLowerCase());
    assert.ok(headers.includes('transfer-encoding: chunked'), headers.join());
    let body = '';
    for (let isLast = false; !isLast; ) {
      const size = line();
      assert.match(size, /^[0-9a-f]+$/);
      const length = Number.parseInt(size, 16);
      body += bytes.toString('utf8', at, at + length);
      at += length;
      assert.equal(line(), '');
      isLast = length === 0;
    }
    bodies.push(body);
  }
  return bodies;
}

test(
  'server: streams on one connection, asked for at once, are told one after another',
  LIMIT,
  async (context) => {
    const { port, post, engine } = await testServer(context, { engine: { stepMs: 2 } });
    const asked = [50, 40, 3].map((max_tokens, seed) =>
      chatBody({ max_tokens, seed, stream: true }),
    );
    const textOf = (stream: string): string =>
      (streamData(stream) as Chunk[])
        .map(({ choices }) => choices?.[0]?.delta.content ?? '')
        .join('');
    const alone: string[] = [];
    for (const body of asked) alone.push(textOf(await (await post(CHAT, body)).text()));
    const requests = asked.map((body, i) => {
      const text = JSON.stringify(body);
      const connection = i === asked.length - 1 ? 'close' : 'keep-alive';
      return (
        `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n` +
        `Connection: ${connection}\r\nContent-Length: ${text.length}\r\n\r\n${text}`
      );
    });
    const exchange = rawExchange(port, requests.join(''));
    // All run at once, so the later ones have text before the connection is theirs.
    await until(() => engine.stats.running === 3);
    const bodies = chunkedBodies(Buffer.from(await exchange));
    assert.deepEqual(bodies.map(textOf), alone);
    for (const body of bodies) assert.equal(streamData(body).at(-1), '[DONE]');
  },
);

test('server: draining finishes what runs and takes nothing new', LIMIT, async (context) => {
  const { post, get, server, engine } = await testServer(context, { engine: { stepMs: 5 } });
  const running = post(CHAT, chatBody({ max_tokens: 60, stream: true }));
  await until(() => engine.stats.running === 1);
  const drained = server.drain(20);
  const refused = await post(CHAT, chatBody());
  assert.equal(refused.status, 503);
  assert.equal(refused.headers.get('retry-after'), '5');
  assert.equal((await get('/ready')).status, 503);
  assert.equal(((await (await get('/health')).json()) as { status: string }).status, 'draining');
  assert.equal(streamData(await (await running).text()).at(-1), '[DONE]');
  assert.equal(await drained, 'done');
});

test('server: a drain that takes too long is cut short', LIMIT, async (context) => {
  const { post, server, engine } = await testServer(context, { engine: { stepMs: 20 } });
  const leave = new AbortController();
  const running = post(CHAT, chatBody({ max_tokens: 3000 }), { signal: leave.signal });
  running.catch(() => {});
  await until(() => engine.stats.running === 1);
  assert.equal(await server.drain(0.1), 'cut short');
  assert.equal(server.numOpen, 1);
  leave.abort();
  await setTimeout(20);
});

/** A tokenizer that fails after so many tokens. */
function frailTokenizer(): { tokenizer: Tokenizer; failAfter(numTokens: number): void } {
  const tokenizer = byteTokenizer();
  let sound = Number.POSITIVE_INFINITY;
  const { hasToken } = tokenizer;
  tokenizer.hasToken = (id) => {
    if (sound-- <= 0) throw new TypeError('sabotage');
    return hasToken.call(tokenizer, id);
  };
  return {
    tokenizer,
    failAfter: (numTokens) => {
      sound = numTokens;
    },
  };
}

test('server: a mistake of ours in one answer ends that answer alone', LIMIT, async (context) => {
  const { tokenizer, failAfter } = frailTokenizer();
  const { post, log, server } = await testServer(context, { tokenizer });
  const whole = await (await post(CHAT, chatBody())).json();
  for (const [isStreaming, tokens] of [
    [true, 3],
    [true, 0],
    [false, 3],
  ] as const) {
    failAfter(tokens);
    const response = await post(CHAT, chatBody({ stream: isStreaming }));
    const text = await response.text();
    failAfter(Number.POSITIVE_INFINITY);
    assert.match(text, /the answer could not be written/);
    assert.doesNotMatch(text, /sabotage/);
    await until(() => server.numOpen === 0);
    const closing = log.at(-1);
    assert.deepEqual([closing?.level, closing?.status], ['error', 500]);
    assert.match(String(closing?.error), /TypeError: sabotage/);
    const { choices } = (await (await post(CHAT, chatBody())).json()) as Whole;
    assert.deepEqual(choices, (whole as Whole).choices);
  }
});

test(
  'server: an error in the middle of a messages stream is an event of that name',
  LIMIT,
  async (context) => {
    const { tokenizer, failAfter } = frailTokenizer();
    const { post, log } = await testServer(context, { tokenizer });
    failAfter(3);
    const response = await post('/v1/messages', chatBody({ stream: true }));
    assert.equal(response.status, 200);
    const events = (await response.text()).split('\n\n').filter((part) => part !== '');
    const [name, data = ''] = (events.at(-1) ?? '').split('\n');
    assert.equal(name, 'event: error');
    const message = 'the answer could not be written. Report this with the server’s log.';
    assert.deepEqual(JSON.parse(data.replace('data: ', '')), {
      type: 'error',
      error: { type: 'api_error', message },
    });
    assert.match(events[0] ?? '', /^event: message_start\n/);
    await until(() => log.some(({ status }) => status === 500));
  },
);
