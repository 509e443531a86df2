/**
 * OpenAI's own client, version 7, unchanged, against a real server: what its users call, what they
 * read, and the exceptions they catch.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI, { APIUserAbortError, BadRequestError, NotFoundError } from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { at } from '../../src/base/assert.ts';
import { liveServer, settledState, stateWhen } from '../support/liveServer.ts';

const server = liveServer();

function client(): OpenAI {
  return new OpenAI({ baseURL: `${server.origin}/v1`, apiKey: 'any', maxRetries: 0 });
}

type ChatBody = OpenAI.ChatCompletionCreateParamsNonStreaming;

/** What OpenAI's types do not know: both names of thinking. */
interface Thinking {
  readonly reasoning_content?: string | null;
  readonly reasoning?: string | null;
}

const user = (content: string): OpenAI.ChatCompletionMessageParam => ({ role: 'user', content });

async function anyModel(): Promise<string> {
  const models = await client().models.list();
  return at(models.data, 0).id;
}

async function chatBody(more: Partial<ChatBody> & Record<string, unknown> = {}): Promise<ChatBody> {
  const common = { messages: [user('hello')], max_tokens: 24, seed: 1 };
  return { model: await anyModel(), ...common, ...more };
}

test('openai: models are listed and looked up, and another name is not found', async () => {
  const model = await anyModel();
  assert.equal((await client().models.retrieve(model)).id, model);
  await assert.rejects(client().models.retrieve('none'), NotFoundError);
  const body = { ...(await chatBody()), model: 'gpt-none' };
  await assert.rejects(client().chat.completions.create(body), NotFoundError);
});

test('openai: a streamed chat equals the whole one, and says what it used', async () => {
  const body = await chatBody({ temperature: 1 });
  const whole = await client().chat.completions.create(body);
  const [choice] = whole.choices;
  assert.equal(choice?.finish_reason, 'length');
  assert.equal(whole.usage?.completion_tokens, 24);
  const stream = await client().chat.completions.create({
    ...body,
    stream: true,
    stream_options: { include_usage: true },
  });
  let [text, finish] = ['', ''];
  let usage: OpenAI.CompletionUsage | null | undefined;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? '';
    finish = chunk.choices[0]?.finish_reason ?? finish;
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, choice?.message.content);
  assert.equal(finish, 'length');
  assert.equal(usage?.total_tokens, whole.usage?.total_tokens);
});

test('openai: several choices differ by themselves and come back by their index', async () => {
  const body = await chatBody({ n: 3, temperature: 1 });
  const { choices } = await client().chat.completions.create(body);
  assert.deepEqual(
    choices.map(({ index }) => index),
    [0, 1, 2],
  );
  assert.equal(new Set(choices.map(({ message }) => message.content)).size, 3);
});

test('openai: log probabilities belong to the text, token by token', async () => {
  const body = await chatBody({ logprobs: true, top_logprobs: 3, temperature: 0 });
  const { choices } = await client().chat.completions.create(body);
  const choice = at(choices, 0);
  const tokens = choice.logprobs?.content ?? [];
  // Control tokens that are no text have none.
  assert.ok(tokens.length > 12 && tokens.length <= 24);
  const bytes = Buffer.from(tokens.flatMap((token) => token.bytes ?? []));
  assert.equal(bytes.toString('utf8'), choice.message.content);
  for (const { logprob, top_logprobs: top } of tokens) {
    assert.ok(logprob <= 0 && Number.isFinite(logprob));
    assert.equal(top.length, 3);
    // Greedy takes the likeliest.
    assert.ok(Math.abs(logprob - at(top, 0).logprob) < 1e-6);
  }
});

test('openai: a plain completion of text, with its prompt echoed nowhere', async () => {
  const body = { model: await anyModel(), prompt: 'once', max_tokens: 8, temperature: 0 };
  const whole = await client().completions.create(body);
  let text = '';
  for await (const chunk of await client().completions.create({ ...body, stream: true })) {
    text += chunk.choices[0]?.text ?? '';
  }
  assert.equal(text, whole.choices[0]?.text);
  assert.equal(whole.usage?.prompt_tokens, 4);
});

test('openai: a prompt asked again is read from the cache, and usage says so', async () => {
  const body = await chatBody({ messages: [user('cached '.repeat(40))], max_tokens: 4 });
  await client().chat.completions.create(body);
  const { usage } = await client().chat.completions.create(body);
  const cached = usage?.prompt_tokens_details?.cached_tokens ?? 0;
  assert.ok(cached >= 192 && cached < (usage?.prompt_tokens ?? 0), `${cached} cached`);
});

