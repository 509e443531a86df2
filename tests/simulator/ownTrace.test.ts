/** Our own traces, written for a plan's programs and read back: the same seconds on both sides. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findCluster } from '../../src/config/clusters/clusters.ts';
import { parseLayout, type TrainingPlan } from '../../src/config/parallelPlan.ts';
import { v3Small } from '../../src/config/presets/small.ts';
import { planPrograms } from '../../src/planner/pipelinePlan.ts';
import { simulatePlan } from '../../src/planner/simulatePlan.ts';
import { chromeTraceFiles } from '../../src/program/chromeTrace.ts';
import { analyzeTrace, type TraceReport } from '../../src/simulator/trace/analyzeTrace.ts';
import { createTraceBuilder } from '../../src/simulator/trace/buildTrace.ts';
import { scanTrace } from '../../src/simulator/trace/scanTrace.ts';
import { slowestOf } from '../../src/simulator/variation.ts';

const plan: TrainingPlan = {
  layout: parseLayout('pp4,ep8,zero1', 32),
  schedule: '1f1b',
  chunksPerRank: 1,
  globalBatch: 64,
  microBatchSize: 1,
  sequenceLength: 1024,
  precision: 'bf16',
  recompute: 'none',
  mtp: false,
};

const step = simulatePlan({ model: v3Small, cluster: findCluster('h800x32'), plan });
const { programs } = planPrograms(v3Small, plan, step.stages);

function reportOf(): TraceReport {
  const builder = createTraceBuilder();
  const scanner = scanTrace(builder.add);
  const encoder = new TextEncoder();
  for (const file of chromeTraceFiles({ spans: step.spans, programs })) {
    for (const piece of file.pieces()) scanner.push(encoder.encode(piece));
  }
  return analyzeTrace(builder.build(scanner.end()));
}

test('A simulated step’s trace: every rank’s bubble is the simulator’s', () => {
  const report = reportOf();
  assert.equal(report.kind, 'timeline');
  assert.deepEqual(
    report.devices.map(({ id }) => id),
    ['0', '1', '2', '3'],
  );
  assert.deepEqual(report.notices, []);
  const ends = step.spans.map(({ end }) => end);
  const wall = Math.max(...ends) - Math.min(...step.spans.map(({ start }) => start));
  // Times are written in whole nanoseconds.
  assert.ok(Math.abs(report.wallSeconds - wall) < 1e-8);
  for (const [rank, { bubble }] of step.phasesOfRank.entries()) {
    const device = report.devices[rank];
    // The simulator's bubble holds the sends that no pass hides.
    const sends = device?.overlap.exposedSeconds ?? 0;
    const found = device?.bubbleSeconds ?? 0;
    assert.ok(found <= bubble + 1e-8 && found >= bubble - sends, `${rank}: ${found}, ${bubble}`);
  }
});

test('A simulated step’s trace: the critical path goes through all ranks and fills the step', () => {
  const { criticalPath: path, wallSeconds } = reportOf();
  assert.equal(path.method, 'recorded');
  // Somebody always works or sends, or waits for the slowest GPU of all 32, which is in another
  // pipeline: every dependency was found.
  const gaps = path.hostGapSeconds + path.otherGapSeconds;
  const waits = slowestOf(32) / slowestOf(8) - 1;
  assert.ok(gaps <= waits * wallSeconds + 1e-8, `${gaps} of ${wallSeconds}`);
  assert.ok(Math.abs(path.busySeconds + gaps - wallSeconds) < 1e-8);
});
