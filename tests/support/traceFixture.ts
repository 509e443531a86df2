/** Small traces written event by event, and read back as the command reads a file. */
import { createTraceBuilder } from '../../src/simulator/trace/buildTrace.ts';
import type { Trace } from '../../src/simulator/trace/deviceTrace.ts';
import { scanTrace } from '../../src/simulator/trace/scanTrace.ts';

export type TraceEvent = Readonly<Record<string, unknown>>;

export interface KernelOptions {
  readonly name: string;
  readonly ts: number;
  readonly dur: number;
  readonly stream?: number;
  readonly device?: number;
  readonly correlation?: number;
  readonly grid?: readonly number[];
}

/** A kernel as PyTorch's profiler writes it. */
export function kernel(options: KernelOptions): TraceEvent {
  const { name, ts, dur, stream = 7, device = 0, correlation, grid } = options;
  return {
    ph: 'X',
    cat: 'kernel',
    name,
    pid: device,
    tid: stream,
    ts,
    dur,
    args: { device, stream, ...(correlation && { correlation }), ...(grid && { grid }) },
  };
}

/** The host's call that launched it. */
export function launch(options: {
  readonly correlation: number;
  readonly ts: number;
  readonly name?: string;
  readonly thread?: number;
}): TraceEvent {
  const { correlation, ts, name = 'cudaLaunchKernel', thread = 100 } = options;
  return {
    ph: 'X',
    cat: 'cuda_runtime',
    name,
    pid: 100,
    tid: thread,
    ts,
    dur: 1,
    args: { correlation },
  };
}

export function annotation(options: {
  readonly name: string;
  readonly ts: number;
  readonly dur: number;
  readonly thread?: number;
}): TraceEvent {
  const { name, ts, dur, thread = 100 } = options;
  return { ph: 'X', cat: 'user_annotation', name, pid: 100, tid: thread, ts, dur };
}

export function traceOf(
  events: readonly unknown[],
  top?: Readonly<Record<string, unknown>>,
): Trace {
  return traceOfText(JSON.stringify(top === undefined ? events : { ...top, traceEvents: events }));
}

export function traceOfText(text: string, chunkBytes: number = 1 << 16): Trace {
  const builder = createTraceBuilder();
  const scanner = scanTrace(builder.add);
  const bytes = new TextEncoder().encode(text);
  for (let i = 0; i < bytes.length; i += chunkBytes)
    scanner.push(bytes.subarray(i, i + chunkBytes));
  return builder.build(scanner.end());
}
