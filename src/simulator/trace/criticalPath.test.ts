/** The chain without slack: what each kind of knowledge decides, and that nothing is lost. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { kernel, launch, type TraceEvent, traceOf } from '../../../tests/support/traceFixture.ts';
import { classifyDevices } from './classifySpans.ts';
import { type CriticalPath, criticalPath } from './criticalPath.ts';

function pathOf(events: readonly TraceEvent[]): CriticalPath {
  const trace = traceOf(events);
  return criticalPath(trace, classifyDevices(trace.devices));
}

function names({ steps }: CriticalPath): string {
  return steps.map(({ span }) => span.name).join(' ');
}

test('criticalPath: without any knowledge, each span waited for the last to end before it', () => {
  const path = pathOf([
    kernel({ name: 'a', ts: 0, dur: 10 }),
    kernel({ name: 'x', ts: 0, dur: 40, stream: 27 }),
    kernel({ name: 'b', ts: 50, dur: 10 }),
    kernel({ name: 'y', ts: 41, dur: 5, stream: 27 }),
  ]);
  assert.equal(path.method, 'approximate');
  assert.equal(names(path), 'x y b');
  assert.deepEqual([path.busy, path.hostGap, path.otherGap], [55, 0, 5]);
});

test('criticalPath: a span right behind another of its stream waited for that one', () => {
  const path = pathOf([
    kernel({ name: 'a', ts: 0, dur: 47 }),
    kernel({ name: 'x', ts: 0, dur: 49, stream: 27 }),
    kernel({ name: 'b', ts: 50, dur: 10 }),
  ]);
  assert.equal(names(path), 'a b');
});

test('criticalPath: a stream waits for another one only where the host had it wait', () => {
  const events = (waitAt: number): TraceEvent[] => [
    launch({ correlation: 1, ts: -50 }),
    launch({ correlation: 2, ts: -40 }),
    launch({ correlation: 3, ts: -20 }),
    launch({ correlation: 4, ts: waitAt, name: 'cudaStreamWaitEvent' }),
    kernel({ name: 'a', ts: 0, dur: 10, correlation: 1 }),
    kernel({ name: 'x', ts: 0, dur: 40, stream: 27, correlation: 2 }),
    kernel({ name: 'b', ts: 50, dur: 10, correlation: 3 }),
  ];
  assert.equal(names(pathOf(events(-30))), 'x b');
  assert.equal(names(pathOf(events(-60))), 'a b');
  assert.equal(names(pathOf(events(-10))), 'a b');
  assert.equal(pathOf(events(-30)).method, 'wait-calls');
});

test('criticalPath: recorded stream waits decide, later spans notwithstanding', () => {
  const wait = {
    ph: 'X',
    cat: 'cuda_sync',
    name: 'Stream Wait Event',
    pid: 0,
    tid: 7,
    ts: 20,
    dur: 0,
    args: {
      stream: 7,
      correlation: 50,
      wait_on_stream: 27,
      wait_on_cuda_event_record_corr_id: 25,
    },
  };
  const path = pathOf([
    kernel({ name: 'a', ts: 0, dur: 10, correlation: 10 }),
    kernel({ name: 'x', ts: 0, dur: 40, stream: 27, correlation: 20 }),
    kernel({ name: 'y', ts: 40, dur: 9, stream: 27, correlation: 30 }),
    kernel({ name: 'b', ts: 50, dur: 10, correlation: 60 }),
    wait,
  ]);
  assert.equal(path.method, 'recorded');
  assert.equal(names(path), 'x b');
  assert.equal(path.steps[1]?.edge, 'recorded');
});

test('criticalPath: arrows lead from rank to rank', () => {
  const span = (name: string, pid: number, ts: number): TraceEvent => ({
    ph: 'X',
    name,
    pid,
    tid: 0,
    ts,
    dur: 10,
  });
  const path = pathOf([
    span('0F0', 0, 0),
    span('0F1', 0, 10),
    span('1F0', 1, 12),
    span('1B0', 1, 22),
    span('0B0', 0, 34),
    { ph: 's', id: 1, pid: 0, tid: 0, ts: 10 - 1, name: 'p2p' },
    { ph: 'f', id: 1, pid: 1, tid: 0, ts: 12, name: 'p2p', bp: 'e' },
    { ph: 's', id: 2, pid: 1, tid: 0, ts: 32, name: 'p2p' },
    { ph: 'f', id: 2, pid: 0, tid: 0, ts: 34, name: 'p2p', bp: 'e' },
  ]);
  assert.equal(names(path), '0F0 1F0 1B0 0B0');
  assert.deepEqual([path.busy, path.otherGap], [40, 4]);
});

test('criticalPath: a gap is the host’s when the launch came after what was waited for', () => {
  const path = pathOf([
    kernel({ name: 'a', ts: 0, dur: 10, correlation: 1 }),
    kernel({ name: 'b', ts: 30, dur: 10, correlation: 2 }),
    kernel({ name: 'c', ts: 60, dur: 10, correlation: 3 }),
    launch({ correlation: 1, ts: -9 }),
    launch({ correlation: 2, ts: 25 }),
    launch({ correlation: 3, ts: 26 }),
  ]);
  assert.deepEqual([names(path), path.hostGap, path.otherGap], ['a b c', 20, 20]);
});

test('criticalPath: steps and gaps fill the window exactly, for any spans', () => {
  const span = fc.record({
    name: fc.constantFrom('a', 'b', 'deep_ep::intranode::dispatch<1>'),
    ts: fc.integer({ min: 0, max: 100 }),
    dur: fc.integer({ min: 0, max: 20 }),
    stream: fc.integer({ min: 1, max: 3 }),
    device: fc.integer({ min: 0, max: 1 }),
  });
  fc.assert(
    fc.property(fc.array(span, { minLength: 1, maxLength: 30 }), (spans) => {
      const { steps, busy, hostGap, otherGap, byClass } = pathOf(spans.map(kernel));
      const start = Math.min(...spans.map(({ ts }) => ts));
      const end = Math.max(...spans.map(({ ts, dur }) => ts + dur));
      assert.equal(busy + hostGap + otherGap, end - start);
      assert.equal(
        [...byClass.values()].reduce((sum, each) => sum + each, 0),
        busy,
      );
      assert.ok(steps.every(({ time, gapBefore }) => time >= 0 && gapBefore >= 0));
      assert.equal(new Set(steps.map((step) => step.span)).size, steps.length);
    }),
    { numRuns: 300 },
  );
});
