/** The client of one stream: any split of the bytes, every way to fail, and aborts. */
import assert from 'node:assert/strict';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { Random } from '../../base/random.ts';
import { getJson, type StreamEvent, streamEvents } from './completionStream.ts';
import { servedModel } from './servedModel.ts';

/** Answers every request in the same way. */
async function listen(
  context: TestContext,
  answer: (response: ServerResponse) => void,
): Promise<URL> {
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => answer(response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return new URL(`http://127.0.0.1:${port}/v1/completions`);
}

async function eventsOf(url: URL): Promise<StreamEvent[]> {
  const events: StreamEvent[] = [];
  await streamEvents({ url, body: '{}' }, (event) => events.push(event));
  return events;
}

const chunk = (text: string): object => ({ choices: [{ text }] });
const told = [chunk('größe'), chunk('\u{1F9EE} \n\ndata: [DONE]'), { choices: [], usage: {} }];

test('streamEvents: events are the same however their bytes are split', async (context) => {
  const stream = [
    ': keep-alive\n\n',
    ...told.map((data) => `data: ${JSON.stringify(data)}\r\n\r\n`),
    'data: [DONE]\n\n',
  ];
  const bytes = Buffer.from(stream.join(''));
  const random = new Random(1);
  const url = await listen(context, async (response) => {
    for (let from = 0; from < bytes.length; ) {
      const to = from + 1 + random.integer(40);
      response.write(bytes.subarray(from, to));
      // Its own packet: otherwise writes are joined.
      await new Promise(setImmediate);
      from = to;
    }
    response.end();
  });
  for (let round = 0; round < 20; round++) assert.deepEqual(await eventsOf(url), told);
});

test('streamEvents: a status, an error in the stream and a cut are told apart', async (context) => {
  const first = `data: ${JSON.stringify(told[0])}\n\n`;
  const failures: readonly (readonly [string, (response: ServerResponse) => void])[] = [
    ['http 429', (response) => response.writeHead(429).end('{"error":{"message":"slow down"}}')],
    ['http 502', (response) => response.writeHead(502).end('<html>')],
    ['http 500', (response) => response.writeHead(500).end('{"error":null}')],
    [
      'stream engine_crashed',
      (response) => response.end(`${first}data: {"error":{"code":"engine_crashed"}}\n\n`),
    ],
    ['no event', (response) => response.end(`${first}data: null\n\ndata: [DONE]\n\n`)],
    ['no event', (response) => response.end(`${first}data: {"choices":\n\n`)],
    ['cut off', (response) => response.end(first)],
    ['ECONNRESET', (response) => response.destroy()],
    [
      'ECONNRESET',
      (response) => {
        response.write(first);
        setImmediate(() => response.destroy());
      },
    ],
  ];
  for (const [reason, answer] of failures) {
    const url = await listen(context, answer);
    await assert.rejects(eventsOf(url), (error: Error & { values?: { reason?: string } }) => {
      assert.equal(error.values?.reason, reason, error.stack);
      return true;
    });
  }
});

test('streamEvents: an abort ends it, and the server sees the connection closed', async (context) => {
  const closed = Promise.withResolvers<void>();
  const url = await listen(context, (response) => {
    response.on('close', () => closed.resolve());
    response.write(`data: ${JSON.stringify(told[0])}\n\n`);
  });
  const abort = new AbortController();
  const stream = streamEvents({ url, body: '{}', signal: abort.signal }, () => abort.abort());
  await assert.rejects(stream, { name: 'AbortError' });
  await closed.promise;
});

test('getJson: gives what is there and refuses what is none', async (context) => {
  const good = await listen(context, (response) => response.end('{"data":[]}'));
  assert.deepEqual(await getJson(good), { data: [] });
  const bad = await listen(context, (response) => response.end('<html>'));
  await assert.rejects(getJson(bad), { code: 'client.noJson' });
  await assert.rejects(getJson(new URL('http://127.0.0.1:1/')), { code: 'client.connection' });
});

test('servedModel: a server that lists no model in words is no OpenAI server', async (context) => {
  const lists = ['null', '3', '[]', '{"data":null}', '{"data":{"a":1}}', '{"data":[null,3,{}]}'];
  for (const list of lists) {
    const url = await listen(context, (response) => response.end(list));
    await assert.rejects(servedModel({ url }), { code: 'client.noModel' }, list);
    // What is asked for by name need not be listed.
    assert.equal((await servedModel({ url, name: 'mine' })).name, 'mine');
  }
});
