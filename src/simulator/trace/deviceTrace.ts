/**
 * What is kept of a trace: per device its streams of spans, and what the host did for them.
 *
 * A device is a `pid` with kernels (PyTorch: a GPU; ours: a rank), a stream a `tid` of it. Times
 * are microseconds from the first span: the format's own unit, so that sums of whole numbers stay
 * exact; only reports are in seconds.
 */
import type { Interval } from './intervals.ts';

export interface TraceSpan extends Interval {
  /** Its place in the file, for messages. */
  readonly event: number;
  readonly name: string;
  readonly category: string;
  readonly stream: string;
  /** Thread blocks of the launch; null where the trace does not say. */
  readonly blocks: number | null;
  readonly correlation: number | null;
  readonly externalId: number | null;
}

export interface TraceStream {
  readonly id: string;
  /** As the trace calls it; empty where it does not. */
  readonly name: string;
  /** By start. */
  readonly spans: readonly TraceSpan[];
}

export interface TraceDevice {
  readonly id: string;
  readonly name: string;
  readonly streams: readonly TraceStream[];
}

/** The host's call that put a span on its stream. */
export interface Launch extends Interval {
  readonly process: string;
  readonly thread: string;
}

/** A named stretch of the host's time (`record_function`, NVTX). */
export interface Annotation extends Launch {
  readonly name: string;
}

/** A host call by which a stream waits for an event; which one is told by `sync` only. */
export interface WaitCall {
  readonly time: number;
  readonly process: string;
}

/** `cuda_sync` of newer profilers: `stream` waits for what `onStream` had been given before. */
export interface StreamWait {
  readonly device: string;
  readonly stream: string;
  readonly correlation: number;
  readonly onStream: string;
  readonly recordCorrelation: number;
}

/** An arrow from one span to another. */
export interface Flow {
  readonly from: TraceSpan;
  readonly to: TraceSpan;
}

export interface Trace {
  /** `profiler`: kernels under their categories. `timeline`: every complete event is a span. */
  readonly kind: 'profiler' | 'timeline';
  readonly name: string;
  /** The recording's zero on the file's clock, microseconds. */
  readonly origin: number;
  readonly devices: readonly TraceDevice[];
  readonly launches: ReadonlyMap<number, Launch>;
  /** CPU operations by "External id", for kernels without a correlation. */
  readonly operations: ReadonlyMap<number, Launch>;
  readonly annotations: readonly Annotation[];
  readonly waitCalls: readonly WaitCall[];
  readonly streamWaits: readonly StreamWait[];
  readonly flows: readonly Flow[];
  readonly gpu: { readonly name: string; readonly numSms: number } | null;
  readonly rank: number | null;
  readonly worldSize: number | null;
  /** What was left out or mended, in sentences. */
  readonly notices: readonly string[];
}
