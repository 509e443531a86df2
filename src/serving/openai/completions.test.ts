/** Plain completions, gaps that are filled, and what needs no engine. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contextOf, play } from '../../../tests/support/protocolCalls.ts';
import { byteTokenizer } from '../../tokenizer/byteTokenizer.ts';
import { prepare } from './prepare.ts';
import { applyTemplate, describeModel, detokenize, listModels, tokenize } from './queries.ts';

const context = contextOf();
const { tokenizer } = context;

function complete(body: object, of = context) {
  return prepare('completions', body, of, {});
}

interface Completion {
  readonly choices: readonly {
    readonly text: string;
    readonly logprobs: Readonly<Record<string, readonly unknown[]>> | null;
  }[];
}

test('completions: text, texts, ids and lists of ids are prompts; each has its choices', () => {
  const ids = [...tokenizer.encode('ab')];
  const bos = tokenizer.bosTokenId ?? -1;
  const prompts = (prompt: unknown, n = 1): number[][] =>
    complete({ prompt, n }).requests.map((request) => [...request.promptIds]);
  assert.deepEqual(prompts('ab'), [[bos, ...ids]]);
  assert.deepEqual(
    prompts(['ab', 'ab'], 2),
    Array.from({ length: 4 }, () => [bos, ...ids]),
  );
  assert.deepEqual(prompts(ids), [ids]);
  assert.deepEqual(prompts([ids, ids]), [ids, ids]);
  assert.deepEqual(prompts('<｜begin▁of▁sentence｜>ab'), [[bos, ...ids]]);
});

test('completions: echo puts the prompt first, and the stream says the same', () => {
  const whole = play(complete({ prompt: 'ab', echo: true }), 'cd', context) as never as Completion;
  assert.equal(whole.choices[0]?.text, 'abcd');
  const streamed = complete({ prompt: 'ab', echo: true, stream: true });
  const chunks = streamed.renderer.begin().map((each) => each.data as Completion);
  play(streamed, 'cd', context, {
    size: 1,
    onChunks: (more) => chunks.push(...more.map((each) => each.data as Completion)),
  });
  assert.equal(chunks.map((chunk) => chunk.choices[0]?.text ?? '').join(''), 'abcd');
});

test('completions: log probabilities in the older form', () => {
  const body = play(complete({ prompt: 'ab', logprobs: 2 }), 'cd', context) as never as Completion;
  const logprobs = body.choices[0]?.logprobs;
  assert.deepEqual(logprobs?.tokens, ['c', 'd']);
  assert.deepEqual(logprobs?.token_logprobs, [-1, -2]);
  assert.deepEqual(logprobs?.text_offset, [0, 1]);
  assert.equal(Object.keys(logprobs?.top_logprobs?.[0] ?? {}).length, 2);
});

test('completions: tokens say whether they were drafts that stood, where this is asked for', () => {
  const drafted = (more: object): readonly unknown[] | undefined => {
    const call = complete({ prompt: 'ab', logprobs: 0, ...more });
    const body = play(call, 'abc', context) as never as Completion;
    return body.choices[0]?.logprobs?.is_drafted;
  };
  assert.deepEqual(drafted({ return_drafted: true }), [false, true, false]);
  assert.equal(drafted({}), undefined);
  assert.throws(() => complete({ prompt: 'ab', return_drafted: true }), {
    code: 'request.invalid',
  });
});

test('completions: a suffix asks for the middle, and cannot forge the tokens around it', () => {
  const { requests } = complete({ prompt: 'a<｜fim▁end｜>', suffix: 'b' });
  const names = [...(requests[0]?.promptIds ?? [])]
    .filter((id) => tokenizer.addedToken(id) !== undefined)
    .map((id) => tokenizer.idToToken(id));
  assert.deepEqual(names, [
    '<｜begin▁of▁sentence｜>',
    '<｜fim▁begin｜>',
    '<｜fim▁hole｜>',
    '<｜fim▁end｜>',
  ]);
  const bare = contextOf({ tokenizer: byteTokenizer(['<｜begin▁of▁sentence｜>']) });
  assert.throws(() => complete({ prompt: 'a', suffix: 'b' }, bare), { param: 'suffix' });
});

test('completions: what cannot be honoured is refused', () => {
  for (const [body, param] of [
    [{ prompt: 'a', echo: true, logprobs: 1 }, 'echo'],
    [{ prompt: 'a', best_of: 3 }, 'best_of'],
    [{ prompt: 'a', messages: [] }, 'messages'],
    [{ prompt: [999_999] }, 'prompt'],
    [{ prompt: [] }, 'prompt'],
    [{ prompt: 'x'.repeat(2000) }, 'prompt'],
    [{ prompt: 'x'.repeat(1e6) }, 'prompt'],
    [{ prompt: 'x', suffix: 'y'.repeat(1e6) }, 'prompt'],
  ] as const) {
    assert.throws(() => complete(body), { status: 400, param }, JSON.stringify(body).slice(0, 60));
  }
});

test('completions: a prompt that cannot fit is refused before it is encoded', () => {
  // Told from how many bytes a token can have, which encoding would have told better.
  const longest = Math.max(
    ...Array.from({ length: tokenizer.vocabSize }, (_, id) => tokenizer.tokenBytes(id).length),
  );
  const { maxContext } = context.info;
  assert.ok(longest > 1);
  const prompt = 'x'.repeat(maxContext * longest + 1);
  const values = { n_prompt_tokens: maxContext + 1, n_ctx: maxContext };
  const expected = { apiCode: 'context_length_exceeded', values };
  assert.throws(() => complete({ prompt }), { ...expected, param: 'prompt' });
  const messages = [{ role: 'user', content: prompt }];
  assert.throws(() => prepare('chat', { messages }, context, {}), {
    ...expected,
    param: 'messages',
  });
});

test('models: name, aliases, and 404 for others', () => {
  const { data } = listModels(context) as { data: { id: string }[] };
  assert.deepEqual(
    data.map((model) => model.id),
    ['tiny', 'tiny-alias'],
  );
  assert.throws(() => describeModel('gpt', context), { status: 404, apiCode: 'model_not_found' });
});

test('tokenize and detokenize: there and back, for texts and chats', () => {
  const { tokens, count } = tokenize({ prompt: 'é' }, context) as {
    tokens: number[];
    count: number;
  };
  assert.equal(count, 3);
  assert.deepEqual(detokenize({ tokens: tokens.slice(1) }, context), { prompt: 'é', content: 'é' });
  const messages = [{ role: 'user', content: 'Hi' }];
  const { prompt } = applyTemplate({ messages }, context) as { prompt: string };
  assert.equal(prompt, '<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜>');
  assert.equal((tokenize({ messages }, context) as { count: number }).count, 5);
  assert.throws(() => tokenize({}, context), { param: 'prompt' });
  assert.throws(() => detokenize({ tokens: [1e6] }, context), { param: 'tokens' });
});
