/**
 * Each native operation against the limits of the machine it runs on, measured in the same run.
 *
 *   node bench/operations.ts [--isa avx2] [--threads 1] [--only rope] [--cpu] [--tiny] [--json]
 *   node bench/operations.ts --backend reference --only sampleTokens
 *
 * Shapes are those of one training step of v3-mini (8 sequences of 512, hidden 256, 8 heads of
 * 32 + 16 and 32, 16 experts, 4 per token, vocabulary 8,192), and a decode step of v3-small
 * (16 heads, latents of 256 + 32). FLOPs and bytes are those that the simulator reckons with
 * (`kernels/operationCosts.ts`), so an operation that does more than it must shows as a smaller
 * share. Its limit is the larger of FLOPs / FMA peak and bytes / read speed; data that stays in
 * caches may pass it.
 *
 * Seconds are the least of several calls: the machine is shared, and what disturbs only adds. With
 * `--cpu` (one thread) they are CPU seconds, a mean, which other programs lengthen less. With the
 * backend `reference` the kernels in the language run instead, to compare: name what is small.
 * The last line is JSON.
 */
import { parseArgs } from 'node:util';
import { formatSeconds } from '../src/base/units.ts';
import type { Kernels, Operation, OperationArgs } from '../src/kernels/kernels.ts';
import { createNativeKernels, measureRoofline } from '../src/kernels/native.ts';
import { operationCost } from '../src/kernels/operationCosts.ts';
import { createReferenceKernels } from '../src/kernels/reference.ts';
import { hostArray } from '../src/tensor/tensor.ts';
import { nativeOf } from './nativeOf.ts';
import { operationCases } from './operationCases.ts';

interface Row {
  readonly name: string;
  readonly seconds: number;
  readonly gflopsPerSecond: number;
  readonly gigabytesPerSecond: number;
  /** Least possible seconds over measured ones. */
  readonly shareOfLimit: number;
  readonly bound: 'multiply-adds' | 'memory';
}

const { values } = parseArgs({
  options: {
    backend: { type: 'string', default: 'native' },
    isa: { type: 'string' },
    threads: { type: 'string' },
    only: { type: 'string', default: '' },
    cpu: { type: 'boolean', default: false },
    tiny: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});

const { addon, options, settings } = nativeOf(values);
const kernels = kernelsOf(values.backend);
const seconds = values.tiny ? 0.05 : 0.5;
const roofline = measureRoofline(addon, { ...options, seconds });
const rows: Row[] = [];
const arena = kernels.createArena('bench');
const base = arena.mark();

if (!values.json) {
  console.log(
    `${kernels.name}; ${settings.isa}, ${settings.threads} threads: ` +
      `${(roofline.flopsPerSecond / 1e9).toFixed(0)} GFLOP/s, ` +
      `read ${(roofline.readBytesPerSecond / 1e9).toFixed(1)} GB/s\n`,
  );
  console.log('operation                       time      GFLOP/s     GB/s   share of limit');
}
for (const { name, operation, lay } of operationCases) {
  if (!name.includes(values.only)) continue;
  measure(name, operation, lay({ arena, kernels, isTiny: values.tiny }));
  arena.release(base);
}
console.log(JSON.stringify({ backend: kernels.name, ...settings, ...roofline, operations: rows }));

function kernelsOf(backend: string): Kernels {
  if (backend === 'native') return createNativeKernels(addon, options);
  if (backend === 'reference') return createReferenceKernels();
  throw new Error(`--backend ${backend}: native or reference`);
}

function leastSeconds(run: () => void): number {
  let least = Number.POSITIVE_INFINITY;
  const deadline = performance.now() + (values.tiny ? 5 : 400);
  for (let i = 0; i < 3 || (performance.now() < deadline && i < 200); i++) {
    const start = performance.now();
    run();
    least = Math.min(least, (performance.now() - start) / 1000);
  }
  return least;
}

/** The system counts a thread's time in ticks of some milliseconds: so over many calls. */
function meanCpuSeconds(run: () => void): number {
  const cpuSeconds = (): number => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1e6;
  };
  const wanted = values.tiny ? 0.02 : 0.4;
  const start = cpuSeconds();
  let calls = 0;
  do {
    run();
    calls++;
  } while (cpuSeconds() - start < wanted);
  return (cpuSeconds() - start) / calls;
}

function measure<O extends Operation>(name: string, operation: O, args: OperationArgs<O>): void {
  const run = kernels[operation] as (args: OperationArgs<O>) => ReturnType<Kernels[O]>;
  run(args);
  const least = values.cpu ? meanCpuSeconds(() => run(args)) : leastSeconds(() => run(args));
  const cost = operationCost(operation, args, hostArray);
  const bytes = cost.bytesRead + cost.bytesWritten;
  const flops = cost.flops + cost.recomputedFlops;
  const byFlops = flops / roofline.flopsPerSecond;
  const byBytes = bytes / roofline.readBytesPerSecond;
  const row: Row = {
    name,
    seconds: least,
    gflopsPerSecond: flops / least / 1e9,
    gigabytesPerSecond: bytes / least / 1e9,
    shareOfLimit: Math.max(byFlops, byBytes) / least,
    bound: byFlops > byBytes ? 'multiply-adds' : 'memory',
  };
  rows.push(row);
  if (values.json) return;
  console.log(
    `${name.padEnd(28)} ${formatSeconds(least).padStart(9)} ` +
      `${row.gflopsPerSecond.toFixed(1).padStart(11)} ` +
      `${row.gigabytesPerSecond.toFixed(1).padStart(9)} ` +
      `${(100 * row.shareOfLimit).toFixed(0).padStart(6)} % ${row.bound}`,
  );
}