test('openai: thinking comes under both names, whole and streamed, and ends at its budget', async () => {
  const thinking = { thinking: { type: 'enabled', budget_tokens: 10 } };
  const body = await chatBody({ ...thinking, max_tokens: 40, ignore_eos: true });
  const { choices, usage } = await client().chat.completions.create(body);
  const message = at(choices, 0).message as OpenAI.ChatCompletionMessage & Thinking;
  assert.ok((message.reasoning_content ?? '').length > 0);
  assert.equal(message.reasoning, message.reasoning_content);
  assert.ok((message.content ?? '').length > 0);
  const reasoned = usage?.completion_tokens_details?.reasoning_tokens ?? 0;
  assert.ok(reasoned >= 10 && reasoned <= 14, `${reasoned} tokens`);
  const stream = await client().chat.completions.create({ ...body, stream: true });
  const streamed = { reasoning: '', reasoning_content: '', content: '' };
  for await (const { choices: parts } of stream) {
    const delta = (parts[0]?.delta ?? {}) as Thinking & { content?: string | null };
    streamed.reasoning += delta.reasoning ?? '';
    streamed.reasoning_content += delta.reasoning_content ?? '';
    streamed.content += delta.content ?? '';
  }
  assert.equal(streamed.reasoning_content, message.reasoning_content);
  assert.equal(streamed.reasoning, message.reasoning_content);
  assert.equal(streamed.content, message.content);
});

test('openai: a history with thinking under either name is taken', async () => {
  for (const name of ['reasoning_content', 'reasoning']) {
    const assistant = { role: 'assistant', content: 'yes', [name]: 'let me think' };
    const messages = [user('a'), assistant as OpenAI.ChatCompletionMessageParam, user('b')];
    const { choices } = await client().chat.completions.create(await chatBody({ messages }));
    assert.equal(at(choices, 0).finish_reason, 'length', name);
  }
});

const weather: OpenAI.ChatCompletionTool = {
  type: 'function',
  function: {
    name: 'weather',
    description: 'of a city',
    parameters: {
      type: 'object',
      properties: { city: { enum: ['Hangzhou', 'Delft'] }, days: { type: 'integer', maximum: 9 } },
      required: ['city', 'days'],
      additionalProperties: false,
    },
    strict: true,
  },
};
const clock: OpenAI.ChatCompletionTool = {
  type: 'function',
  function: { name: 'clock', parameters: { type: 'object', properties: {} } },
};

const weatherArguments = z.strictObject({
  city: z.enum(['Hangzhou', 'Delft']),
  days: z.int().max(9),
});

/** Room for any arguments that a model without sense makes of the schema. */
const TOOL_TOKENS = 400;

test('openai: a tool that is named is called, with arguments of its schema, and answered', async () => {
  const tool_choice = { type: 'function', function: { name: 'weather' } } as const;
  const tools = [weather, clock];
  const body = await chatBody({ tools, tool_choice, max_tokens: TOOL_TOKENS });
  const single = { ...body, parallel_tool_calls: false };
  const { choices } = await client().chat.completions.create(single);
  const { message, finish_reason } = at(choices, 0);
  assert.equal(finish_reason, 'tool_calls');
  const call = at(message.tool_calls ?? [], 0);
  assert.ok(call.type === 'function' && call.id.length > 0);
  assert.equal(call.function.name, 'weather');
  weatherArguments.parse(JSON.parse(call.function.arguments));
  const messages: OpenAI.ChatCompletionMessageParam[] = [
    ...body.messages,
    message,
    { role: 'tool', tool_call_id: call.id, content: 'sunny' },
  ];
  const next = await client().chat.completions.create(await chatBody({ tools, messages }));
  assert.equal(at(next.choices, 0).finish_reason, 'length');
});

test('openai: a required call streams to the same call, by the client’s own accumulator', async () => {
  const body = await chatBody({
    tools: [weather],
    tool_choice: 'required',
    parallel_tool_calls: false,
    max_tokens: TOOL_TOKENS,
  });
  const whole = await client().chat.completions.create(body);
  const runner = client().chat.completions.stream({ ...body, stream: true });
  const streamed = (await runner.finalChatCompletion()).choices[0];
  assert.equal(streamed?.finish_reason, 'tool_calls');
  const named = (message: OpenAI.ChatCompletionMessage | undefined): unknown =>
    message?.tool_calls?.map((call) => call.type === 'function' && call.function.arguments);
  assert.deepEqual(named(streamed?.message), named(at(whole.choices, 0).message));
});

