/**
 * A conversation kept as token ids: what the model sampled goes into the next prompt as it was, not
 * as its text would be encoded anew, so all of it is in the prefix cache.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { liveServer } from '../support/liveServer.ts';

const LIMIT = { timeout: 60_000 };
const BLOCK = 64;
const server = liveServer(['--max-context', '1024']);

async function post(path: string, body: object): Promise<unknown> {
  const response = await fetch(`${server.origin}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return response.json();
}

interface Completion {
  readonly choices: readonly [
    { readonly text: string; readonly logprobs: { readonly tokens: readonly string[] } },
  ];
  readonly usage: {
    readonly completion_tokens: number;
    readonly prompt_tokens_details: { readonly cached_tokens: number };
  };
}

test('server: ids that go back as ids are all found in the cache', LIMIT, async () => {
  const complete = async (prompt: readonly number[]): Promise<Completion> => {
    const asked = { prompt, max_tokens: 150, seed: 3, temperature: 2, ignore_eos: true };
    const ids = { logprobs: 0, return_tokens_as_token_ids: true, skip_special_tokens: false };
    return (await post('/v1/completions', { ...asked, ...ids })) as Completion;
  };
  const messages = [{ role: 'user', content: 'a first question, of some length' }];
  const { tokens: first } = (await post('/tokenize', { messages })) as { tokens: number[] };

  const { choices, usage } = await complete(first);
  const [{ text, logprobs }] = choices;
  const sampled = logprobs.tokens.map((name) => Number(/^token_id:(\d+)$/.exec(name)?.[1]));
  assert.equal(sampled.length, usage.completion_tokens);

  // The text is other tokens, and half characters in it are U+FFFD.
  const asText = await post('/tokenize', { prompt: text, add_special_tokens: false });
  const { tokens: again } = asText as { tokens: number[] };
  assert.notDeepEqual(again, sampled);

  // The last token was never run.
  const whole = Math.floor((first.length + sampled.length - 1) / BLOCK) * BLOCK;
  const byText = await complete([...first, ...again, 65]);
  assert.ok(byText.usage.prompt_tokens_details.cached_tokens < whole);
  const byIds = await complete([...first, ...sampled, 65]);
  assert.equal(byIds.usage.prompt_tokens_details.cached_tokens, whole);
});
