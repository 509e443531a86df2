/** `moebius chat --url` with a real server: history, thinking, refusals. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertRefused, moebius, startMoebius } from '../support/commandLine.ts';
import { liveServer } from '../support/liveServer.ts';

const server = liveServer();

async function talk(lines: readonly string[], ...args: readonly string[]): Promise<string[]> {
  const options = ['--url', server.origin, '--max-tokens', '8', '--temperature', '0', ...args];
  const input = lines.map((line) => `${line}\n`).join('');
  const ran = await startMoebius(['chat', ...options], { input }).ended;
  assert.equal(ran.code, 0, ran.stderr);
  const [, ...answers] = ran.stdout.split(/leaves\.\n(?:> )?|\n\[\d.*\]\n(?:> )?/);
  return answers.slice(0, -1);
}

test('chat --url: answers, remembers, and forgets when told to', async () => {
  const [one, two, three] = await talk(['hello', 'you', '/reset', 'you']);
  assert.ok([one, two, three].every((answer) => (answer ?? '').length > 0));
  assert.notEqual(two, three);
  assert.deepEqual(await talk(['hello']), [one]);
});

test('chat --url: the address may end in /v1, and a name that is none is refused', async () => {
  const v1 = ['--url', `${server.origin}/v1/`, '--max-tokens', '4'];
  const ran = await startMoebius(['chat', ...v1], { input: 'hello\n' }).ended;
  assert.match(ran.stdout, /\[4 tokens, /);
  const wrong = await startMoebius(['chat', ...v1, '--name', 'none'], { input: 'hello\n' }).ended;
  assert.match(wrong.stdout, /client\.refused/);
});

test('chat: one of checkpoint and server, and only what that one reads', async () => {
  assertRefused(await moebius('chat'), 'chat.option');
  const both = ['--url', server.origin, '--checkpoint', server.checkpoint];
  assertRefused(await moebius('chat', ...both), 'chat.option');
  assertRefused(
    await moebius('chat', '--url', server.origin, '--kernels', 'native'),
    'chat.option',
  );
  assertRefused(await moebius('chat', '--url', 'localhost'), 'client.url');
  assertRefused(await moebius('chat', '--url', 'http://127.0.0.1:1'), 'client.connection');
});
