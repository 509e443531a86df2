/** A conversation from the first word to the reload of its page. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type ChatChunk,
  DEFAULT_SETTINGS,
  joinedText,
  type ReplyRequest,
  replyRequest,
  requestBody,
} from './chatRequest.ts';
import {
  type ChatAction,
  type Conversation,
  converse,
  keep,
  NEW_CONVERSATION,
  type Reply,
  recall,
  replying,
  turnsBefore,
} from './conversation.ts';
import { streamReply } from './streamReply.ts';

function after(...actions: readonly ChatAction[]): Conversation {
  return actions.reduce(converse, NEW_CONVERSATION);
}

function lastReply({ messages }: Conversation): Reply {
  const last = messages.at(-1);
  return last?.role === 'assistant' ? last : assert.fail('no reply');
}

function chunk(id: number, content: string, more: ChatChunk = {}): ChatAction {
  return { kind: 'chunk', id, chunk: { choices: [{ delta: { content } }], ...more } };
}

const end = (id: number, finish_reason = 'stop'): ChatAction => {
  return { kind: 'chunk', id, chunk: { choices: [{ delta: {}, finish_reason }] } };
};
const send = { kind: 'send', text: 'Hi' } as const;

test('A reply: thinking, words, tokens, cost and the reason of its end come together', () => {
  const tokens = [{ token: 'b', logprob: -1, bytes: [98], is_drafted: true }];
  const state = after(
    send,
    { kind: 'chunk', id: 2, chunk: { choices: [{ delta: { reasoning_content: 'hm' } }] } },
    chunk(2, 'a'),
    {
      kind: 'chunk',
      id: 2,
      chunk: { choices: [{ delta: { content: 'b' }, logprobs: { content: tokens } }] },
    },
    end(2, 'length'),
    { kind: 'chunk', id: 2, chunk: { choices: [], timings: { draft_n: 3 }, usage: {} } },
    { kind: 'finish', id: 2 },
  );
  const reply = lastReply(state);
  assert.deepEqual([reply.reasoning, reply.content], ['hm', 'ab']);
  assert.deepEqual(reply.tokens, tokens);
  assert.deepEqual(reply.state, { kind: 'done', reason: 'length' });
  assert.equal(reply.timings?.draft_n, 3);
  assert.equal(replying(state), null);
});

test('stop: what came stays, what still comes changes nothing', () => {
  const stopped = after(send, chunk(2, 'a'), { kind: 'stop' });
  assert.deepEqual(lastReply(stopped).state, { kind: 'stopped' });
  assert.equal(converse(stopped, chunk(2, 'late')), stopped);
  assert.equal(converse(stopped, { kind: 'finish', id: 2 }), stopped);
  assert.equal(converse(stopped, { kind: 'stop' }), stopped);
});

test('A stream without an end is cut; an error in it and a failure are messages', () => {
  assert.deepEqual(lastReply(after(send, { kind: 'finish', id: 2 })).state, { kind: 'cut' });
  const error = { message: 'full', hint: 'Wait.' };
  const failed = after(send, { kind: 'chunk', id: 2, chunk: { error } });
  assert.deepEqual(lastReply(failed).state, { kind: 'failed', message: 'full. Wait.' });
  const lost = after(send, chunk(2, 'x'), { kind: 'fail', id: 2, message: 'gone' });
  assert.equal(lastReply(lost).content, 'x');
});

test('regenerate and edit: what came behind is forgotten, and is asked for anew', () => {
  const first = after(send, chunk(2, 'a'), end(2), { kind: 'finish', id: 2 });
  const again = converse(first, { kind: 'regenerate' });
  assert.deepEqual(
    again.messages.map(({ id }) => id),
    [1, 4],
  );
  assert.deepEqual(turnsBefore(again, 4), [{ role: 'user', content: 'Hi' }]);
  const second = converse(first, { kind: 'send', text: 'More' });
  const reply = lastReply(second);
  assert.deepEqual(
    turnsBefore(second, reply.id).map(({ content }) => content),
    ['Hi', 'a', 'More'],
  );
  const done = [end(reply.id), { kind: 'finish', id: reply.id } as const].reduce(converse, second);
  const edited = converse(done, { kind: 'edit', id: 1, text: 'Ho' });
  assert.deepEqual(
    edited.messages.map(({ content }) => content),
    ['Ho', ''],
  );
  assert.ok(replying(edited) !== null);
  assert.equal(converse(edited, { kind: 'regenerate' }), edited, 'a reply is on its way');
  assert.equal(converse(done, { kind: 'edit', id: reply.id, text: 'x' }), done, 'no user’s');
});

test('clear: a reply that was cleared away comes to nothing', () => {
  const cleared = after(send, { kind: 'clear' });
  assert.deepEqual(converse(cleared, chunk(2, 'x')).messages, []);
  assert.equal(lastReply(converse(cleared, send)).id, 4);
});

test('Any actions: users and replies take turns, and only the last reply may be on its way', () => {
  const id = fc.nat(12);
  const action = fc.oneof<fc.Arbitrary<ChatAction>[]>(
    fc.record({ kind: fc.constant('send' as const), text: fc.constantFrom('a', ' ') }),
    fc.record({ kind: fc.constant('edit' as const), id, text: fc.constantFrom('b', '') }),
    id.map((each) => chunk(each, 'x')),
    id.map((each) => end(each)),
    fc.record({ kind: fc.constant('finish' as const), id }),
    fc.record({ kind: fc.constant('fail' as const), id, message: fc.constant('no') }),
    fc.constantFrom<ChatAction>({ kind: 'stop' }, { kind: 'regenerate' }, { kind: 'clear' }),
  );
  fc.assert(
    fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
      const { messages } = after(...actions);
      for (const [i, message] of messages.entries()) {
        assert.equal(message.role, i % 2 === 0 ? 'user' : 'assistant');
        const isOpen = message.role === 'assistant' && message.state.kind === 'streaming';
        assert.ok(!isOpen || i === messages.length - 1);
      }
      assert.equal(messages.length % 2, 0);
      assert.equal(new Set(messages.map((message) => message.id)).size, messages.length);
    }),
  );
});

test('keep and recall: history and settings are there again; a broken reply has stopped', () => {
  let kept: string | undefined;
  const store = {
    read: () => kept,
    write: (text: string) => {
      kept = text;
    },
  };
  assert.deepEqual(recall(store), NEW_CONVERSATION);
  const set = { kind: 'set', settings: { temperature: 0 } } as const;
  const state = after(set, send, chunk(2, 'a'));
  keep(store, state);
  const back = recall(store);
  assert.deepEqual(lastReply(back), { ...lastReply(state), state: { kind: 'stopped' } });
  assert.equal(back.settings.temperature, 0);
  assert.equal(back.nextId, state.nextId);
  for (const text of ['{', '[]', '{"version":0}', 'null', '{"version":1}']) {
    kept = text;
    assert.deepEqual(recall(store), NEW_CONVERSATION);
  }
});

test('requestBody: what is left alone is not sent', () => {
  const turns = [{ role: 'user', content: 'Hi' }] as const;
  const body = requestBody(turns, { ...DEFAULT_SETTINGS, details: 'off' }) as Record<
    string,
    unknown
  >;
  for (const key of ['seed', 'num_drafts', 'thinking', 'logprobs']) assert.ok(!(key in body), key);
  const settings = { ...DEFAULT_SETTINGS, system: 'Be brief.', seed: 0, drafts: 'off' } as const;
  const whole = requestBody(turns, { ...settings, thinking: 'on' }) as Record<string, unknown>;
  assert.deepEqual(whole.messages, [{ role: 'system', content: 'Be brief.' }, ...turns]);
  assert.deepEqual([whole.seed, whole.num_drafts, whole.return_drafted], [0, 0, true]);
  assert.deepEqual(whole.thinking, { type: 'enabled' });
});

test('A text of all turns: the model goes on with it, and what we add begins a line', () => {
  const turns = [
    { role: 'user', content: 'Call me' },
    { role: 'assistant', content: ' Ishmael.' },
    { role: 'user', content: 'Some years ago' },
  ] as const;
  assert.equal(joinedText(turns), 'Call me Ishmael.\nSome years ago');
  const { path, body } = replyRequest(turns, DEFAULT_SETTINGS, 'text');
  assert.equal(path, '/v1/completions');
  const sent = body as Readonly<Record<string, unknown>>;
  assert.deepEqual([sent.prompt, sent.logprobs, sent.return_drafted], [joinedText(turns), 5, true]);
  assert.ok(!('messages' in sent) && !('thinking' in sent));
});

async function streamed(
  answer: (signal: AbortSignal) => Response | Promise<Response>,
  request: ReplyRequest = { path: '/v1/chat/completions', body: {} },
) {
  let state = after(send);
  const aborting = new AbortController();
  await streamReply({
    ...{ id: 2, request, signal: aborting.signal },
    fetch: async () => answer(aborting.signal),
    dispatch: (action) => {
      state = converse(state, action);
      if (lastReply(state).content === 'stop me') {
        state = converse(state, { kind: 'stop' });
        aborting.abort();
      }
    },
  });
  return lastReply(state);
}

function sse(...chunks: readonly (ChatChunk | '[DONE]')[]): Response {
  const text = chunks.map((each) => {
    return `data: ${typeof each === 'string' ? each : JSON.stringify(each)}\n\n`;
  });
  return new Response(text.join(''));
}

test('streamReply: a whole stream, a refusal, a lost connection, and a stop', async () => {
  const said = { choices: [{ delta: { content: 'é!' }, finish_reason: 'stop' }] };
  const whole = await streamed(() => sse(said, '[DONE]'));
  assert.deepEqual([whole.content, whole.state.kind], ['é!', 'done']);
  const error = { message: 'no model', hint: 'Choose one.' };
  const refused = await streamed(() => Response.json({ error }, { status: 503 }));
  assert.deepEqual(refused.state, { kind: 'failed', message: 'no model. Choose one.' });
  const bare = await streamed(() => new Response('<html>', { status: 502 }));
  assert.deepEqual(bare.state, { kind: 'failed', message: 'HTTP 502' });
  const lost = await streamed(() => Promise.reject(new TypeError('network')));
  assert.deepEqual(lost.state, { kind: 'failed', message: 'network' });
  const stopped = await streamed((signal) => {
    signal.addEventListener('abort', () => {});
    return sse({ choices: [{ delta: { content: 'stop me' } }] }, said, '[DONE]');
  });
  assert.deepEqual([stopped.content, stopped.state.kind], ['stop me', 'stopped']);
});

test('streamReply: log probabilities of a text come out as those of a chat', async () => {
  const logprobs = {
    tokens: ['a', '\uFFFD', '\uFFFD'],
    token_logprobs: [-1, -2, -3],
    top_logprobs: [{ a: -1, b: -2 }, {}, {}],
    is_drafted: [false, true, false],
  };
  const chunks = [
    { choices: [{ text: 'aé', logprobs, finish_reason: null }] },
    { choices: [{ text: '', logprobs: null, finish_reason: 'length' }] },
    { choices: [], usage: {}, timings: { draft_n: 1 } },
  ] as unknown as readonly ChatChunk[];
  const { content, tokens, state, timings } = await streamed(() => sse(...chunks, '[DONE]'), {
    path: '/v1/completions',
    body: {},
  });
  assert.deepEqual(
    [content, state, timings],
    ['aé', { kind: 'done', reason: 'length' }, { draft_n: 1 }],
  );
  assert.deepEqual(
    tokens.map((token) => token.is_drafted),
    [false, true, false],
  );
  assert.deepEqual(tokens[0]?.top_logprobs, [
    { token: 'a', logprob: -1 },
    { token: 'b', logprob: -2 },
  ]);
  const bytes = tokens.flatMap((token) => token.bytes ?? []);
  assert.deepEqual(bytes, [...new TextEncoder().encode('aé')]);
});
