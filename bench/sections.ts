/**
 * What it costs to hand work to the pool's threads and to get it back (`csrc/pool.cpp`).
 *
 *   node bench/sections.ts [--isa avx2] [--threads 2] [--tiny] [--json]
 *
 * A section is `rooflineFma` without a step: nothing is computed. First many sections in one call,
 * one behind another, with both sides spinning: seconds of one on all threads less those on one.
 * Then single sections, each behind a pause in which the caller computes and the pool has nothing
 * to do: a worker that waited in vain for two milliseconds sleeps and has to be woken. A share that
 * no worker has begun by then is the caller's, and as these are empty it mostly is.
 * Medians and tenths, as what disturbs belongs to it. The last line is JSON.
 */
import { parseArgs } from 'node:util';
import { at } from '../src/base/assert.ts';
import { median } from '../src/base/median.ts';
import { formatSeconds } from '../src/base/units.ts';
import { NativeHost } from '../src/kernels/native/host.ts';
import { nativeOf } from './nativeOf.ts';

interface Row {
  /** Seconds without work before a section; 0 where one follows another. */
  readonly pauseSeconds: number;
  readonly medianSeconds: number;
  /** A tenth takes no longer, a tenth no less. */
  readonly tenthSeconds: number;
  readonly ninthTenthSeconds: number;
}

const { values } = parseArgs({
  options: {
    isa: { type: 'string' },
    threads: { type: 'string' },
    tiny: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});

const { addon, settings } = nativeOf(values);
const { isa, threads } = settings;
const SECTIONS = 100;
const section = addon.operations.indexOf('rooflineFma');
const alone = hostOf(1);
const together = hostOf(threads);
const PAUSES = values.tiny ? [0.0003, 0.002] : [0.0001, 0.0003, 0.0005, 0.002, 0.005, 0.02];

const rows: Row[] = [rowOf(0, inSuccession())];
for (const pause of PAUSES) rows.push(rowOf(pause, behindPauses(pause)));
if (!values.json) for (const row of rows) print(row);
console.log(JSON.stringify({ isa, threads, sections: rows }));

/** A host whose arguments are `SECTIONS` sections. */
function hostOf(numThreads: number): NativeHost {
  const host = new NativeHost(addon, addon.isas.indexOf(isa), numThreads);
  for (let i = 0; i < SECTIONS; i++) host.arguments.set([section, 1, 0], 3 * i);
  return host;
}

/** Seconds of a section in each call of `SECTIONS`. */
function inSuccession(): number[] {
  const calls = Array.from({ length: values.tiny ? 20 : 2000 }, () => {
    const one = seconds(() => alone.run(SECTIONS));
    return (seconds(() => together.run(SECTIONS)) - one) / SECTIONS;
  });
  // The first calls start threads and find them where they are.
  return calls.slice(calls.length / 10);
}

/** Seconds of each section behind a pause. */
function behindPauses(pause: number): number[] {
  const count = values.tiny ? 5 : Math.ceil(Math.min(1000, 2 / pause));
  together.run(SECTIONS);
  return Array.from({ length: count }, () => {
    const end = performance.now() + 1e3 * pause;
    while (performance.now() < end);
    return seconds(() => together.run(1));
  });
}

function seconds(work: () => void): number {
  const start = performance.now();
  work();
  return (performance.now() - start) / 1e3;
}

function rowOf(pauseSeconds: number, times: readonly number[]): Row {
  const sorted = times.toSorted((a, b) => a - b);
  const tenth = Math.floor(sorted.length / 10);
  return {
    pauseSeconds,
    medianSeconds: median(times),
    tenthSeconds: at(sorted, tenth),
    ninthTenthSeconds: at(sorted, sorted.length - 1 - tenth),
  };
}

function print({ pauseSeconds, medianSeconds, tenthSeconds, ninthTenthSeconds }: Row): void {
  const when = pauseSeconds === 0 ? 'in succession' : `behind ${formatSeconds(pauseSeconds)}`;
  const range = `${formatSeconds(tenthSeconds)} to ${formatSeconds(ninthTenthSeconds)}`;
  console.log(`${when.padEnd(16)} ${formatSeconds(medianSeconds).padStart(9)}   (${range})`);
}
