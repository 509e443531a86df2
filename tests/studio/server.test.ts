/** The studio's server on loopback: who may ask, what it gives, and how it follows a run. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { appendFileSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { openStudio } from '../../src/cli/studio/openStudio.ts';
import type { RunSummary, StudioError } from '../../src/server/studio/wire.ts';
import { temporaryFolder } from '../support/scripts.ts';
import { rawExchange, until } from '../support/testServer.ts';

const LIMIT = { timeout: 60_000 };
const START = '{"kind":"start","step":0,"numSteps":3}\n';
const step = (index: number): string => `{"kind":"step","step":${index},"seconds":1,"loss":2.5}\n`;

interface Studio {
  readonly url: string;
  readonly port: number;
  /** Of its one run. */
  readonly metrics: string;
  /** `/studio/api/runs/ID` */
  readonly run: string;
  /** The answer to a request whose path no client has tidied. */
  readonly raw: (path: string, headers?: readonly string[]) => Promise<string>;
}

async function studio(context: TestContext): Promise<Studio> {
  const root = temporaryFolder(context);
  const page = join(root, 'page');
  mkdirSync(join(page, 'assets'), { recursive: true });
  writeFileSync(join(page, 'index.html'), '<!doctype html><title>studio</title>');
  writeFileSync(join(page, 'assets', 'main-Dx3k9_aB.js'), 'export {};');
  const runs = join(root, 'runs');
  const directory = join(runs, 'a b', 'first');
  mkdirSync(directory, { recursive: true });
  const config = { name: 'tiny', steps: 3, model: { modelType: 'v3', numHiddenLayers: 4 } };
  writeFileSync(join(directory, 'train.json'), JSON.stringify(config));
  const metrics = join(directory, 'metrics.jsonl');
  writeFileSync(metrics, START + step(1));
  const settings = { folder: runs, host: '127.0.0.1', port: 0, checkpoint: null, page };
  const { url, close } = await openStudio(settings, () => {});
  context.after(close);
  const port = Number(new URL(url).port);
  const raw: Studio['raw'] = (path, headers = [`Host: 127.0.0.1:${port}`]) => {
    const lines = [`GET ${path} HTTP/1.1`, ...headers, 'Connection: close'];
    return rawExchange(port, `${lines.join('\r\n')}\r\n\r\n`);
  };
  return { url, port, metrics, run: `${url}/studio/api/runs/a~20b~2ffirst`, raw };
}

async function errorOf(response: Response): Promise<StudioError['error']> {
  return ((await response.json()) as StudioError).error;
}

test('studio: the page has its policy; hashed files last, the rest is never kept', async (context) => {
  const { url } = await studio(context);
  const index = await fetch(`${url}/`);
  assert.equal(index.status, 200);
  assert.match(await index.text(), /<title>studio/);
  const { headers } = index;
  assert.equal(
    headers.get('content-security-policy'),
    "default-src 'self'; worker-src 'self' blob:; img-src 'self' data:; " +
      "style-src 'self' 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'; " +
      "base-uri 'none'; form-action 'none'",
  );
  assert.equal(headers.get('x-content-type-options'), 'nosniff');
  assert.equal(headers.get('referrer-policy'), 'no-referrer');
  assert.equal(headers.get('cache-control'), 'no-store');
  const asset = await fetch(`${url}/assets/main-Dx3k9_aB.js`);
  assert.match(asset.headers.get('cache-control') ?? '', /immutable/);
  assert.match(asset.headers.get('content-type') ?? '', /^text\/javascript/);
  const missing = await fetch(`${url}/nothing.js`);
  assert.equal(missing.status, 404);
  assert.match(missing.headers.get('content-security-policy') ?? '', /default-src 'self'/);
});

