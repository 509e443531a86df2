/** Responses without a memory: items in, items out, events in their order. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { contextOf, play } from '../../../tests/support/protocolCalls.ts';
import { prepare } from './prepare.ts';

const context = contextOf();
const tools = [{ type: 'function', name: 'add', parameters: { type: 'object' } }];
const CALL =
  '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>add\n```json\n{"a":1}\n```' +
  '<｜tool▁call▁end｜><｜tool▁calls▁end｜>';

function respond(body: object) {
  return prepare('responses', { input: 'Hi', ...body }, context, {});
}

interface Item {
  readonly id: string;
  readonly type: string;
  readonly arguments?: string;
  readonly content?: readonly { readonly text: string }[];
}

interface Response {
  readonly status: string;
  readonly output: readonly Item[];
  readonly usage: { readonly input_tokens: number };
  readonly incomplete_details: unknown;
}

interface Event {
  readonly type: string;
  readonly sequence_number: number;
  readonly delta?: string;
  readonly output_index?: number;
  readonly response?: Response;
  readonly item?: Item;
}

function promptOf(body: object): string {
  return context.tokenizer.decode(respond(body).requests[0]?.promptIds ?? []);
}

test('responses: instructions, text and items become V3’s turns', () => {
  assert.equal(
    promptOf({ instructions: 'Be brief.' }),
    '<｜begin▁of▁sentence｜>Be brief.<｜User｜>Hi<｜Assistant｜>',
  );
  const input = [
    { role: 'user', content: [{ type: 'input_text', text: 'Hi' }] },
    {
      type: 'reasoning',
      id: 'rs_1',
      summary: [],
      content: [{ type: 'reasoning_text', text: 'x' }],
    },
    {
      type: 'message',
      role: 'assistant',
      id: 'msg_1',
      content: [{ type: 'output_text', text: 'y' }],
    },
    { type: 'function_call', call_id: 'call_1', name: 'add', arguments: '{}' },
    { type: 'function_call_output', call_id: 'call_1', output: '2' },
  ];
  const prompt = promptOf({ input });
  assert.match(prompt, /<｜Assistant｜>y<｜tool▁calls▁begin｜>/);
  assert.match(prompt, /<｜tool▁output▁begin｜>2<｜tool▁output▁end｜>/);
});

test('responses: events come in the standard order, numbered, and end in the whole response', () => {
  const call = respond({ tools, stream: true });
  const events = call.renderer.begin().map((chunk) => chunk.data as Event);
  play(call, `<think>a</think>\n\nb${CALL}`, context, {
    onChunks: (more) => events.push(...more.map((chunk) => chunk.data as Event)),
  });
  assert.deepEqual(
    events.map((event) => event.type.replace('response.', '')),
    [
      'created',
      'in_progress',
      'output_item.added',
      'content_part.added',
      'reasoning_text.delta',
      'reasoning_text.done',
      'content_part.done',
      'output_item.done',
      'output_item.added',
      'content_part.added',
      'output_text.delta',
      'output_text.done',
      'content_part.done',
      'output_item.done',
      'output_item.added',
      'function_call_arguments.delta',
      'function_call_arguments.done',
      'output_item.done',
      'completed',
    ],
  );
  assert.deepEqual(
    events.map((event) => event.sequence_number),
    events.map((_, i) => i),
  );
  assert.deepEqual(
    events.at(-1)?.response?.output.map((item) => item.type),
    ['reasoning', 'message', 'function_call'],
  );
});

test('responses: streamed items equal unstreamed ones, however the text was cut', () => {
  const outputs = fc.constantFrom('Hello', `a < b${CALL}`, '<think>é€</think>\n\nx 😀', '');
  fc.assert(
    fc.property(outputs, fc.integer({ min: 1, max: 6 }), (output, size) => {
      const whole = play(respond({ tools }), output, context) as never as Response;
      const call = respond({ tools, stream: true });
      const events: Event[] = [];
      play(call, output, context, {
        size,
        onChunks: (more) => events.push(...more.map((chunk) => chunk.data as Event)),
      });
      const texts = (items: readonly Item[]): unknown[] =>
        items.map((item) => [item.type, item.arguments ?? item.content?.[0]?.text]);
      const last = events.at(-1)?.response;
      assert.deepEqual(texts(last?.output ?? []), texts(whole.output));
      const sums = whole.output.map((_, i) =>
        events
          .filter((event) => event.output_index === i)
          .map((event) => event.delta ?? '')
          .join(''),
      );
      assert.deepEqual(
        sums,
        whole.output.map((item) => item.arguments ?? item.content?.[0]?.text),
      );
      const done = events.filter((event) => event.type === 'response.output_item.done');
      assert.deepEqual(texts(done.flatMap((event) => event.item ?? [])), texts(whole.output));
    }),
  );
});

test('responses: a text that the length cut off is incomplete and says so', () => {
  const end = { reason: 'length' } as const;
  const body = play(respond({}), 'abc', context, { end }) as never as Response;
  assert.equal(body.status, 'incomplete');
  assert.deepEqual(body.incomplete_details, { reason: 'max_output_tokens' });
  assert.equal(body.usage.input_tokens, 5);
});

test('responses: formats are grammars, and what needs a memory is refused', () => {
  const text = { format: { type: 'json_schema', name: 'a', schema: { type: 'object' } } };
  assert.deepEqual(respond({ text }).requests[0]?.grammar?.spec, {
    kind: 'jsonSchema',
    schema: { type: 'object' },
  });
  for (const [body, param] of [
    [{ previous_response_id: 'resp_1' }, 'previous_response_id'],
    [{ conversation: 'a' }, 'conversation'],
    [{ background: true }, 'background'],
    [{ truncation: 'auto' }, 'truncation'],
    [{ n: 2 }, 'n'],
    [{ tools: [{ type: 'web_search' }] }, 'tools[0].type'],
    [{ input: 'x'.repeat(2000) }, 'input'],
  ] as const) {
    assert.throws(() => respond(body), { status: 400, param }, JSON.stringify(body).slice(0, 60));
  }
});
