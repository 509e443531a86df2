/** Anthropic's form: blocks in, blocks out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { contextOf, play } from '../../../tests/support/protocolCalls.ts';
import { prepare } from './prepare.ts';
import { countTokens } from './queries.ts';

const context = contextOf();
const tools = [{ name: 'add', input_schema: { type: 'object' } }];
const CALL =
  '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{"a":1}\n```' +
  '<｜tool▁call▁end｜><｜tool▁calls▁end｜>';
const user = { role: 'user', content: 'Hi' };

function message(body: object) {
  return prepare('messages', { messages: [user], max_tokens: 50, ...body }, context, {});
}

interface Block {
  readonly type: string;
  readonly text?: string;
  readonly thinking?: string;
  readonly input?: unknown;
}

interface Message {
  readonly content: readonly Block[];
  readonly stop_reason: string;
  readonly stop_sequence: string | null;
  readonly usage: Readonly<Record<string, number>>;
}

interface Event {
  readonly type: string;
  readonly index?: number;
  readonly delta?: Readonly<Record<string, string>>;
}

test('messages: system, outputs of tools and thinking become V3’s turns', () => {
  const messages = [
    user,
    {
      role: 'assistant',
      content: [
        { type: 'thinking', thinking: 'hm', signature: '' },
        { type: 'text', text: 'Wait.' },
        { type: 'tool_use', id: 'toolu_1', name: 'add', input: { a: 1 } },
      ],
    },
    { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: '2' }] },
  ];
  const call = message({ messages, system: 'Be brief.', stop_sequences: ['END'] });
  const [request] = call.requests;
  const prompt = context.tokenizer.decode(request?.promptIds ?? []);
  assert.match(prompt, /Be brief\.<｜User｜>Hi<｜Assistant｜>Wait\.<｜tool▁calls▁begin｜>/);
  assert.match(prompt, /<｜tool▁output▁begin｜>2<｜tool▁output▁end｜>/);
  assert.deepEqual(request?.stop, ['END']);
  assert.deepEqual(countTokens({ messages, system: 'Be brief.' }, context), {
    input_tokens: request?.promptIds.length,
  });
});

test('messages: a last message of the assistant begins the answer', () => {
  const messages = [user, { role: 'assistant', content: 'Once' }];
  const [request] = message({ messages }).requests;
  assert.match(context.tokenizer.decode(request?.promptIds ?? []), /<｜Assistant｜>Once$/);
});

test('messages: the stream adds up to the message, in Anthropic’s order', () => {
  const outputs = fc.constantFrom('Hello', `a < b${CALL}`, '<think>é€</think>\n\nx 😀', '');
  fc.assert(
    fc.property(outputs, fc.integer({ min: 1, max: 6 }), (output, size) => {
      const whole = play(message({ tools }), output, context) as never as Message;
      const call = message({ tools, stream: true });
      const events = call.renderer.begin().map((chunk) => chunk.data as Event);
      play(call, output, context, {
        size,
        onChunks: (more) => events.push(...more.map((chunk) => chunk.data as Event)),
      });
      assert.equal(events[0]?.type, 'message_start');
      assert.deepEqual(
        events.slice(-2).map((event) => event.type),
        ['message_delta', 'message_stop'],
      );
      const sums = whole.content.map((_, i) =>
        events
          .filter((event) => event.type === 'content_block_delta' && event.index === i)
          .map(({ delta }) => delta?.text ?? delta?.thinking ?? delta?.partial_json ?? '')
          .join(''),
      );
      assert.deepEqual(
        sums,
        whole.content.map((block) => block.text ?? block.thinking ?? JSON.stringify(block.input)),
      );
    }),
  );
});

test('messages: why it stopped, and what the cache had', () => {
  const stopped = (end: object, output = 'a') =>
    play(message({ tools }), output, context, { end }) as never as Message;
  assert.equal(stopped({}).stop_reason, 'end_turn');
  assert.equal(stopped({ reason: 'length' }).stop_reason, 'max_tokens');
  assert.equal(stopped({ stop: 'END' }).stop_sequence, 'END');
  assert.equal(stopped({}, CALL).stop_reason, 'tool_use');
  assert.equal(stopped({}).usage.cache_read_input_tokens, 2);
});

test('messages: tool choices and refusals', () => {
  const grammar = message({ tools, tool_choice: { type: 'any' } }).requests[0]?.grammar;
  assert.equal(grammar?.spec.kind, 'ebnf');
  for (const [body, param] of [
    [{ max_tokens: null }, 'max_tokens'],
    [{ mcp_servers: [] }, 'mcp_servers'],
    [{ messages: [{ role: 'user', content: [{ type: 'image' }] }] }, 'messages[0].content[0].type'],
    [{ tool_choice: { type: 'tool', name: 'sub' }, tools }, 'tool_choice'],
  ] as const) {
    assert.throws(() => message(body), { status: 400, param }, JSON.stringify(body));
  }
});
