/** curl, as shell scripts use it: plain bytes, headers and exit codes. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { request } from 'node:http';
import { test } from 'node:test';
import { liveServer, serverState, settledState } from '../support/liveServer.ts';
import { type Ended, runProgram } from '../support/scripts.ts';

const server = liveServer(['--keep-alive-seconds', '1']);

const hasCurl = spawnSync('curl', ['--version'], { stdio: 'ignore' }).status === 0;
const withCurl = { skip: !hasCurl && 'no curl (Debian: curl)' };

function curl(path: string, ...args: readonly string[]): Promise<Ended> {
  return runProgram('curl', ['--silent', '--show-error', ...args, `${server.origin}${path}`]);
}

const json = (body: object): readonly string[] => ['--json', JSON.stringify(body)];

test('curl: asks and gets JSON with its type', withCurl, async () => {
  const body = json({ prompt: 'hello', max_tokens: 6, temperature: 0 });
  const ran = await curl('/v1/completions', '--include', ...body);
  const [head = '', text = ''] = ran.stdout.split('\r\n\r\n');
  assert.match(head, /^HTTP\/1\.1 200/);
  assert.match(head, /content-type: application\/json/i);
  const { choices, usage } = JSON.parse(text) as {
    choices: { text: string }[];
    usage: { completion_tokens: number };
  };
  assert.equal(choices.length, 1);
  assert.equal(usage.completion_tokens, 6);
});

test('curl: a stream comes as events and ends with its mark', withCurl, async () => {
  const body = { messages: [{ role: 'user', content: 'hello' }], max_tokens: 6, stream: true };
  const ran = await curl('/v1/chat/completions', '--no-buffer', '--include', ...json(body));
  assert.match(ran.stdout, /content-type: text\/event-stream/i);
  const events = ran.stdout.split('\n\n').filter((part) => part.startsWith('data: '));
  assert.equal(events.at(-1), 'data: [DONE]');
  for (const event of events.slice(0, -1)) JSON.parse(event.slice(6));
});

test('curl: --fail sees a refusal, and its body says why', withCurl, async () => {
  const args = ['--fail-with-body', '--data', '{"prompt":', '-H', 'content-type: application/json'];
  const ran = await curl('/v1/completions', ...args);
  assert.equal(ran.code, 22);
  const { error } = JSON.parse(ran.stdout) as { error: { message: string; type: string } };
  assert.equal(error.type, 'invalid_request_error');
  assert.ok(error.message.length > 10);
});

test('curl: health, readiness and metrics are there without words', withCurl, async () => {
  for (const path of ['/health', '/ready', '/metrics', '/version']) {
    const ran = await curl(path, '--fail');
    assert.equal(ran.code, 0, `${path}: ${ran.stderr}`);
  }
  assert.match((await curl('/metrics')).stdout, /^vllm:num_requests_running[{ ]/m);
});

test('curl: one that is gone is a request that is gone', withCurl, async () => {
  const body = json({ prompt: 'hello', max_tokens: 3000, stream: true });
  const ran = await runProgram(
    'curl',
    ['--silent', '--no-buffer', ...body, `${server.origin}/v1/completions`],
    { onOutput: (_, kill) => kill('SIGKILL') },
  );
  assert.equal(ran.code, 'SIGKILL');
  const { running, waiting, open } = await settledState(server.url);
  assert.deepEqual([running, waiting, open], [0, 0, 0]);
});

test('serve: a whole answer that takes long sends headers and line breaks before it is there', async () => {
  const abort = new AbortController();
  const call = request(`${server.origin}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    signal: abort.signal,
  });
  call.on('error', () => undefined);
  const response = new Promise<number>((resolve) => {
    call.on('response', (message) => {
      message.on('error', () => undefined).resume();
      resolve(message.statusCode ?? 0);
    });
  });
  call.end(JSON.stringify({ prompt: 'hello', max_tokens: 3000, ignore_eos: true, n: 16 }));
  assert.equal(await response, 200);
  // The headers are here, and the answer is still being made.
  assert.equal((await serverState(server.url)).open, 16);
  abort.abort();
  await settledState(server.url);
});
