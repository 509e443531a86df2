/**
 * A large Chrome trace as our own commands write them: one pipeline simulated, and its file written
 * once for each replica under ranks of its own.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { lower, wholeStep } from '../../src/policy/pipeline/lower.ts';
import { pipelineSchedule } from '../../src/policy/pipeline/pipelineSchedule.ts';
import { chromeTraceEvents, type TraceEvent } from '../../src/program/chromeTrace.ts';
import { walkPrograms } from '../../src/simulator/walkPrograms.ts';
import { passCosts } from './passCosts.ts';
import { stepSettings } from './pipelineStep.ts';

export interface WrittenTrace {
  readonly bytes: number;
  readonly spans: number;
  readonly ranks: number;
}

/** PP 16 with 128 micro-batches: 10,274 spans for each replica, in 2.5 MB. */
export function writeSimulatedTrace(path: string, replicas: number): WrittenTrace {
  const schedule = pipelineSchedule({ name: 'dualpipe', numRanks: 16, numMicroBatches: 128 });
  const normalizers = { main: 1, mtp: [] };
  const programs = wholeStep(lower({ schedule, settings: stepSettings, normalizers }));
  const costs = passCosts({ F: 0.01, B: 0.02, W: 0.01, FB: 0.025, message: 0.0025 });
  const { spans } = walkPrograms(programs, costs);
  const ranks = programs.map(({ rank }) => rank);
  const events = [...chromeTraceEvents({ spans, programs }, { name: 'all', ranks })];
  const arrows = events.filter(({ ph }) => ph === 's').length;
  const file = openSync(path, 'w');
  let bytes = writeSync(file, '{"schemaVersion":1,"displayTimeUnit":"ms","traceEvents":[\n');
  for (let replica = 0; replica < replicas; replica++) {
    const moved = events.map((event) => JSON.stringify(ofReplica(event, replica, arrows)));
    const isLast = replica === replicas - 1;
    bytes += writeSync(file, `${moved.join(',\n')}${isLast ? '\n]}\n' : ',\n'}`);
  }
  closeSync(file);
  return { bytes, spans: spans.length * replicas, ranks: ranks.length * replicas };
}

function ofReplica(event: TraceEvent, replica: number, arrows: number): TraceEvent {
  const pid = event.pid + 16 * replica;
  const id = event.id === undefined ? {} : { id: event.id + arrows * replica };
  const isName = event.name === 'process_name';
  return { ...event, pid, ...id, ...(isName ? { args: { name: `rank ${pid}` } } : {}) };
}
