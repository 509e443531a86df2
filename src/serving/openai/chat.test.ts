/** Chats from the body to the engine and back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  contentOf,
  contextOf,
  play,
  THINKING_TEMPLATE,
} from '../../../tests/support/protocolCalls.ts';
import { byteTokenizer } from '../../tokenizer/byteTokenizer.ts';
import { CALL_BEGIN, CALL_END, CALL_SEPARATOR, CALLS_BEGIN, CALLS_END } from './markers.ts';
import { prepare } from './prepare.ts';
import { ProtocolError } from './protocolError.ts';

const context = contextOf();
const user = { role: 'user', content: 'Hi' };

function chat(body: object, of = context) {
  return prepare('chat', { messages: [user], ...body }, of, {});
}

function refusal(body: object, of = context): ProtocolError {
  try {
    chat(body, of);
  } catch (error) {
    assert.ok(error instanceof ProtocolError);
    return error;
  }
  assert.fail(`not refused: ${JSON.stringify(body)}`);
}

test('chat: one BOS, V3’s turns, defaults of the model, and what the context still holds', () => {
  const { requests, promptTokens, maxTotalTokens } = chat({});
  const [request] = requests;
  assert.ok(request !== undefined);
  assert.equal(
    context.tokenizer.decode(request.promptIds),
    '<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜>',
  );
  assert.equal(request.promptIds.filter((id) => id === context.tokenizer.bosTokenId).length, 1);
  assert.equal(request.maxTokens, context.info.maxContext - promptTokens);
  assert.equal(maxTotalTokens, context.info.maxContext);
  assert.equal(request.sampling.temperature, context.defaults.temperature);
  assert.equal(request.showsSpecial, true);
});

test('chat: every sampling field reaches the engine', () => {
  const { requests } = chat({
    temperature: 0.5,
    top_p: 0.9,
    top_k: 7,
    min_p: 0.1,
    presence_penalty: 1,
    frequency_penalty: -1,
    repetition_penalty: 1.5,
    logit_bias: { 3: -100 },
    seed: 11,
    stop: 'END',
    stop_token_ids: [5],
    max_completion_tokens: 9,
    min_tokens: 2,
    ignore_eos: true,
    logprobs: true,
    top_logprobs: 3,
    num_drafts: 1,
    priority: -2,
    cache_salt: 'a',
  });
  const { requestId: _, promptIds: __, ...rest } = requests[0] ?? assert.fail();
  assert.deepEqual(rest, {
    maxTokens: 9,
    minTokens: 2,
    sampling: { temperature: 0.5, topP: 0.9, topK: 7, minP: 0.1, seed: 11 },
    penalties: { presence: 1, frequency: -1, repetition: 1.5 },
    logitBias: [{ id: 3, bias: -100 }],
    stop: ['END'],
    stopIds: [5],
    ignoresEnd: true,
    logProbabilities: { of: 'model', numTop: 3 },
    numDrafts: 1,
    priority: -2,
    cacheSalt: 'a',
    showsSpecial: true,
  });
});

test('chat: choices have ids and seeds of their own, the first one the seed asked for', () => {
  const { requests } = chat({ n: 3, seed: 5 });
  assert.equal(new Set(requests.map((each) => each.requestId)).size, 3);
  assert.equal(new Set(requests.map((each) => each.sampling.seed)).size, 3);
  assert.equal(requests[0]?.sampling.seed, 5);
});

test('chat: seeds of 64 bits, negative or as digits, are all taken and differ', () => {
  const seeds = [0, -1, 2 ** 40, 2 ** 40 + 1, '9223372036854775807', '9223372036854775806'];
  const taken = seeds.map((seed) => chat({ seed }).requests[0]?.sampling.seed);
  assert.equal(new Set(taken).size, seeds.length);
  for (const seed of taken) assert.ok(Number.isInteger(seed) && (seed ?? -1) >= 0);
});

test('chat: what is wrong is refused by its name, with the nearest known one', () => {
  const cases: [body: object, param: string, message: RegExp][] = [
    [{ temprature: 1 }, 'temprature', /did you mean temperature/],
    [{ temperature: 'hot' }, 'temperature', /temperature/],
    [{ temperature: 3 }, 'temperature', /temperature/],
    [{ messages: [] }, 'messages', /messages/],
    [{ messages: [{ role: 'user' }] }, 'messages[0].content', /content/],
    [{ messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }, '', /text only/],
    [{ max_tokens: 3, max_completion_tokens: 4 }, 'max_tokens', /disagree/],
    [{ top_logprobs: 3 }, 'top_logprobs', /logprobs/],
    [{ return_drafted: true }, 'return_drafted', /logprobs/],
    [{ logprobs: true, top_logprobs: 21 }, 'top_logprobs', /20/],
    [{ best_of: 2 }, 'best_of', /best_of/],
    [{ n: 1000 }, 'n', /at most/],
    [{ functions: [] }, 'functions', /tools/],
    [{ tool_choice: 'required' }, 'tool_choice', /no tools/],
    [{ logit_bias: { cat: 1 } }, 'logit_bias.cat', /ids/],
    [{ logit_bias: { 999999: 1 } }, 'logit_bias.999999', /ids/],
    [{ stream_options: { include_usage: true } }, 'stream_options', /stream/],
    [{ guided_regex: 'a', guided_choice: ['a'] }, 'guided_choice', /both/],
    [{ thinking: { type: 'enabled' } }, 'thinking', /does not think/],
    [{ num_drafts: 1 }, 'num_drafts', /MTP/],
    [{ seed: 1.5 }, 'seed', /whole/],
    [{ stop: 3 }, 'stop', /expected string or array/],
    [{ min_tokens: 9, max_tokens: 8 }, 'min_tokens', /no more/],
  ];
  const info = { ...context.info, numMtpModules: 0 };
  const plain = contextOf({ info, tokenizer: byteTokenizer() });
  for (const [body, param, message] of cases) {
    const error = refusal(body, plain);
    assert.equal(error.status, 400);
    assert.match(`${error.message} ${error.hint}`, message, JSON.stringify(body));
    if (param !== '') assert.equal(error.param, param);
  }
  assert.equal(refusal({ model: 'gpt' }).status, 404);
  assert.equal(refusal({ model: 'gpt' }).apiCode, 'model_not_found');
  assert.throws(() => prepare('chat', 'hello', context, {}), { status: 400 });
});

test('chat: a prompt or a wish beyond the context is refused with the numbers, never cut', () => {
  const long = refusal({ messages: [{ role: 'user', content: 'x'.repeat(5000) }] });
  assert.equal(long.apiCode, 'context_length_exceeded');
  assert.equal(long.values.n_ctx, context.info.maxContext);
  assert.equal(long.values.n_prompt_tokens, 5003);
  const wish = refusal({ max_tokens: 1022 });
  assert.equal(wish.param, 'max_tokens');
  assert.equal(wish.apiCode, 'context_length_exceeded');
});

test('chat: a template that opens the thinking starts there, and can be closed', () => {
  const thinker = contextOf({ chatTemplate: THINKING_TEMPLATE });
  const { tokenizer } = thinker;
  const call = chat({ thinking: { type: 'enabled', budget_tokens: 7 } }, thinker);
  const endId = tokenizer.tokenToId('</think>');
  assert.equal(call.requests[0]?.thinking?.endId, endId);
  assert.equal(call.requests[0]?.thinking?.budget, 7);
  assert.ok(call.requests[0]?.thinking?.closeIds.includes(endId ?? -1));
  const message = contentOf(play(call, 'Because.\n</think>\n\nYes.', thinker));
  assert.equal(message.reasoning_content, 'Because.');
  assert.equal(message.reasoning, 'Because.');
  assert.equal(message.content, 'Yes.');
  const closed = chat({ reasoning_effort: 'none' }, thinker);
  const prompt = tokenizer.decode(closed.requests[0]?.promptIds ?? []);
  assert.match(prompt, /<think>\n\n<\/think>\n\n$/);
  assert.equal(contentOf(play(closed, 'Yes.', thinker)).content, 'Yes.');
});

test('chat: a model that can think is made to where it is asked, and else may', () => {
  const { requests } = chat({ thinking: { type: 'enabled' } });
  assert.match(context.tokenizer.decode(requests[0]?.promptIds ?? []), /<think>\n$/);
  const free = contentOf(play(chat({}), '<think>\na\n</think>\n\nb', context));
  assert.deepEqual([free.reasoning_content, free.content], ['a', 'b']);
});

test('chat: a grammar begins behind the thinking', () => {
  const thinker = contextOf({ chatTemplate: THINKING_TEMPLATE });
  const format = { response_format: { type: 'json_object' } };
  const endId = context.tokenizer.tokenToId('</think>');
  assert.deepEqual(chat(format, thinker).requests[0]?.grammar, {
    spec: { kind: 'jsonObject' },
    afterId: endId,
  });
  assert.equal(chat(format).requests[0]?.grammar?.afterId, null);
});

test('chat: all names of structured output come to one grammar', () => {
  const schema = { type: 'object' };
  const json = { kind: 'jsonSchema', schema };
  const cases: [object, object][] = [
    [{ response_format: { type: 'json_schema', json_schema: { name: 'a', schema } } }, json],
    [{ response_format: { type: 'json_object', schema } }, json],
    [{ guided_json: schema }, json],
    [{ guided_json: JSON.stringify(schema) }, json],
    [{ json_schema: schema }, json],
    [{ structured_outputs: { json: schema } }, json],
    [{ structured_outputs: { json_object: true } }, { kind: 'jsonObject' }],
    [{ guided_regex: 'a+' }, { kind: 'regex', pattern: 'a+' }],
    [{ guided_choice: ['a', 'b'] }, { kind: 'choice', choices: ['a', 'b'] }],
    [{ grammar: 'root ::= "a"' }, { kind: 'ebnf', text: 'root ::= "a"' }],
  ];
  for (const [body, spec] of cases) assert.deepEqual(chat(body).requests[0]?.grammar?.spec, spec);
});

test('chat: prefix completion goes on with the last message', () => {
  const messages = [user, { role: 'assistant', content: 'Once', prefix: true }];
  const prompt = context.tokenizer.decode(chat({ messages }).requests[0]?.promptIds ?? []);
  assert.match(prompt, /<｜Assistant｜>Once$/);
  const thought = { role: 'assistant', content: '', reasoning_content: 'Hm', prefix: true };
  const call = chat({ messages: [user, thought] });
  assert.match(context.tokenizer.decode(call.requests[0]?.promptIds ?? []), /<think>\nHm$/);
  const message = contentOf(play(call, ' so</think>\nYes', context));
  assert.deepEqual([message.reasoning_content, message.content], [' so', 'Yes']);
});

const tool = {
  type: 'function',
  function: { name: 'add', description: 'Adds.', parameters: { type: 'object' } },
};
const called =
  `${CALLS_BEGIN}${CALL_BEGIN}function${CALL_SEPARATOR}add\n\`\`\`json\n{"a":1}\n\`\`\`` +
  `${CALL_END}${CALLS_END}`;

test('chat: tools reach the prompt, in the template or as system text; with none they do not', () => {
  const silent = contextOf({
    chatTemplate:
      "{{ bos_token }}{% for m in messages %}{{ m['role'] + ': ' + m['content'] }}{% endfor %}",
  });
  for (const each of [context, silent]) {
    const prompt = (body: object): string =>
      each.tokenizer.decode(chat(body, each).requests[0]?.promptIds ?? []);
    assert.match(prompt({ tools: [tool] }), /### add\nDescription: Adds\./);
    assert.doesNotMatch(prompt({ tools: [tool], tool_choice: 'none' }), /add/);
  }
});

test('chat: calls come back with unguessable ids, and markers do not come back at all', () => {
  const body = play(chat({ tools: [tool] }), `Wait.${called}`, context);
  const message = contentOf(body);
  assert.equal(message.content, 'Wait.');
  assert.equal(message.tool_calls?.length, 1);
  assert.match(message.tool_calls?.[0]?.id ?? '', /^call_/);
  assert.equal(message.tool_calls?.[0]?.function.arguments, '{"a":1}');
  assert.equal(body.choices[0]?.finish_reason, 'tool_calls');
  const none = contentOf(play(chat({ tools: [tool], tool_choice: 'none' }), called, context));
  assert.equal(none.tool_calls, undefined);
  assert.doesNotMatch(none.content ?? '', /｜/);
});

test('chat: required and named calls follow a grammar, free strict ones behind their marker', () => {
  const other = { type: 'function', function: { name: 'now', strict: true } };
  const tools = [tool, other];
  const grammar = (body: object) => chat({ tools, ...body }).requests[0]?.grammar;
  const required = grammar({ tool_choice: 'required' });
  assert.equal(required?.afterId, null);
  assert.match(JSON.stringify(required?.spec), /add.*now/);
  const named = grammar({ tool_choice: { type: 'function', function: { name: 'now' } } });
  assert.doesNotMatch(JSON.stringify(named?.spec), /add/);
  const free = grammar({});
  assert.equal(free?.afterId, context.tokenizer.tokenToId(CALLS_BEGIN));
  assert.equal(grammar({ tools: [tool] }), undefined);
  const single = chat({ tools: [tool], parallel_tool_calls: false }).requests[0];
  assert.deepEqual(single?.stopIds, [context.tokenizer.tokenToId(CALL_END)]);
});

test('chat: history with calls, outputs and both names of reasoning is taken back', () => {
  const history = (reasoning: object, content: string | null): string => {
    const call = { id: 'call_1', type: 'function', function: { name: 'add', arguments: '{}' } };
    const assistant = { role: 'assistant', content, tool_calls: [call], ...reasoning };
    const messages = [user, assistant, { role: 'tool', tool_call_id: 'call_1', content: '2' }];
    return context.tokenizer.decode(chat({ messages }).requests[0]?.promptIds ?? []);
  };
  const text = history({ reasoning_content: 'secret' }, '');
  assert.equal(text, history({ reasoning: 'secret' }, null));
  assert.match(text, /add\n```json\n\{\}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>/);
  assert.match(text, /<｜tool▁output▁begin｜>2<｜tool▁output▁end｜><｜tool▁outputs▁end｜>$/);
  assert.doesNotMatch(text, /secret/);
});

test('chat: chunks add up to the body, in OpenAI’s order', () => {
  const outputs = fc.constantFrom('Hello', `a < b${called}`, '<think>é€</think>\n\nx 😀 y', '');
  fc.assert(
    fc.property(outputs, fc.integer({ min: 1, max: 6 }), fc.boolean(), (output, size, logprobs) => {
      const body = { tools: [tool], seed: 1, logprobs, n: 2 };
      const whole = play(chat(body), output, context);
      const streamed = chat({ ...body, stream: true, stream_options: { include_usage: true } });
      const chunks = streamed.renderer.begin().map((chunk) => chunk.data as Chunk);
      play(streamed, output, context, {
        size,
        onChunks: (more) => chunks.push(...more.map((chunk) => chunk.data as Chunk)),
      });
      assert.equal(chunks[0]?.choices[0]?.delta.role, 'assistant');
      const last = chunks.at(-1);
      assert.deepEqual(last?.choices, []);
      assert.deepEqual(last?.usage, whole.usage);
      for (const [i, choice] of whole.choices.entries()) {
        const parts = chunks.flatMap((chunk) => chunk.choices).filter((each) => each.index === i);
        const sum = addUp(parts);
        assert.equal(sum.content, choice.message.content ?? '');
        assert.equal(sum.reasoning, choice.message.reasoning_content ?? '');
        assert.deepEqual(
          sum.calls,
          (choice.message.tool_calls ?? []).map((call) => call.function.arguments),
        );
        assert.deepEqual(sum.logprobs, choice.logprobs?.content ?? []);
        assert.equal(parts.at(-1)?.finish_reason, choice.finish_reason);
        assert.equal(parts.filter((part) => part.finish_reason !== null).length, 1);
      }
    }),
  );
});

interface Chunk {
  readonly usage?: unknown;
  readonly choices: readonly Part[];
}

interface Part {
  readonly index: number;
  readonly finish_reason: string | null;
  readonly logprobs: { readonly content: readonly unknown[] } | null;
  readonly delta: {
    readonly role?: string;
    readonly content?: string;
    readonly reasoning_content?: string;
    readonly tool_calls?: readonly { index: number; function: { arguments: string } }[];
  };
}

function addUp(parts: readonly Part[]) {
  const sum = { content: '', reasoning: '', calls: [] as string[], logprobs: [] as unknown[] };
  for (const { delta, logprobs } of parts) {
    sum.content += delta.content ?? '';
    sum.reasoning += delta.reasoning_content ?? '';
    sum.logprobs.push(...(logprobs?.content ?? []));
    for (const call of delta.tool_calls ?? []) {
      sum.calls[call.index] = (sum.calls[call.index] ?? '') + call.function.arguments;
    }
  }
  return sum;
}

test('chat: log probabilities are of exactly the tokens shown, half characters as bytes', () => {
  const body = play(chat({ logprobs: true, top_logprobs: 2 }), '<think>no</think>\n\né', context);
  const content = body.choices[0]?.logprobs?.content ?? [];
  assert.deepEqual(
    content.flatMap((each) => each.bytes),
    [...new TextEncoder().encode('é')],
  );
  assert.equal(content[0]?.top_logprobs.length, 2);
  assert.equal(body.choices[0]?.logprobs?.reasoning_content?.length, 2);
});

test('chat: tokens say whether they were drafts that stood, where this is asked for', () => {
  const drafted = (body: object) =>
    play(chat({ logprobs: true, ...body }), 'abc', context).choices[0]?.logprobs?.content.map(
      (token) => token.is_drafted,
    );
  assert.deepEqual(drafted({ return_drafted: true }), [false, true, false]);
  assert.deepEqual(drafted({}), [undefined, undefined, undefined]);
});

test('chat: usage tells of caches, thinking and drafts under every name', () => {
  const { usage, timings } = play(chat({}), '<think>no</think>\n\nx', context);
  assert.equal(usage.prompt_tokens, 5);
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
  assert.equal(usage.prompt_tokens_details.cached_tokens, 2);
  assert.equal(usage.prompt_cache_hit_tokens, 2);
  assert.equal(usage.prompt_cache_miss_tokens, 3);
  assert.equal(usage.completion_tokens_details.reasoning_tokens, 4);
  assert.equal(usage.completion_tokens_details.accepted_prediction_tokens, 2);
  assert.equal(usage.completion_tokens_details.rejected_prediction_tokens, 1);
  assert.deepEqual(usage.draft_positions, [{ drafted: 3, accepted: 2 }]);
  assert.equal(timings.draft_n_accepted, 2);
});

test('every endpoint: an engine’s failure ends the call with its own error, said once', () => {
  const error = { code: 'engine.crashed', message: 'the kernel thread ended' };
  const end = { reason: 'error', stop: null, error, usage: ZERO } as const;
  const bodies = {
    chat: { messages: [user], n: 2 },
    completions: { prompt: 'Hi', n: 2 },
    responses: { input: 'Hi' },
    messages: { messages: [user], max_tokens: 9 },
  } as const;
  for (const endpoint of ['chat', 'completions', 'responses', 'messages'] as const) {
    const call = prepare(endpoint, { ...bodies[endpoint], stream: true }, context, {});
    const chunks = call.requests.flatMap(({ requestId }) =>
      call.renderer.onEvent({ requestId, text: '', tokens: [], end }),
    );
    assert.equal(call.renderer.isDone, true);
    assert.equal(call.renderer.failure?.status, 503);
    assert.equal(chunks.length, 1, endpoint);
    assert.match(JSON.stringify(chunks), /the kernel thread ended/);
  }
});

const ZERO = {
  promptTokens: 0,
  cachedTokens: 0,
  completionTokens: 0,
  drafted: 0,
  accepted: 0,
  draftedPerPosition: [],
  acceptedPerPosition: [],
  preemptions: 0,
  queueSeconds: 0,
  prefillSeconds: 0,
  decodeSeconds: 0,
};
