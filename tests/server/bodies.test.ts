/** Bodies that come slowly: how much of all of them a server holds, and who is refused then. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { chatBody, testServer, until } from '../support/testServer.ts';

const LIMIT = { timeout: 30_000 };
const CHAT = '/v1/chat/completions';
const limits = { bodyBytes: 100_000, incomingBytes: 250_000 };

/** JSON may have blanks before it. */
function bodyOf(length: number): string {
  return JSON.stringify(chatBody({ max_tokens: 2 })).padStart(length);
}

interface SlowClient {
  readonly socket: Socket;
  /** What has come back. */
  answer(): string;
}

/** Sends the head of a request, and the first part of its body. */
function slowClient(
  context: TestContext,
  { port, length, part }: { port: number; length: number | 'chunked'; part: string },
): SlowClient {
  const socket = connect(port, '127.0.0.1');
  context.after(() => socket.destroy());
  let text = '';
  socket.setEncoding('utf8').on('data', (more: string) => {
    text += more;
  });
  // Who is refused may find the connection closed before it has sent all.
  socket.on('error', () => {});
  const size = length === 'chunked' ? 'Transfer-Encoding: chunked' : `Content-Length: ${length}`;
  const head = `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${size}\r\n`;
  const chunk = `${part.length.toString(16)}\r\n${part}\r\n`;
  socket.write(`${head}\r\n${length === 'chunked' ? chunk : part}`);
  return { socket, answer: () => text };
}

test(
  'server: slow bodies are held up to a bound, and beyond it refused',
  LIMIT,
  async (context) => {
    const { port, post } = await testServer(context, { limits });
    const body = bodyOf(62_500);
    const clients = Array.from({ length: 20 }, () =>
      slowClient(context, { port, length: body.length, part: body.slice(0, 60_000) }),
    );
    const isAnswered = ({ answer }: SlowClient): boolean => answer().includes('\r\n\r\n{');
    // In whatever order their bytes come, four fit.
    await until(() => clients.filter(isAnswered).length === 16);
    const waiting = clients.filter((client) => !isAnswered(client));
    for (const { answer } of clients.filter(isAnswered)) {
      assert.match(answer(), /^HTTP\/1\.1 503 /);
      assert.match(answer(), /\r\nretry-after: 5\r\n/i);
      assert.match(answer(), /\r\nconnection: close\r\n/i);
      assert.match(answer(), /"code":"bodies_full"/);
    }
    // What still fits is served meanwhile.
    assert.equal((await post(CHAT, chatBody({ max_tokens: 2 }))).status, 200);
    for (const { socket } of waiting) socket.write(body.slice(60_000));
    await until(() => waiting.every(isAnswered));
    for (const { answer } of waiting) assert.match(answer(), /^HTTP\/1\.1 200 /);
    assert.equal((await post(CHAT, body)).status, 200);
  },
);

test(
  'server: bodies in chunks count, and a client that leaves gives back',
  LIMIT,
  async (context) => {
    const { port, post, log } = await testServer(context, { limits });
    const holders = Array.from({ length: 4 }, () =>
      slowClient(context, { port, length: 'chunked', part: bodyOf(60_000) }),
    );
    // What only announces itself takes no room from the others.
    await until(async () => {
      const probe = slowClient(context, { port, length: 20_000, part: '' });
      await setTimeout(20);
      probe.socket.destroy();
      return probe.answer().includes('bodies_full');
    });
    const refused = await post('/v1/messages', bodyOf(20_000));
    assert.equal(refused.status, 503);
    assert.equal(refused.headers.get('retry-after'), '5');
    const { type, error } = (await refused.json()) as { type: string; error: { type: string } };
    assert.deepEqual([type, error.type], ['error', 'overloaded_error']);
    const late = slowClient(context, { port, length: 'chunked', part: bodyOf(20_000) });
    await until(() => late.answer().includes('bodies_full'));
    assert.match(late.answer(), /^HTTP\/1\.1 503 /);
    const [first, ...others] = holders;
    assert.ok(first !== undefined);
    first.socket.write('0\r\n\r\n');
    await until(() => first.answer().includes('"finish_reason"'));
    for (const { socket } of others) socket.destroy();
    await until(async () => (await post(CHAT, bodyOf(100_000))).status === 200);
    // Leaving in the middle is no mistake of ours.
    assert.deepEqual(
      log.filter(({ level }) => level === 'error'),
      [],
    );
  },
);