test('studio: only names of this machine with its port are a Host', async (context) => {
  const { port, raw } = await studio(context);
  for (const host of [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`]) {
    assert.match(await raw('/', [`Host: ${host}`]), /^HTTP\/1\.1 200/, host);
  }
  const others = ['example.org', `example.org:${port}`, 'localhost', `localhost:${port + 1}`, ''];
  for (const host of others) {
    for (const path of ['/', '/studio/api/runs', '/v1/models', '/nothing']) {
      const answer = await raw(path, [`Host: ${host}`]);
      assert.match(answer, /^HTTP\/1\.1 403[\s\S]*studio\.host/, `${host} ${path}`);
    }
  }
  assert.match(await raw('/', []), /^HTTP\/1\.1 403[\s\S]*studio\.host/);
});

test('studio: another page’s Origin is refused, its own and none are not', async (context) => {
  const { url, port } = await studio(context);
  const ask = (origin: string, path: string): Promise<Response> =>
    fetch(`${url}${path}`, { headers: { origin } });
  assert.equal((await ask(url, '/studio/api/runs')).status, 200);
  const others = ['null', 'http://example.org', `https://127.0.0.1:${port}`];
  for (const origin of [...others, `http://localhost:${port}`, 'http://127.0.0.1']) {
    for (const path of ['/studio/api/runs', '/v1/models']) {
      const refused = await ask(origin, path);
      assert.equal(refused.status, 403, origin);
      assert.equal((await errorOf(refused)).code, 'studio.origin');
    }
  }
});

test('studio: no path leads out of the page or the runs', async (context) => {
  const { raw } = await studio(context);
  const paths = [
    ...['/../package.json', '/..%2fpackage.json', '/%2e%2e/package.json', '//etc/passwd'],
    ...['/%2e%2e%2fruns', '/..%5cpackage.json', '/..\\package.json', '/assets/../index.html'],
    ...['/%252e%252e%252fpackage.json', '/./index.html', '/assets//main-Dx3k9_aB.js', '/%00'],
    ...['/studio/api/runs/../config', '/studio/api/runs/..%2f..%2fpage/config', '/%zz'],
    ...['/studio/api/runs/%2e%2e/config', '/studio/api/runs/~2e~2e/config'],
  ];
  for (const path of paths) {
    const answer = await raw(path);
    assert.match(answer, /^HTTP\/1\.1 40[04] /, path);
    assert.match(answer, /\r\n\r\n\{"error":\{/, path);
    assert.doesNotMatch(answer, /doctype|"moebius"|root:/, path);
  }
});

test('studio: runs are listed with step and state, and unknown ones refused', async (context) => {
  const { url, run, metrics } = await studio(context);
  const list = async (): Promise<RunSummary | undefined> =>
    ((await (await fetch(`${url}/studio/api/runs`)).json()) as RunSummary[])[0];
  const { id, name, recipe, model, step: done, steps, state } = (await list()) ?? {};
  assert.deepEqual(
    { id, name, recipe, model, done, steps, state },
    {
      ...{ id: 'a~20b~2ffirst', name: 'first', recipe: 'tiny', model: 'v3, 4 layers' },
      ...{ done: 1, steps: 3, state: 'running' },
    },
  );
  appendFileSync(metrics, `${step(2)}{"kind":"end","summary":{"end":"finished","step":2}}\n`);
  assert.equal((await list())?.state, 'finished');
  assert.equal((await list())?.step, 2);
  assert.deepEqual(
    ((await (await fetch(`${run}/config`)).json()) as { name: string }).name,
    'tiny',
  );
  for (const path of ['config', 'metrics', 'follow']) {
    const answer = await fetch(`${url}/studio/api/runs/nobody/${path}`);
    assert.equal(answer.status, 404);
    assert.match(answer.headers.get('content-type') ?? '', /^application\/json/);
    const { code, hint } = await errorOf(answer);
    assert.equal(code, 'studio.run');
    assert.match(hint ?? '', /GET \/studio\/api\/runs/);
  }
});

test('studio: a run whose files are broken is listed, and says which', async (context) => {
  const { url, metrics } = await studio(context);
  const list = async (): Promise<RunSummary | undefined> =>
    ((await (await fetch(`${url}/studio/api/runs`)).json()) as RunSummary[])[0];
  appendFileSync(metrics, `{"kind":"step","st`);
  assert.deepEqual((await list())?.unreadable, [], 'half a line is one under way');
  appendFileSync(metrics, `\n${step(2)}not JSON\n`);
  const broken = await list();
  assert.deepEqual([broken?.step, broken?.unreadable], [2, ['metrics.jsonl']]);
  writeFileSync(join(dirname(metrics), 'train.json'), '{"name":"ti');
  const without = await list();
  assert.deepEqual([without?.recipe, without?.model], ['', '']);
  assert.deepEqual(without?.unreadable, ['train.json', 'metrics.jsonl']);
});

test('studio: metrics come from a byte on, in whole lines', async (context) => {
  const { run, metrics } = await studio(context);
  appendFileSync(metrics, '{"half":');
  const read = async (from: string | number): Promise<readonly (string | null)[]> => {
    const { headers, ...answer } = await fetch(`${run}/metrics?from=${from}`).then(
      async (each) => ({
        headers: each.headers,
        text: await each.text(),
      }),
    );
    return [answer.text, headers.get('x-from-byte'), headers.get('x-next-byte')];
  };
  const end = String(START.length + step(1).length);
  assert.deepEqual(await read(0), [START + step(1), '0', end]);
  assert.deepEqual(await read(START.length), [step(1), String(START.length), end]);
  assert.deepEqual(await read(end), ['', end, end]);
  // Where a connection broke, and behind the end: then the file is another one.
  assert.deepEqual(await read(3), [(START + step(1)).slice(3), '3', end]);
  assert.deepEqual(await read(9999), [START + step(1), '0', end]);
  for (const from of ['-1', 'x', '1.5', '', '1e3']) {
    const refused = await fetch(`${run}/metrics?from=${from}`);
    assert.equal(refused.status, 400, from);
    assert.equal((await errorOf(refused)).code, 'request.from');
  }
});

/** Reads events until one is liked; gives the text so far. */
async function eventsUntil(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  isLiked: (text: string) => boolean,
): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  while (!isLiked(text)) {
    const { value, done } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
  }
  return text;
}

test(
  'studio: follow tells appended lines, whole, and a file begun anew',
  LIMIT,
  async (context) => {
    const { run, metrics } = await studio(context);
    const gone = new AbortController();
    context.after(() => gone.abort());
    const answer = await fetch(`${run}/follow?from=${START.length}`, { signal: gone.signal });
    assert.match(answer.headers.get('content-type') ?? '', /^text\/event-stream/);
    assert.ok(answer.body !== null);
    const reader = answer.body.getReader();
    const end = START.length + step(1).length;
    const first = await eventsUntil(reader, (text) => text.includes('data:'));
    assert.equal(first, `retry: 1000\n\nid: ${end}\ndata: ${step(1)}\n`);
    const [head, tail] = [step(2).slice(0, 9), step(2).slice(9)];
    appendFileSync(metrics, step(3) + head);
    const second = await eventsUntil(reader, (text) => text.endsWith('\n\n'));
    assert.equal(second, `id: ${end + step(3).length}\ndata: ${step(3)}\n`);
    appendFileSync(metrics, tail);
    const third = await eventsUntil(reader, (text) => text.endsWith('\n\n'));
    assert.equal(third, `id: ${end + step(3).length + step(2).length}\ndata: ${step(2)}\n`);
    truncateSync(metrics, 0);
    appendFileSync(metrics, START);
    const anew = await eventsUntil(reader, (text) => text.includes('"start"'));
    assert.match(anew, /^event: restart\nid: 0\ndata: \{"from":0\}\n\n/);
    assert.ok(anew.includes(`id: ${START.length}\ndata: ${START}`));
  },
);

test('studio: who comes back says how far it was', LIMIT, async (context) => {
  const { run } = await studio(context);
  const gone = new AbortController();
  context.after(() => gone.abort());
  const headers = { 'last-event-id': String(START.length) };
  const answer = await fetch(`${run}/follow?from=0`, { headers, signal: gone.signal });
  const reader = answer.body?.getReader();
  assert.ok(reader !== undefined);
  const text = await eventsUntil(reader, (all) => all.includes('data:'));
  assert.ok(!text.includes('"start"') && text.includes('"step":1'));
});

test('studio: who follows no more leaves a place free', LIMIT, async (context) => {
  const { run } = await studio(context);
  const follow = async (): Promise<{ readonly status: number; leave(): void }> => {
    const gone = new AbortController();
    const { status } = await fetch(`${run}/follow`, { signal: gone.signal });
    return { status, leave: () => gone.abort() };
  };
  const followers = await Promise.all(Array.from({ length: 64 }, follow));
  assert.ok(followers.every(({ status }) => status === 200));
  assert.equal((await follow()).status, 503);
  for (const { leave } of followers) leave();
  await until(async () => {
    const { status, leave } = await follow();
    leave();
    return status === 200;
  });
});

test('studio: with nothing to serve, the API says what to do', async (context) => {
  const { url } = await studio(context);
  const get = (path: string): Promise<Response> => fetch(`${url}${path}`);
  assert.deepEqual(await (await get('/studio/api/serve/state')).json(), { kind: 'none' });
  for (const path of ['/v1/models', '/health', '/studio/api/serve/experts']) {
    const refused = await get(path);
    assert.equal(refused.status, 503, path);
    assert.equal((await errorOf(refused)).code, 'studio.notServing');
  }
  const post = (body: string, type = 'application/json'): Promise<Response> =>
    fetch(`${url}/studio/api/serve`, { method: 'POST', headers: { 'content-type': type }, body });
  const unknown = await post('{"checkpoint":"../../x"}');
  assert.equal(unknown.status, 404);
  assert.equal((await errorOf(unknown)).code, 'studio.checkpoint');
  assert.equal((await post('{}')).status, 400);
  assert.equal((await post('nonsense')).status, 400);
  // What a form of another page could send is no JSON.
  assert.equal((await post('{"checkpoint":null}', 'text/plain')).status, 415);
});

test('studio: a page that was not built is refused with the command that builds it', async () => {
  const page = join('nowhere', 'at', 'all');
  const settings = { folder: 'x', host: '127.0.0.1', port: 0, checkpoint: null, page };
  await assert.rejects(
    openStudio(settings, () => {}),
    { code: 'studio.unbuilt', hint: 'Run: npm run build' },
  );
});

test('studio: it is unwatched when nobody has been connected for as long as asked', async (context) => {
  const root = temporaryFolder(context);
  writeFileSync(join(root, 'index.html'), '<!doctype html>');
  const settings = { folder: root, host: '127.0.0.1', port: 0, checkpoint: null, page: root };
  const { url, unwatched, close } = await openStudio(settings, () => {});
  context.after(close);
  const watcher = connect(Number(new URL(url).port), '127.0.0.1');
  await once(watcher, 'connect');
  let isLeft = false;
  const left = unwatched(0.2).then(() => {
    isLeft = true;
  });
  await setTimeout(1000);
  assert.equal(isLeft, false, 'somebody is connected');
  watcher.destroy();
  await left;
});
