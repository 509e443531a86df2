/** Packed timelines: every pass comes out again to the microsecond; what is left out is said. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { TimelineSpan } from '../planExtras.ts';
import { packTimeline, type TimelineData, timelineKinds } from './timelineData.ts';

const names = ['forward', 'backward', 'backwardInput', 'backwardWeight', 'forwardBackward', 'send'];

const anySpan: fc.Arbitrary<TimelineSpan> = fc
  .record({
    rank: fc.nat(3),
    name: fc.constantFrom(...names),
    instruction: fc.nat(9),
    start: fc.nat(1e6).map((micros) => micros / 1e6),
    length: fc.integer({ min: 1, max: 1e5 }).map((micros) => micros / 1e6),
    stage: fc.nat(15),
    microBatch: fc.nat(119),
  })
  .map(({ length, ...span }) => ({
    ...span,
    end: span.start + length,
    ...(span.name === 'forwardBackward' ? { backward: { stage: 1, microBatch: 2 } } : {}),
  }));

function unpack({ ranks }: TimelineData): unknown[] {
  return ranks.flatMap(({ rank, spans }) => {
    const found: unknown[] = [];
    let start = 0;
    for (let i = 0; i < spans.length; ) {
      const kind = timelineKinds[spans[i] ?? -1];
      start += spans[i + 1] ?? 0;
      const pair = kind === 'pair' ? spans.slice(i + 5, i + 7) : [];
      found.push([rank, kind, start, ...spans.slice(i + 2, i + 5), ...pair]);
      i += 5 + pair.length;
    }
    return found;
  });
}

test('packTimeline: each span comes back with its rank, kind, times, stage and micro-batch', () => {
  fc.assert(
    fc.property(fc.array(anySpan, { minLength: 1, maxLength: 40 }), (spans) => {
      const origin = Math.min(...spans.map(({ start }) => start));
      const micros = (seconds: number): number => Math.round(seconds * 1e6);
      const kinds: Record<string, string> = {
        backwardInput: 'backward',
        backwardWeight: 'weight',
        forwardBackward: 'pair',
        send: 'communication',
      };
      const expected = spans.map(({ rank, name, start, end, stage, microBatch, backward }) => [
        rank,
        kinds[name] ?? name,
        micros(start - origin),
        micros(end - origin) - micros(start - origin),
        stage,
        microBatch,
        ...(backward ? [backward.stage, backward.microBatch] : []),
      ]);
      const order = (rows: unknown[]): string[] => rows.map((row) => JSON.stringify(row)).sort();
      assert.deepEqual(order(unpack(packTimeline(spans).data)), order(expected));
    }),
  );
});

test('packTimeline: parts inside passes and waits for messages are not drawn, and parts are told', () => {
  const span = { rank: 0, instruction: 0, start: 0, end: 1, stage: 0, microBatch: 0 };
  const { data, kinds, notes } = packTimeline([
    { ...span, name: 'forward' },
    { ...span, name: 'forward/attention' },
    { ...span, name: 'recv', end: 2 },
  ]);
  assert.equal(data.ranks[0]?.spans.length, 5);
  assert.deepEqual([...kinds], ['forward']);
  assert.equal(data.length, 1e6);
  assert.match(notes.join(), /^1 parts/);
});

test('packTimeline: more spans than a page can hold lose their transfers, and the note says so', () => {
  const spans = Array.from({ length: 50_000 }, (_, index) => ({
    rank: index % 2,
    name: index % 4 < 2 ? 'forward' : 'send',
    instruction: index,
    start: index,
    end: index + 1,
  }));
  const { data, notes } = packTimeline(spans);
  assert.equal(
    data.ranks.reduce((sum, { spans: numbers }) => sum + numbers.length / 5, 0),
    25_000,
  );
  assert.match(notes.join(), /25,000 transfers are left out/);
});

test('packTimeline: nothing gives nothing', () => {
  assert.deepEqual(packTimeline([]).data, { length: 0, kinds: timelineKinds, ranks: [] });
});
