/** What is kept of a trace, what is left out and told, and what is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  annotation,
  kernel,
  launch,
  type TraceEvent,
  traceOf,
} from '../../../tests/support/traceFixture.ts';
import { MoebiusError } from '../../base/errors.ts';

function shape(events: readonly unknown[]): unknown {
  return traceOf(events).devices.map(({ id, streams }) => [
    id,
    streams.map((stream) => [stream.id, stream.spans.map(({ name, start }) => [name, start])]),
  ]);
}

test('Trace: kernels go to devices and streams, in order of time, whatever the file’s order', () => {
  const events = [
    kernel({ name: 'c', ts: 1030, dur: 5, stream: 7 }),
    kernel({ name: 'd', ts: 1001, dur: 5, device: 1, stream: 20 }),
    kernel({ name: 'a', ts: 1000, dur: 5, stream: 20 }),
    kernel({ name: 'b', ts: 1010, dur: 5, stream: 7 }),
    launch({ correlation: 1, ts: 990 }),
    annotation({ name: 'step', ts: 980, dur: 100 }),
  ];
  const expected = [
    [
      '0',
      [
        [
          '7',
          [
            ['b', 10],
            ['c', 30],
          ],
        ],
        ['20', [['a', 0]]],
      ],
    ],
    ['1', [['20', [['d', 1]]]]],
  ];
  assert.deepEqual(shape(events), expected);
  assert.deepEqual(shape(events.toReversed()), expected);
  const trace = traceOf(events);
  assert.equal(trace.kind, 'profiler');
  assert.equal(trace.origin, 1000);
  assert.deepEqual(trace.launches.get(1), { process: '100', thread: '100', start: -10, end: -9 });
  assert.deepEqual(trace.notices, []);
});

test('Trace: what cannot count is left out and told', () => {
  const good = kernel({ name: 'a', ts: 0, dur: 5, correlation: 3 });
  const { dur: _, ...withoutEnd } = kernel({ name: 'cut', ts: 9, dur: 1 }) as { dur: number };
  const trace = traceOf([
    good,
    good,
    withoutEnd,
    { ph: '?', name: 'new phase' },
    { ph: 'E', pid: 1, tid: 1, ts: 4 },
    { ph: 's', id: 1, pid: 0, tid: 7, ts: 100, name: 'x' },
    { ph: 'f', id: 1, pid: 0, tid: 7, ts: 101, name: 'x' },
    { ph: 'i', name: 'instant', ts: 3 },
    { ph: 'C', name: 'counter', ts: 3, args: { bytes: 4 } },
  ]);
  assert.equal(trace.devices[0]?.streams[0]?.spans.length, 1);
  assert.deepEqual(trace.notices, [
    '1 complete events without "dur" were left out',
    '1 begin and end events had no partner',
    '1 events of unknown phases were left out',
    '1 events were there twice and count once',
    '2 flow events had no partner or no span',
  ]);
});

test('Trace: one without device categories is a timeline of ranks and streams', () => {
  const trace = traceOf([
    { ph: 'M', name: 'process_name', pid: 3, tid: 0, args: { name: 'rank 3' } },
    { ph: 'M', name: 'thread_name', pid: 3, tid: 1, args: { name: 'compute' } },
    { ph: 'X', name: 'forward', pid: 3, tid: 1, ts: 5, dur: 10 },
    { ph: 'B', name: 'outer', cat: 'x', pid: 3, tid: 2, ts: 5 },
    { ph: 'B', name: 'inner', cat: 'x', pid: 3, tid: 2, ts: 6 },
    { ph: 'E', pid: 3, tid: 2, ts: 8 },
    { ph: 'E', pid: 3, tid: 2, ts: 11 },
  ]);
  assert.equal(trace.kind, 'timeline');
  const [device] = trace.devices;
  assert.equal(device?.name, 'rank 3');
  assert.deepEqual(
    device?.streams.map(({ name, spans }) => [name, spans.map((s) => [s.name, s.start, s.end])]),
    [
      ['compute', [['forward', 0, 10]]],
      [
        '',
        [
          ['outer', 0, 6],
          ['inner', 1, 3],
        ],
      ],
    ],
  );
});

test('Trace: arrows between spans are kept, to the span around or the next one', () => {
  const arrow = (ph: string, ts: number, rest: TraceEvent): TraceEvent => ({
    ph,
    id: 9,
    name: 'p2p',
    cat: 'flow',
    ts,
    ...rest,
  });
  const spans = [
    { ph: 'X', name: 'send', pid: 0, tid: 1, ts: 0, dur: 10 },
    { ph: 'X', name: 'recv', pid: 1, tid: 1, ts: 12, dur: 5 },
  ];
  for (const end of [{ ts: 12, bp: 'e' }, { ts: 15, bp: 'e' }, { ts: 11 }, { ts: 12 }]) {
    const { ts, ...bind } = end;
    const trace = traceOf([
      ...spans,
      arrow('s', 10, { pid: 0, tid: 1 }),
      arrow('f', ts, { pid: 1, tid: 1, ...bind }),
    ]);
    assert.deepEqual(
      trace.flows.map(({ from, to }) => [from.name, to.name]),
      [['send', 'recv']],
      JSON.stringify(end),
    );
  }
});

test('Trace: the chip and the rank come from the file’s own header', () => {
  const trace = traceOf([kernel({ name: 'a', ts: 0, dur: 1 })], {
    traceName: 't.json',
    deviceProperties: [{ id: 0, name: 'NVIDIA H800', numSms: 132 }],
    distributedInfo: { backend: 'nccl', rank: 5, world_size: 64 },
  });
  assert.deepEqual(trace.gpu, { name: 'NVIDIA H800', numSms: 132 });
  assert.deepEqual([trace.name, trace.rank, trace.worldSize], ['t.json', 5, 64]);
});

test('Trace: a wrong value is refused with the event’s index and key', () => {
  const good = kernel({ name: 'a', ts: 0, dur: 1 });
  const cases: readonly (readonly [TraceEvent, string])[] = [
    [{ ...good, ts: 'soon' }, 'ts'],
    [{ ...good, ts: null }, 'ts'],
    [{ ...good, dur: '5' }, 'dur'],
    [{ ...good, dur: -1 }, 'dur'],
    [{ ...good, name: 4 }, 'name'],
    [{ ...good, pid: {} }, 'pid'],
    [{ ...good, ph: 4 }, 'ph'],
    [{ name: 'no phase' }, 'ph'],
    [{ ...good, args: [] }, 'args'],
    [{ ...good, args: { grid: '4' } }, 'args.grid'],
    [{ ...good, args: { correlation: 'x' } }, 'args.correlation'],
    [{ ph: 'B', pid: 1, tid: 1 }, 'ts'],
  ];
  for (const [event, key] of cases) {
    assert.throws(
      () => traceOf([good, event]),
      (error) =>
        error instanceof MoebiusError &&
        error.code === 'trace.event' &&
        error.message.startsWith(`event 1: "${key}"`) &&
        error.values.event === 1,
      JSON.stringify(event),
    );
  }
});

test('Trace: without a span it is refused, and host events alone are called by their name', () => {
  const refused = (events: readonly TraceEvent[], message: RegExp): void =>
    assert.throws(
      () => traceOf(events),
      (error) =>
        error instanceof MoebiusError &&
        error.code === 'trace.empty' &&
        message.test(`${error.message} ${error.hint}`),
    );
  refused([], /no spans/);
  refused([{ ph: 'M', name: 'process_name', pid: 1, args: { name: 'x' } }], /no spans/);
  refused([launch({ correlation: 1, ts: 3 })], /host events only.*ProfilerActivity\.CUDA/);
});
