/** Walked steps as Chrome traces: what is in them, in which files, and what the check refuses. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { pipelineSchedule } from '../../src/policy/pipeline/pipelineSchedule.ts';
import { checkChromeTrace } from '../../src/program/checkChromeTrace.ts';
import {
  type ChromeTraceOptions,
  chromeTraceFiles,
  type TraceEvent,
  type TraceFile,
} from '../../src/program/chromeTrace.ts';
import { walkPrograms } from '../../src/simulator/walkPrograms.ts';
import { passCosts } from '../support/passCosts.ts';
import { programsOf, scheduleChoices } from '../support/pipelineStep.ts';

interface Trace {
  readonly schemaVersion: number;
  readonly traceEvents: readonly TraceEvent[];
}

function read(file: TraceFile): Trace {
  return JSON.parse([...file.pieces()].join('')) as Trace;
}

function walked(choice: Parameters<typeof pipelineSchedule>[0]): ChromeTraceOptions {
  const programs = programsOf(pipelineSchedule(choice));
  // Thirds of milliseconds do not fit into nanoseconds: rounding must not make spans overlap.
  const costs = { F: 0.001 / 3, B: 0.002 / 3, W: 0.0007 / 3, FB: 0.0026 / 3, message: 1e-5 / 3 };
  return { programs, spans: walkPrograms(programs, passCosts(costs)).spans };
}

test('chromeTraceFiles: the trace of any schedule passes the check, every span and message in it', () => {
  fc.assert(
    fc.property(scheduleChoices, (choice) => {
      const options = walked(choice);
      const files = [...chromeTraceFiles(options)];
      assert.deepEqual(
        files.map(({ name }) => name),
        ['trace.json'],
      );
      const trace = read(files[0] as TraceFile);
      assert.deepEqual(checkChromeTrace(trace), []);
      const count = (ph: string): number =>
        trace.traceEvents.filter((each) => each.ph === ph).length;
      assert.equal(count('X'), options.spans.length);
      const sends = options.spans.filter(({ name }) => name === 'send').length;
      assert.equal(count('s'), sends);
      assert.equal(count('f'), sends);
    }),
    { numRuns: 40 },
  );
});

test('chromeTraceFiles: a span is a rank, a stream, microseconds and what it worked on', () => {
  const options = walked({ name: 'dualpipe', numRanks: 2, numMicroBatches: 4 });
  const { traceEvents } = read([...chromeTraceFiles(options)][0] as TraceFile);
  const pair = traceEvents.find(({ cat }) => cat === 'pair');
  assert.equal(pair?.name, '1F3 & 0B0');
  assert.deepEqual(pair?.args, {
    instruction: pair?.args?.instruction,
    stage: 1,
    microBatch: 3,
    backwardStage: 0,
    backwardMicroBatch: 0,
  });
  // 2,600 / 3 µs between two times in whole nanoseconds.
  assert.ok(Math.abs((pair?.dur ?? 0) - 2600 / 3) < 0.001);
  const names = traceEvents.filter(({ name }) => name === 'process_name');
  assert.deepEqual(
    names.map(({ pid, args }) => [pid, args?.name]),
    [
      [0, 'rank 0'],
      [1, 'rank 1'],
    ],
  );
  const categories = new Set(traceEvents.map(({ cat }) => cat));
  for (const cat of ['forward', 'backward', 'weight', 'pair', 'message', 'optimizer']) {
    assert.ok(categories.has(cat), cat);
  }
});

test('chromeTraceFiles: an arrow leads from a send to the pass that it feeds', () => {
  const options = walked({ name: '1f1b', numRanks: 2, numMicroBatches: 2 });
  const { traceEvents } = read([...chromeTraceFiles(options)][0] as TraceFile);
  const heads = traceEvents.filter(({ ph }) => ph === 'f');
  const fed = heads.map(
    ({ pid, tid, ts }) =>
      traceEvents.find(
        (each) => each.ph === 'X' && each.pid === pid && each.tid === tid && each.ts === ts,
      )?.name,
  );
  assert.deepEqual(fed.sort(), ['0B0', '0B1', '1F0', '1F1']);
});

test('chromeTraceFiles: a class of ranks is a file with arrows inside it only, read in small pieces', () => {
  const options = walked({ name: 'dualpipe', numRanks: 8, numMicroBatches: 20 });
  const classes = [
    { name: 'ends', ranks: [0, 7], numAlike: 128 },
    { name: 'middle', ranks: [3, 4], numAlike: 128 },
  ];
  const files = [...chromeTraceFiles({ ...options, classes })];
  assert.deepEqual(
    files.map(({ name }) => name),
    ['trace-ends.json', 'trace-middle.json'],
  );
  for (const [index, file] of files.entries()) {
    const trace = read(file);
    assert.deepEqual(checkChromeTrace(trace), []);
    const ranks = new Set(trace.traceEvents.map(({ pid }) => pid));
    assert.deepEqual([...ranks], classes[index]?.ranks);
    const numArrows = trace.traceEvents.filter(({ ph }) => ph === 's').length;
    // Ranks 0 and 7 have nobody between them to talk to; 3 and 4 talk to each other.
    assert.equal(numArrows > 0, index === 1);
    assert.equal(
      trace.traceEvents[0]?.args?.name,
      `rank ${classes[index]?.ranks[0]}, one of 128 alike`,
    );
    for (const piece of file.pieces()) assert.ok(piece.length < 500);
  }
});

test('checkChromeTrace: every way of spoiling a trace is a complaint of its own', () => {
  const options = walked({ name: '1f1b', numRanks: 2, numMicroBatches: 2 });
  const good = read([...chromeTraceFiles(options)][0] as TraceFile);
  const first = (ph: string): number => good.traceEvents.findIndex((each) => each.ph === ph);
  const changed = (ph: string, change: object): unknown => ({
    ...good,
    traceEvents: good.traceEvents.with(first(ph), {
      ...(good.traceEvents[first(ph)] as TraceEvent),
      ...change,
    }),
  });
  const without = (ph: string): unknown => ({
    ...good,
    traceEvents: good.traceEvents.toSpliced(first(ph), 1),
  });
  const spoiled: readonly (readonly [unknown, RegExp])[] = [
    [null, /traceEvents is no list/],
    [{ traceEvents: [] }, /schemaVersion/],
    [{ ...good, traceEvents: [7] }, /has no name/],
    [changed('X', { ph: 'Y' }), /ph is Y/],
    [changed('X', { ts: -1 }), /ts is -1/],
    [changed('X', { dur: -1 }), /dur is -1/],
    [changed('X', { dur: Number.NaN }), /dur is NaN/],
    [changed('X', { dur: '3' }), /dur is 3/],
    [changed('X', { pid: 1.5 }), /pid is 1.5/],
    [changed('X', { tid: undefined }), /tid is undefined/],
    [changed('X', { cat: '' }), /has no cat/],
    [changed('X', { args: [] }), /args is no object/],
    [changed('X', { dur: 1e6 }), /begins in pid 0, tid 1 before event \d+ has ended/],
    [changed('X', { pid: 9 }), /pid 9 has no process_name/],
    [changed('M', { args: {} }), /names nothing/],
    [changed('s', { id: -1 }), /id is -1/],
    [changed('s', { ts: 1e9 }), /ends before it begins/],
    [without('s'), /ends and never begins/],
    [without('f'), /begins and never ends/],
    [without('M'), /pid 0 has no process_name/],
  ];
  for (const [trace, complaint] of spoiled) {
    assert.ok(
      checkChromeTrace(trace).some((each) => complaint.test(each)),
      `${complaint} in ${checkChromeTrace(trace).join('; ')}`,
    );
  }
});
