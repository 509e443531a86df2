/** Traces as rows: real above simulated, on one scale, with the bubbles of both. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { at } from '../../src/base/assert.ts';
import { MoebiusError } from '../../src/base/errors.ts';
import { lower, wholeStep } from '../../src/policy/pipeline/lower.ts';
import { pipelineSchedule } from '../../src/policy/pipeline/pipelineSchedule.ts';
import { chromeTraceFiles } from '../../src/program/chromeTrace.ts';
import { walkPrograms } from '../../src/simulator/walkPrograms.ts';
import { passCosts } from '../../tests/support/passCosts.ts';
import { stepSettings } from '../../tests/support/pipelineStep.ts';
import { kindAt } from '../draw/timelineIndex.ts';
import { buffersOf, drawTraces, readTraceFile, rowsOfTrace, type TraceRows } from './traceRows.ts';

/** A trace as our own commands write it, of a small pipeline whose pairs take so long. */
function traceText(FB: number): string {
  const schedule = pipelineSchedule({ name: 'dualpipe', numRanks: 4, numMicroBatches: 10 });
  const normalizers = { main: 1, mtp: [] };
  const programs = wholeStep(lower({ schedule, settings: stepSettings, normalizers }));
  const costs = passCosts({ F: 1, B: 2, W: 1, FB, message: 0.25 });
  const { spans } = walkPrograms(programs, costs);
  return [...chromeTraceFiles({ spans, programs })].flatMap(({ pieces }) => [...pieces()]).join('');
}

async function rowsIn(text: string): Promise<TraceRows> {
  return rowsOfTrace(await readTraceFile(new Blob([text])));
}

test('drawTraces: each rank has its real stream right above the simulated one, on one scale', async () => {
  const [real, simulated] = await Promise.all([3, 2.5].map((FB) => rowsIn(traceText(FB))));
  assert.ok(real !== undefined && simulated !== undefined);
  const { timeline, summaries } = drawTraces({ real, simulated });
  const computing = timeline.rows.filter(({ bubble }) => bubble !== null);
  assert.deepEqual(
    computing.map(({ name, source }) => `${name} ${source}`),
    [0, 1, 2, 3].flatMap((rank) => [`${rank} compute real`, `${rank} compute simulated`]),
  );
  for (const [index, { name, source }] of timeline.rows.entries()) {
    if (source !== 'simulated') continue;
    assert.deepEqual(
      [at(timeline.rows, index - 1).name, at(timeline.rows, index - 1).source],
      [name, 'real'],
    );
  }
  assert.deepEqual(
    summaries.map(({ source, numDevices }) => [source, numDevices]),
    [
      ['real', 4],
      ['simulated', 4],
    ],
  );
  assert.ok(at(summaries, 0).seconds > at(summaries, 1).seconds);
  assert.equal(timeline.end, at(summaries, 0).seconds);
});

test('drawTraces: passes keep their names, colours and times', async () => {
  const trace = await rowsIn(traceText(3));
  const row = at(drawTraces({ simulated: trace }).timeline.rows, 0);
  assert.deepEqual(
    [0, 1].map((span) => [row.label(span), kindAt(row, span), row.starts[span], row.ends[span]]),
    [
      ['0F0', 'forward', 0, 1],
      ['0F1', 'forward', 1, 2],
    ],
  );
  const kinds = new Set([...row.starts.keys()].map((span) => kindAt(row, span)));
  for (const kind of ['forward', 'backward', 'weight', 'pair'] as const) assert.ok(kinds.has(kind));
});

test('drawTraces: the bubble is the time in which the computing stream is empty', async () => {
  const events = [
    { ph: 'X', name: 'forward', cat: 'forward', pid: 0, tid: 1, ts: 50, dur: 10 },
    { ph: 'X', name: 'backward', cat: 'backward', pid: 0, tid: 1, ts: 80, dur: 10 },
  ];
  const trace = await rowsIn(JSON.stringify(events));
  const { summaries, timeline } = drawTraces({ real: trace });
  assert.deepEqual(summaries, [
    { source: 'real', numDevices: 1, numSpans: 2, seconds: 40e-6, bubbleShare: 0.5 },
  ]);
  assert.deepEqual(at(timeline.rows, 0).bubble, { from: 0, to: 40e-6 });
});

test('readTraceFile: gzip reads as its text does, and what is no trace is refused', async () => {
  const text = traceText(3);
  const plain = await readTraceFile(new Blob([text]));
  const packed = await readTraceFile(new Blob([new Uint8Array(gzipSync(text))]));
  assert.deepEqual(packed.devices, plain.devices);
  for (const wrong of ['', '[]', '{"traceEvents":[{"ph":"X"', 'no trace']) {
    await assert.rejects(
      readTraceFile(new Blob([wrong])),
      (error) => error instanceof MoebiusError && error.code.startsWith('trace.'),
      wrong,
    );
  }
});

test('readTraceFile: tells how much of the file it has read, up to all of it', async () => {
  const packed = new Blob([new Uint8Array(gzipSync(traceText(3)))]);
  const told: number[] = [];
  await readTraceFile(packed, (bytes) => told.push(bytes));
  assert.equal(told.at(-1), packed.size);
  assert.deepEqual(
    told,
    told.toSorted((a, b) => a - b),
  );
});

test('rowsOfTrace: its columns cross to another thread without a copy and draw the same', async () => {
  const before = await rowsIn(traceText(3));
  const kept = structuredClone(before);
  const moved = structuredClone(before, { transfer: buffersOf(before) });
  assert.equal(before.starts.length, 0);
  const drawn = drawTraces({ simulated: moved }).timeline;
  const expected = drawTraces({ simulated: kept }).timeline;
  for (const [index, row] of expected.rows.entries()) {
    const { label, ...columns } = row;
    const { label: found, ...moving } = at(drawn.rows, index);
    assert.deepEqual(moving, columns);
    assert.equal(columns.busy.length, columns.starts.length + 1);
    const spans = [...columns.starts.keys()];
    assert.deepEqual(
      spans.map((span) => found(span)),
      spans.map((span) => label(span)),
    );
  }
});
