/** The report: overlap against a raster of microseconds, streams' roles, SMs, phases, ranks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  annotation,
  type KernelOptions,
  kernel,
  launch,
  traceOf,
} from '../../../tests/support/traceFixture.ts';
import { analyzeTrace, type DeviceReport, type TraceReport } from './analyzeTrace.ts';

const COMPUTE = 'sm90_xmma_gemm_bf16';
const DISPATCH = 'void deep_ep::internode::dispatch<8>(int)';
const NOTIFY = 'void deep_ep::internode::notify_dispatch<8>(int)';

function reportOf(kernels: readonly KernelOptions[]): TraceReport {
  return analyzeTrace(traceOf(kernels.map(kernel)));
}

function first(report: TraceReport): DeviceReport {
  const [device] = report.devices;
  assert.ok(device !== undefined);
  return device;
}

const micro = (seconds: number): number => Math.round(seconds * 1e6);

test('analyzeTrace: overlap is that of a raster of microseconds, for any spans on any streams', () => {
  const span = fc.record({
    name: fc.constantFrom(COMPUTE, DISPATCH, NOTIFY),
    ts: fc.integer({ min: 0, max: 80 }),
    dur: fc.integer({ min: 0, max: 15 }),
    stream: fc.integer({ min: 1, max: 3 }),
  });
  fc.assert(
    fc.property(fc.array(span, { minLength: 1, maxLength: 25 }), (spans) => {
      const { streams, overlap, wallSeconds, classes, count } = first(reportOf(spans));
      const roles = new Map(streams.map(({ id, role }) => [Number(id), role]));
      const isExchange = (each: KernelOptions): boolean =>
        roles.get(each.stream ?? 0) === 'communication' || each.name !== COMPUTE;
      const covered = (wanted: (each: KernelOptions) => boolean) => (t: number) =>
        spans.some((each) => wanted(each) && each.ts <= t && t < each.ts + each.dur);
      const [computing, exchanging] = [covered((s) => !isExchange(s)), covered(isExchange)];
      const moving = covered(({ name }) => name === DISPATCH);
      const times = Array.from({ length: 100 }, (_, t) => t);
      const start = Math.min(...spans.map(({ ts }) => ts));
      const end = Math.max(...spans.map(({ ts, dur }) => ts + dur));
      const num = (wanted: (t: number) => boolean): number => times.filter(wanted).length;
      const both = num((t) => computing(t) && exchanging(t));
      const busy = num((t) => computing(t) || exchanging(t));
      assert.equal(micro(wallSeconds), end - start);
      assert.equal(micro(overlap.computeBusySeconds), num(computing));
      assert.equal(micro(overlap.communicationBusySeconds), num(exchanging));
      assert.equal(micro(overlap.bothBusySeconds), both);
      assert.equal(micro(overlap.exposedSeconds), num(exchanging) - both);
      assert.equal(overlap.hiddenShare, num(exchanging) === 0 ? null : both / num(exchanging));
      assert.equal(micro(overlap.dataMovementSeconds), num(moving));
      assert.equal(micro(overlap.nothingBusySeconds), end - start - busy);
      assert.equal(micro(overlap.computeIdleSeconds), end - start - num(computing));
      for (const { id, busySeconds, idleSeconds } of streams) {
        const own = num(covered(({ stream }) => String(stream) === id));
        assert.deepEqual([micro(busySeconds), micro(idleSeconds)], [own, end - start - own]);
      }
      const distinct = new Set(spans.map((each) => JSON.stringify(Object.entries(each).sort())));
      assert.equal(count, distinct.size);
      assert.equal(
        classes.reduce((sum, each) => sum + each.count, 0),
        count,
      );
    }),
    { numRuns: 200 },
  );
});

test('analyzeTrace: a cast on a communication stream is communication, elsewhere it computes', () => {
  const cast = 'void cuda::per_token_cast_to_fp8<1>(int)';
  const { streams, overlap } = first(
    reportOf([
      { name: cast, ts: 0, dur: 10, stream: 27 },
      { name: DISPATCH, ts: 10, dur: 30, stream: 27 },
      { name: cast, ts: 5, dur: 10, stream: 7 },
      { name: 'ncclDevKernel_AllReduce_Sum_f32', ts: 40, dur: 4, stream: 7 },
    ]),
  );
  assert.deepEqual(
    streams.map(({ role }) => role),
    ['compute', 'communication'],
  );
  assert.equal(micro(overlap.communicationBusySeconds), 44);
  assert.equal(micro(overlap.computeBusySeconds), 10);
  assert.equal(overlap.hiddenShare, 10 / 44);
  assert.equal(overlap.dataMovementHiddenShare, 5 / 34);
});

test('analyzeTrace: SMs of a stream are the blocks of its persistent kernels', () => {
  const at = (ts: number, grid: readonly number[], stream = 7): KernelOptions => ({
    name: stream === 7 ? COMPUTE : DISPATCH,
    ts,
    dur: 10,
    stream,
    grid,
  });
  const { streams, classes } = first(
    reportOf([at(0, [112, 1, 1]), at(10, [2, 56, 1]), at(20, [4096, 1, 1]), at(0, [20, 1, 1], 27)]),
  );
  assert.deepEqual(
    streams.map(({ sms }) => sms),
    [112, 20],
  );
  assert.deepEqual(
    classes.map(({ name, sms }) => [name, sms]),
    [
      ['gemm-bf16', 112],
      ['dispatch', 20],
    ],
  );
});

test('analyzeTrace: phases are the innermost annotations around launches, on any thread', () => {
  const report = analyzeTrace(
    traceOf([
      annotation({ name: 'step', ts: 0, dur: 1000 }),
      annotation({ name: 'attn(F)', ts: 10, dur: 50 }),
      annotation({ name: 'mlp(F)', ts: 100, dur: 50 }),
      annotation({ name: 'attn(F)', ts: 200, dur: 50 }),
      launch({ correlation: 1, ts: 20 }),
      launch({ correlation: 2, ts: 110, thread: 200 }),
      launch({ correlation: 3, ts: 210 }),
      launch({ correlation: 4, ts: 220 }),
      launch({ correlation: 5, ts: 300 }),
      kernel({ name: COMPUTE, ts: 500, dur: 10, correlation: 1 }),
      kernel({ name: COMPUTE, ts: 510, dur: 20, correlation: 2 }),
      kernel({ name: COMPUTE, ts: 530, dur: 5, correlation: 3 }),
      kernel({ name: DISPATCH, ts: 531, dur: 8, stream: 27, correlation: 4 }),
      kernel({ name: COMPUTE, ts: 600, dur: 1, correlation: 5 }),
      kernel({ name: COMPUTE, ts: 610, dur: 1 }),
    ]),
  );
  const phases = first(report).phases.map((phase) => [
    phase.name,
    phase.occurrence,
    micro(phase.busySeconds),
    micro(phase.spanSeconds),
    micro(phase.dataMovementSeconds),
    phase.count,
  ]);
  assert.deepEqual(phases, [
    ['step', 0, 1, 1, 0, 1],
    ['attn(F)', 0, 10, 10, 0, 1],
    ['mlp(F)', 0, 20, 20, 0, 1],
    ['attn(F)', 1, 9, 13, 8, 2],
  ]);
});

test('analyzeTrace: ranks of one timeline wait in bubbles of the whole window', () => {
  const span = (name: string, pid: number, ts: number, tid = 0) => ({
    ph: 'X',
    name,
    pid,
    tid,
    ts,
    dur: 10,
  });
  const report = analyzeTrace(
    traceOf([
      span('forward', 0, 0),
      span('forward', 0, 10),
      span('send', 0, 12, 1),
      span('forward', 1, 22),
      span('backward', 1, 32),
      span('backward', 0, 42),
    ]),
  );
  assert.equal(micro(report.wallSeconds), 52);
  assert.deepEqual(
    report.devices.map(({ id, bubbleSeconds, overlap }) => [
      id,
      micro(bubbleSeconds),
      overlap.hiddenShare,
    ]),
    [
      ['0', 20, 0.8],
      ['1', 32, null],
    ],
  );
});

test('analyzeTrace: idle time is told with what came before and after', () => {
  const { longestIdle } = first(
    reportOf([
      { name: COMPUTE, ts: 0, dur: 10 },
      { name: DISPATCH, ts: 15, dur: 10, stream: 27 },
      { name: COMPUTE, ts: 40, dur: 1 },
    ]),
  );
  assert.deepEqual(
    longestIdle.map(({ seconds, after, before }) => [micro(seconds), after, before]),
    [
      [15, 'dispatch', 'gemm-bf16'],
      [5, 'gemm-bf16', 'dispatch'],
    ],
  );
});