test('openai: a zod schema is answered with an object that it parses', async () => {
  const schema = z.object({ answer: z.enum(['yes', 'no']), count: z.int().min(0).max(99) });
  const body = await chatBody({ max_tokens: 200 });
  const format = { ...body, response_format: zodResponseFormat(schema, 'verdict') };
  const { choices } = await client().chat.completions.parse(format);
  const { parsed } = at(choices, 0).message;
  assert.ok(parsed !== null && schema.safeParse(parsed).success);
  assert.equal(at(choices, 0).finish_reason, 'stop');
});

test('openai: an aborted stream ends within a moment, and gives its blocks back', async () => {
  const before = await settledState(server.url);
  const abort = new AbortController();
  const body = await chatBody({ max_tokens: 3000, messages: [user('to be left alone')] });
  const options = { signal: abort.signal };
  const stream = await client().chat.completions.create({ ...body, stream: true }, options);
  let numChunks = 0;
  const reading = (async () => {
    for await (const _ of stream) {
      if (++numChunks === 3) abort.abort();
    }
  })();
  await reading.catch((error: unknown) => assert.ok(error instanceof APIUserAbortError));
  assert.ok(numChunks < 100, `${numChunks} chunks`);
  const state = await settledState(server.url);
  assert.deepEqual([state.running, state.waiting, state.open], [0, 0, 0]);
  assert.equal(state.usedBlocks, before.usedBlocks);
});

test('openai: a whole answer that nobody waits for is aborted too', async () => {
  const before = await settledState(server.url);
  const abort = new AbortController();
  const body = await chatBody({ max_tokens: 3000 });
  const answer = client().chat.completions.create(body, { signal: abort.signal });
  const runs = await stateWhen(server.url, ({ running }) => running > 0);
  assert.equal(runs.running, 1);
  abort.abort();
  await assert.rejects(answer, APIUserAbortError);
  assert.equal((await settledState(server.url)).usedBlocks, before.usedBlocks);
});

test('openai: mistakes are the client’s BadRequestError, with the field and what to do', async () => {
  const cases: readonly (readonly [Record<string, unknown>, string])[] = [
    [{ temperature: 3 }, 'temperature'],
    [{ max_tokens: 1_000_000 }, 'max_tokens'],
    [{ messages: [] }, 'messages'],
    [{ response_format: { type: 'json_schema', json_schema: { name: 'a', schema: 3 } } }, 'schema'],
    [{ tool_choice: 'required' }, 'tool_choice'],
    [{ temprature: 1 }, 'temprature'],
  ];
  for (const [more, word] of cases) {
    const body = await chatBody(more);
    await assert.rejects(client().chat.completions.create(body), (error) => {
      assert.ok(error instanceof BadRequestError, String(error));
      assert.match(`${error.param} ${error.message}`, new RegExp(word), error.message);
      assert.ok(error.message.length > 20);
      return true;
    });
  }
});

test('openai: a prompt longer than the context is refused with both numbers', async () => {
  const body = await chatBody({ messages: [user('long '.repeat(2000))] });
  await assert.rejects(client().chat.completions.create(body), (error) => {
    assert.ok(error instanceof BadRequestError);
    assert.match(error.message, /\d{4,}/);
    return true;
  });
});

test('openai: embeddings are refused in clear words', async () => {
  const ask = client().embeddings.create({ model: await anyModel(), input: 'a' });
  await assert.rejects(ask, (error) => {
    assert.ok(error instanceof NotFoundError || error instanceof BadRequestError, String(error));
    assert.match(error.message, /embedding/i);
    return true;
  });
});

test('openai: responses, whole and streamed, give the same text', async () => {
  const body = { model: await anyModel(), input: 'hello', max_output_tokens: 24, temperature: 0 };
  const whole = await client().responses.create(body);
  assert.ok(whole.output_text.length > 0);
  assert.equal(whole.usage?.output_tokens, 24);
  let text = '';
  let last = '';
  for await (const event of await client().responses.create({ ...body, stream: true })) {
    if (event.type === 'response.output_text.delta') text += event.delta;
    last = event.type;
  }
  assert.equal(text, whole.output_text);
  assert.match(last, /^response\.(completed|incomplete)$/);
});
