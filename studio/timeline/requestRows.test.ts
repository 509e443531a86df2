/** Requests as a waterfall: rows, borders, what is told of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { at } from '../../src/base/assert.ts';
import type { RequestTimes } from '../../src/serving/engineClient.ts';
import { kindAt } from '../draw/timelineIndex.ts';
import { drawRequests, partsOf, rateOf, requestFacts } from './requestRows.ts';

/** One that arrived then, and took so long for each of its parts that it came to. */
function request(number: number, arrived: number, parts: readonly number[]): RequestTimes {
  const [wait, prefill, decode] = parts;
  const started = wait === undefined ? null : arrived + wait;
  const firstToken = started === null || prefill === undefined ? null : started + prefill;
  const ended = firstToken === null || decode === undefined ? null : firstToken + decode;
  return {
    ...{ requestId: `cmpl-${number}`, number, arrived, started, firstToken, ended },
    reason: ended === null ? null : 'stop',
    usage: {
      ...{ promptTokens: 7, cachedTokens: 0, completionTokens: 11, drafted: 0, accepted: 0 },
      ...{ draftedPerPosition: [], acceptedPerPosition: [], preemptions: 0 },
      ...{ queueSeconds: wait ?? 0, prefillSeconds: prefill ?? 0, decodeSeconds: decode ?? 0 },
    },
  };
}

const labelOf = (part: string): string => part;

test('drawRequests: on the clock each begins when it came, by arrival all at nought', () => {
  const requests = [request(3, 100, [1, 2, 4]), request(4, 103, [0.5, 1]), request(6, 104, [])];
  const view = { requests, now: 110, labelOf };
  const clock = drawRequests({ ...view, alignment: 'clock' });
  const spans = clock.rows.map((row) =>
    Array.from(row.starts, (start, i) => [kindAt(row, i), start, at(row.ends, i)]),
  );
  assert.deepEqual(
    clock.rows.map(({ name, bubble }) => [name, bubble]),
    [4, 5, 7].map((name) => [String(name), null]),
  );
  assert.deepEqual(spans, [
    [
      ['wait', 0, 1],
      ['prefill', 1, 3],
      ['decode', 3, 7],
    ],
    [
      ['wait', 3, 3.5],
      ['prefill', 3.5, 4.5],
      // Under way: to the present.
      ['decode', 4.5, 10],
    ],
    [['wait', 4, 10]],
  ]);
  assert.deepEqual([clock.start, clock.end], [0, 10]);
  const together = drawRequests({ ...view, alignment: 'arrival' });
  assert.deepEqual(
    together.rows.map(({ starts }) => starts[0]),
    [0, 0, 0],
  );
  assert.equal(together.end, 7);
});

test('partsOf: what took no time is no span, and the rest covers the request', () => {
  const parts = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 50 })), {
    maxLength: 3,
  });
  fc.assert(
    fc.property(fc.nat(1000), parts, fc.nat(9), (arrived, took, since) => {
      const one = request(1, arrived, took);
      const now = arrived + took.reduce((sum, each) => sum + each, 0) + since;
      const spans = partsOf(one, now);
      let time = arrived;
      for (const { start, end } of spans) {
        assert.equal(start, time);
        assert.ok(end > start);
        time = end;
      }
      assert.equal(time, one.ended ?? now);
    }),
  );
});

test('requestFacts: medians of those that came so far, and who never did', () => {
  const broken = { ...request(9, 5, [2, 1, 1]), reason: 'abort' as const };
  const facts = requestFacts([
    ...[request(1, 0, [1, 1, 5]), request(2, 0, [3, 2, 10]), request(3, 0, [8])],
    ...[request(4, 0, []), broken],
  ]);
  assert.deepEqual(facts, {
    ...{ all: 5, underWay: 2, failed: 1 },
    wait: { median: 2.5, most: 8 },
    firstToken: { median: 3, most: 5 },
    // Ten tokens behind the first.
    rate: { median: 2, most: 10 },
  });
  const nobody = requestFacts([]);
  assert.deepEqual([nobody.wait, nobody.firstToken, nobody.rate], [null, null, null]);
  assert.equal(rateOf(request(1, 0, [1, 1])), null);
});
