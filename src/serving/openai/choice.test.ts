/** Outputs cut into thinking, content and calls: the same however they came in pieces. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { byteTokenizer } from '../../tokenizer/byteTokenizer.ts';
import { DEFAULT_SPECIAL_TOKENS } from '../../tokenizer/specialTokens.ts';
import type { EngineEnd, EngineEvent, EngineToken } from '../engineClient.ts';
import { Choice, type Delta } from './choice.ts';
import {
  CALL_BEGIN,
  CALL_END,
  CALL_SEPARATOR,
  CALLS_BEGIN,
  CALLS_END,
  type CallForm,
  markerId,
  THINK_BEGIN,
  THINK_END,
} from './markers.ts';

const MARKERS = [
  THINK_BEGIN,
  THINK_END,
  CALLS_BEGIN,
  CALLS_END,
  CALL_BEGIN,
  CALL_END,
  CALL_SEPARATOR,
];
const withTokens = byteTokenizer([...DEFAULT_SPECIAL_TOKENS, ...MARKERS]);
const withoutTokens = byteTokenizer();
const tokenizers = { withTokens, withoutTokens };

const END: EngineEnd = {
  reason: 'stop',
  stop: null,
  usage: {
    promptTokens: 1,
    cachedTokens: 0,
    completionTokens: 1,
    drafted: 0,
    accepted: 0,
    draftedPerPosition: [],
    acceptedPerPosition: [],
    preemptions: 0,
    queueSeconds: 0,
    prefillSeconds: 0,
    decodeSeconds: 0,
  },
};

interface Cut {
  /** Tokens of each event, taken in turn. */
  readonly sizes: readonly number[];
  /** Characters that each event holds back. */
  readonly delays: readonly number[];
}

/** The events of an output, as an engine that holds text back would give them. */
function eventsOf(
  ids: Int32Array,
  cut: Cut,
  tokenizer = withTokens,
  end: EngineEnd = END,
): EngineEvent[] {
  const events: EngineEvent[] = [];
  const decoder = tokenizer.streamDecoder();
  const placed: { token: EngineToken; from: number }[] = [];
  let text = '';
  let shown = 0;
  let index = 0;
  for (let i = 0, turn = 0; i < ids.length; turn++) {
    const size = cut.sizes[turn % cut.sizes.length] ?? 1;
    for (const id of ids.subarray(i, i + size)) {
      const token = { id, logProbability: -index++, isDrafted: false };
      placed.push({ token, from: text.length });
      text += decoder.push(id);
    }
    i += size;
    if (i >= ids.length) text += decoder.end();
    const delay = i >= ids.length ? 0 : (cut.delays[turn % cut.delays.length] ?? 0);
    const until = Math.max(shown, text.length - delay);
    const isLast = i >= ids.length;
    const now = isLast ? placed.splice(0) : placed.splice(0, countWhile(placed, until));
    events.push({
      requestId: 'a',
      text: text.slice(shown, until),
      tokens: now.map(({ token }) => token),
      ...(isLast ? { end } : {}),
    });
    shown = until;
  }
  return events;
}

function countWhile(placed: readonly { readonly from: number }[], until: number): number {
  const first = placed.findIndex(({ from }) => from >= until);
  return first < 0 ? placed.length : first;
}

interface Settings {
  readonly starts?: 'thinking' | 'content';
  readonly calls?: CallForm | 'none';
  readonly tokenizer?: typeof withTokens;
  readonly end?: EngineEnd;
}

function parse(output: string, cut: Cut, settings: Settings = {}) {
  const tokenizer = settings.tokenizer ?? withTokens;
  let numIds = 0;
  const choice = new Choice({
    tokenizer,
    special: 'shown',
    newCallId: () => `call_${numIds++}`,
    parser: {
      starts: settings.starts ?? 'content',
      calls: settings.calls ?? 'fenced',
      tokenMarkers: new Set(MARKERS.filter((marker) => markerId(tokenizer, marker) !== undefined)),
    },
  });
  const deltas: Delta[] = [];
  for (const event of eventsOf(tokenizer.encode(output), cut, tokenizer, settings.end)) {
    deltas.push(...choice.push(event));
  }
  return { choice, deltas };
}

const WHOLE: Cut = { sizes: [100_000], delays: [0] };

function fenced(name: string, args: string): string {
  return `${CALL_BEGIN}function${CALL_SEPARATOR}${name}\n\`\`\`json\n${args}\n\`\`\`${CALL_END}`;
}

const summary = ({ choice }: { readonly choice: Choice }) => ({
  reasoning: choice.reasoning,
  content: choice.content,
  calls: choice.calls.map((call) => ({ ...call })),
  numReasoning: choice.numReasoning,
  reasoningShown: choice.reasoningShown,
  contentShown: choice.contentShown,
});

