/** Events that are held for a while: none lost or out of order, no beginning or end late. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { EngineEnd, EngineEvent } from '../../serving/engineClient.ts';
import { EventOutbox } from './eventOutbox.ts';

const USAGE = {
  ...{ promptTokens: 1, cachedTokens: 0, completionTokens: 1, drafted: 0, accepted: 0 },
  ...{ draftedPerPosition: [], acceptedPerPosition: [], preemptions: 0 },
  ...{ queueSeconds: 0, prefillSeconds: 0, decodeSeconds: 0 },
};
const END: EngineEnd = { reason: 'stop', stop: null, usage: USAGE };

function piece(requestId: string, id: number): EngineEvent {
  const token = { id, logProbability: Number.NaN, isDrafted: false };
  return { requestId, text: `${id} `, tokens: [token] };
}

test('an outbox gives first tokens and ends at once, and what is between at its pace', () => {
  const outbox = new EventOutbox(0.01);
  const tell = (event: EngineEvent, now: number): readonly EngineEvent[] => {
    outbox.add([event]);
    return outbox.isDue(now) ? outbox.take(now) : [];
  };
  const started = { requestId: 'a', text: '', tokens: [], started: { cachedTokens: 3 } };
  assert.deepEqual(tell(started, 0), [started]);
  assert.deepEqual(tell(piece('a', 1), 0.001), [piece('a', 1)]);
  assert.deepEqual(tell(piece('a', 2), 0.006), []);
  const [both] = tell(piece('a', 3), 0.0115);
  assert.equal(both?.text, '2 3 ');
  assert.deepEqual(
    both?.tokens.map(({ id }) => id),
    [2, 3],
  );
  assert.deepEqual(tell(piece('a', 4), 0.012), []);
  assert.deepEqual(tell({ ...piece('a', 5), end: END }, 0.013).length, 1);
  assert.ok(outbox.isEmpty);
});

test('an outbox gives every request all of its text and tokens, in order, and its end last', () => {
  const step = fc.record({
    of: fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 4 }),
    seconds: fc.constantFrom(0, 0.001, 0.004, 0.02),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), fc.constantFrom(0, 0.01), (steps, pace) => {
      const outbox = new EventOutbox(pace);
      const told = new Map<string, EngineEvent[]>();
      const wanted = new Map<string, string>();
      let now = 0;
      let nextId = 0;
      const take = (): void => {
        for (const event of outbox.take(now)) {
          told.set(event.requestId, [...(told.get(event.requestId) ?? []), event]);
        }
      };
      for (const { of, seconds } of steps) {
        now += seconds;
        for (const requestId of of) {
          const event = piece(requestId, nextId++);
          wanted.set(requestId, (wanted.get(requestId) ?? '') + event.text);
          outbox.add([event]);
        }
        if (pace === 0) assert.equal(outbox.isDue(now), of.length > 0);
        if (outbox.isDue(now)) take();
      }
      outbox.add([...wanted.keys()].map((requestId) => ({ ...end(requestId), end: END })));
      assert.equal(outbox.isDue(now), wanted.size > 0);
      take();
      for (const [requestId, text] of wanted) {
        const events = told.get(requestId) ?? [];
        assert.equal(events.map((event) => event.text).join(''), text);
        assert.equal(
          events.flatMap(({ tokens }) => tokens.map(({ id }) => `${id} `)).join(''),
          text,
        );
        assert.deepEqual(
          events.map((event) => event.end !== undefined),
          events.map((_, i) => i === events.length - 1),
        );
      }
    }),
  );
});

function end(requestId: string): EngineEvent {
  return { requestId, text: '', tokens: [] };
}
