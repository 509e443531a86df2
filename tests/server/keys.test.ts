/** Keys and limits, as the exceptions of the clients that meet them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI, {
  type APIError,
  AuthenticationError,
  InternalServerError,
  PermissionDeniedError,
  RateLimitError,
} from 'openai';
import { at } from '../../src/base/assert.ts';
import { liveServer, settledState } from '../support/liveServer.ts';

const [KEY, ADMIN] = ['sk-one', 'sk-admin'];
const server = liveServer([
  ...['--api-key', KEY, '--admin-key', ADMIN, '--key-requests', '2', '--key-rpm', '40'],
  ...['--max-requests', '4', '--num-blocks', '64'],
]);

function client(apiKey: string): OpenAI {
  return new OpenAI({ baseURL: `${server.origin}/v1`, apiKey, maxRetries: 0 });
}

async function completion(apiKey: string, more: object = {}): Promise<OpenAI.Completion> {
  const model = at((await client(KEY).models.list()).data, 0).id;
  return client(apiKey).completions.create({ model, prompt: 'a', max_tokens: 2, ...more });
}

/** The status that ends a promise, with its headers. */
async function refusalOf(answer: Promise<unknown>): Promise<APIError> {
  const error = await answer.then(
    () => assert.fail('it is refused'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof OpenAI.APIError, String(error));
  return error;
}

test('openai: a wrong key is an AuthenticationError, and nothing is told without one', async () => {
  assert.ok((await refusalOf(completion('sk-two'))) instanceof AuthenticationError);
  assert.ok((await refusalOf(client('sk-two').models.list())) instanceof AuthenticationError);
  for (const path of ['/server_info', '/load', '/v1/models', '/tokenize']) {
    const method = path === '/tokenize' ? 'POST' : 'GET';
    assert.equal((await fetch(`${server.origin}${path}`, { method })).status, 401, path);
  }
});

test('openai: a caller’s key is none of the admin’s', async () => {
  const flush = (apiKey: string): Promise<unknown> =>
    client(apiKey).post(`${server.origin}/flush_cache`);
  const refusal = await refusalOf(flush(KEY));
  assert.ok(refusal instanceof AuthenticationError || refusal instanceof PermissionDeniedError);
  assert.ok(typeof ((await flush(ADMIN)) as { freed_blocks: number }).freed_blocks === 'number');
});

test('openai: more at once than a key may is a RateLimitError that says when to come back', async () => {
  const choices = { n: 3, max_tokens: 100 };
  const refusal = await refusalOf(completion(KEY, choices));
  assert.ok(refusal instanceof RateLimitError, String(refusal));
  assert.ok(Number(refusal.headers?.get('retry-after')) > 0);
  assert.match(refusal.message, /key/);
});

test('openai: requests a minute end in a RateLimitError, and the key’s others go on', async () => {
  let refusal: APIError | null = null;
  for (let i = 0; i < 60 && refusal === null; i++) {
    await completion(KEY).catch((error: APIError) => {
      refusal = error;
    });
  }
  const told = refusal as APIError | null;
  assert.ok(told instanceof RateLimitError && !(told instanceof InternalServerError), `${told}`);
  assert.match(told.message, /minute/);
  const { running, waiting, open } = await settledState(server.url, KEY);
  assert.deepEqual([running, waiting, open], [0, 0, 0]);
});