for (const [name, tokenizer] of Object.entries(tokenizers)) {
  test(`Choice: thinking, content and two calls in V3's form (${name})`, () => {
    const output =
      `${THINK_BEGIN}\nA < b?\n${THINK_END}\n\nLet me look.` +
      `${CALLS_BEGIN}${fenced('add', '{"a": "```"}')}\n${fenced('now', '')}${CALLS_END}`;
    const { choice } = parse(output, WHOLE, { tokenizer });
    assert.equal(choice.reasoning, 'A < b?');
    assert.equal(choice.content, 'Let me look.');
    assert.deepEqual(
      choice.calls.map((call) => [call.name, call.arguments]),
      [
        ['add', '{"a": "```"}'],
        ['now', '{}'],
      ],
    );
  });

  test(`Choice: calls in V3.1's form, with a fence or without (${name})`, () => {
    const call = (args: string): string => `${CALL_BEGIN}add${CALL_SEPARATOR}${args}${CALL_END}`;
    const output = `${CALLS_BEGIN}${call('{"a":1}')}${call('```json\n{"b":2}\n```')}${CALLS_END}`;
    for (const calls of ['bare', 'fenced'] as const) {
      const { choice } = parse(output, WHOLE, { tokenizer, calls });
      assert.deepEqual(
        choice.calls.map((each) => each.arguments),
        ['{"a":1}', '{"b":2}'],
      );
      assert.equal(choice.content, '');
    }
  });

  test(`Choice: any cutting gives the same parts and log probabilities (${name})`, () => {
    const piece = fc.constantFrom(
      ...MARKERS,
      '<',
      '<｜tool▁',
      '</thi',
      '<think',
      '```',
      '```json\n',
      '\n',
      ' ',
      'function',
      'add',
      '{"a": 1}',
      'é€😀',
      '<｜end▁of▁sentence｜>',
      '<｜User｜>',
      fenced('f', '{"x":"<｜"}'),
    );
    const output = fc.array(piece, { minLength: 1, maxLength: 14 }).map((parts) => parts.join(''));
    const cut = fc.record({
      sizes: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 }),
      delays: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 5 }),
    });
    const starts = fc.constantFrom('thinking' as const, 'content' as const);
    const calls = fc.constantFrom('fenced' as const, 'bare' as const, 'none' as const);
    fc.assert(
      fc.property(output, cut, starts, calls, (text, pieces, start, form) => {
        const settings = { starts: start, calls: form, tokenizer };
        const whole = parse(text, WHOLE, settings);
        const parts = parse(text, pieces, settings);
        assert.deepEqual(summary(parts), summary(whole));
        assert.deepEqual(joined(parts.deltas), joined(whole.deltas));
        assert.deepEqual(joined(whole.deltas).content, whole.choice.content);
      }),
      { numRuns: 400 },
    );
  });
}

/** What a client that adds deltas up has in the end. */
function joined(deltas: readonly Delta[]) {
  const sum = { content: '', reasoning: '', calls: [] as string[], ends: 0 };
  for (const delta of deltas) {
    if (delta.kind === 'content' || delta.kind === 'reasoning') sum[delta.kind] += delta.text;
    else if (delta.kind === 'callBegin') sum.calls.push(`${delta.call.id} ${delta.call.name} `);
    else if (delta.kind === 'callArguments') sum.calls[delta.call.index] += delta.text;
    else sum.ends++;
  }
  return sum;
}

test('Choice: a template that opened the thinking is gone on with', () => {
  const { choice } = parse(`so it is\n${THINK_END}\n\nYes.`, WHOLE, { starts: 'thinking' });
  assert.deepEqual([choice.reasoning, choice.content], ['so it is', 'Yes.']);
  assert.equal(choice.numReasoning, 'so it is\n'.length + 1);
});

test('Choice: words that spell a marker stay words where the marker is a token', () => {
  const decoder = withTokens.encode(`a ${CALLS_BEGIN} b ${THINK_END}`, { addedTokens: 'text' });
  const choice = new Choice({
    tokenizer: withTokens,
    special: 'shown',
    newCallId: () => 'call',
    parser: { starts: 'content', calls: 'fenced', tokenMarkers: new Set(MARKERS) },
  });
  for (const event of eventsOf(decoder, { sizes: [1], delays: [0] })) choice.push(event);
  assert.equal(choice.content, `a ${CALLS_BEGIN} b ${THINK_END}`);
  assert.equal(choice.calls.length, 0);
});

test('Choice: control tokens never leak, with tools or without', () => {
  const output = `a<｜end▁of▁sentence｜>b<｜User｜>c${CALL_END}d${THINK_END}${CALLS_BEGIN}`;
  for (const calls of ['fenced', 'none'] as const) {
    assert.equal(parse(output, WHOLE, { calls }).choice.content, 'abcd');
  }
});

test('Choice: text with < and half a marker at the end loses nothing', () => {
  for (const tokenizer of [withTokens, withoutTokens]) {
    const output = 'if (a < b && c <｜tool▁calls) <｜tool▁calls▁beg';
    assert.equal(parse(output, { sizes: [1], delays: [0] }, { tokenizer }).choice.content, output);
  }
});

test('Choice: content tokens are exactly those of the content, half characters too', () => {
  const { choice } = parse(`${THINK_BEGIN}no${THINK_END}\n\n€é!<｜end▁of▁sentence｜>`, WHOLE);
  const bytes = choice.contentShown.flatMap(({ id }) => [...withTokens.tokenBytes(id)]);
  assert.deepEqual(bytes, [...new TextEncoder().encode('€é!')]);
  assert.deepEqual(
    choice.reasoningShown.map(({ id }) => withTokens.decode([id])),
    ['n', 'o'],
  );
});

test('Choice: a call that the length cut off keeps what there was of its arguments', () => {
  const whole = `${CALLS_BEGIN}${fenced('add', '{"a": "x  y"}')}`;
  const { choice } = parse(whole.slice(0, whole.indexOf('x') + 3), WHOLE, {
    end: { ...END, reason: 'length' },
  });
  assert.equal(choice.calls[0]?.arguments, '{"a": "x  ');
});
