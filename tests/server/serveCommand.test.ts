/** `moebius serve` as a process: how it starts, what it refuses, and how it ends. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { assertRefused, type Json, moebius } from '../support/commandLine.ts';
import { projectRoot } from '../support/projectFiles.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { writeTalkingCheckpoint } from '../support/talkingCheckpoint.ts';
import { until } from '../support/testServer.ts';

const LIMIT = { timeout: 90_000 };

interface Serving {
  readonly ready: Json;
  readonly url: string;
  readonly stderr: () => string;
  readonly kill: (signal: NodeJS.Signals) => void;
  readonly ended: Promise<number | string>;
}

async function serve(
  context: TestContext,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Serving> {
  const program = join(projectRoot, 'bin', 'moebius.js');
  const child = spawn(process.execPath, [program, 'serve', ...args, '--json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  context.after(() => child.kill('SIGKILL'));
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<number | string>((resolve) => {
    child.on('close', (code, signal) => resolve(code ?? signal ?? ''));
  });
  await until(() => stdout.includes('\n') || child.exitCode !== null);
  assert.match(stdout, /^\{.*\}\n$/, stderr);
  const ready = JSON.parse(stdout) as Json;
  const kill = (signal: NodeJS.Signals): void => void child.kill(signal);
  return { ready, url: String(ready.url), stderr: () => stderr, kill, ended };
}

const chat = (url: string, more: object): Promise<Response> =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer k' },
    body: JSON.stringify({ messages: [{ role: 'user', content: 'hello' }], ...more }),
  });

test(
  'serve: options beat the environment, one line of JSON says that it is ready, SIGTERM drains',
  LIMIT,
  async (context) => {
    const folder = await writeTalkingCheckpoint(temporaryFolder(context));
    const args = [folder, '--port', '0', '--alias', 'mine', '--max-context', '512', '--log-jsonl'];
    const env = { MOEBIUS_MAX_CONTEXT: '256', MOEBIUS_MAX_SEQUENCES: '3', MOEBIUS_API_KEY: 'k' };
    const { ready, url, stderr, kill, ended } = await serve(context, args, env);
    assert.match(url, /^http:\/\/127\.0\.0\.1:\d+$/);
    assert.equal(ready.maxContext, 512);
    assert.equal(ready.maxSequences, 3);
    assert.equal(ready.model, 'mine');
    assert.equal((await fetch(`${url}/v1/models`)).status, 401);
    const streamed = await chat(url, { stream: true, max_tokens: 100, ignore_eos: true });
    const reading = streamed.text();
    kill('SIGTERM');
    assert.match(await reading, /data: \[DONE\]\n\n$/);
    assert.equal(await ended, 0);
    const lines = stderr()
      .split('\n')
      .filter((line) => line.startsWith('{'));
    const events = lines.map((line) => JSON.parse(line) as Json);
    const request = events.find(({ path }) => path === '/v1/chat/completions');
    assert.equal(request?.output, 100);
    assert.equal(events.at(-1)?.event, 'drained');
  },
);

test('serve: a second signal does not wait', LIMIT, async (context) => {
  const folder = await writeTalkingCheckpoint(temporaryFolder(context));
  const { url, kill, ended, stderr } = await serve(context, [folder, '--port', '0']);
  const running = chat(url, { max_tokens: 3000, ignore_eos: true });
  running.catch(() => {});
  await until(async () => {
    const load = (await (await fetch(`${url}/load`)).json()) as { running: number };
    return load.running === 1;
  });
  kill('SIGTERM');
  await until(() => stderr().includes('draining'));
  kill('SIGTERM');
  assert.equal(await ended, 143);
});

test(
  'serve: what cannot be served is refused before it listens for long',
  LIMIT,
  async (context) => {
    const folder = await writeTalkingCheckpoint(temporaryFolder(context));
    const at = ['--port', '0'];
    assertRefused(await moebius('serve', ...at), 'serve.source');
    assertRefused(await moebius('serve', join(folder, 'nowhere'), ...at), 'file.missing');
    assertRefused(
      await moebius('serve', folder, ...at, '--cache-dtype', 'int4'),
      'serve.cacheDtype',
    );
    assertRefused(await moebius('serve', folder, ...at, '--cache-memory', '4'), 'quantity.noUnit');
    assertRefused(await moebius('serve', folder, ...at, '--cors-origins', 'a.b'), 'serve.cors');
    const large = ['--max-body-bytes', '100000000'];
    assertRefused(await moebius('serve', folder, ...at, ...large), 'serve.incoming');
    const nothing = ['--cache-memory', '-4 GB'];
    assertRefused(await moebius('serve', folder, ...at, ...nothing), 'serve.cacheMemory');
    const madeUp = ['--random', 'v3-mini', ...at];
    for (const dtype of ['f33', '__proto__']) {
      assertRefused(await moebius('serve', ...madeUp, '--dtype', dtype), 'serve.dtype');
    }
    const taken = createServer().listen(0, '127.0.0.1');
    context.after(() => taken.close());
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    const inUse = await moebius('serve', folder, '--port', String(port));
    assertRefused(inUse, 'system.EADDRINUSE');
    assert.match(inUse.stderr, /another --port/);
    const nowhere = await moebius('serve', folder, ...at, '--host', 'nowhere.invalid');
    assert.equal(nowhere.code, 1);
    assert.match(nowhere.stderr, /name of the host/);
    assertRefused(
      await moebius('serve', folder, ...at, '--max-context', '999999'),
      'serve.context',
    );
    const small = ['--num-blocks', '2', '--max-context', '1024'];
    assertRefused(await moebius('serve', folder, ...at, ...small), 'serve.cache');
  },
);

test('serve: numbers that no machine or timer can hold are refused with their bounds', async () => {
  for (const [option, value] of [
    ['--port', '65536'],
    ['--port', ''],
    ['--max-sequences', '1e9'],
    ['--token-budget', '1e9'],
    ['--keep-alive-seconds', '2147484'],
    ['--max-context', '1e99'],
    ['--speculate', '9'],
    ['--num-blocks', 'NaN'],
  ] as const) {
    const ran = await moebius('serve', '--random', 'v3-mini', option, value);
    assert.equal(ran.code, 1, `${option} ${value}`);
    assert.ok(ran.stderr.includes(`It is "${value}"; give an integer `), ran.stderr);
  }
});
