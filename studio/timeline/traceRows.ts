/**
 * Chrome traces as rows of a timeline: for each rank and stream what was measured, and right below,
 * on the same scale, what was simulated.
 *
 *     rank 0  compute   real       ├─ 0F0 ─┤├─ 0F1 ─┤░░░░├─ 0B0 ─┤
 *                       simulated  ├─ 0F0 ─┤├─ 0F1 ─┤░░├─ 0B0 ─┤
 *
 * Each trace begins at its own first span. Any trace that `moebius trace` reads will do, ours or a
 * profiler's, plain or gzip; one alone is drawn alone.
 *
 * A trace is read in a worker. What comes out of it is a few columns for all rows together, which
 * cross to the page without a copy; a row is a part of each (`drawTraces`).
 */
import { at } from '../../src/base/assert.ts';
import { createTraceBuilder } from '../../src/simulator/trace/buildTrace.ts';
import {
  type ClassifiedSpan,
  type ClassifiedStream,
  classifyDevices,
} from '../../src/simulator/trace/classifySpans.ts';
import type { Trace } from '../../src/simulator/trace/deviceTrace.ts';
import { lengthOf } from '../../src/simulator/trace/intervals.ts';
import { shortKernelName } from '../../src/simulator/trace/kernelName.ts';
import { scanTrace } from '../../src/simulator/trace/scanTrace.ts';
import {
  lanesOf,
  nameOfLane,
  type RowSource,
  type RowTitle,
  type SpanKind,
  spanKinds,
  type Timeline,
  type TimelineRow,
  timelineOf,
} from '../draw/timelineIndex.ts';

/**
 * @param onRead told how many of the file's bytes have been read
 * @throws trace.malformed, trace.event, trace.empty
 */
export async function readTraceFile(
  file: Blob,
  onRead: (bytes: number) => void = () => {},
): Promise<Trace> {
  const [first, second] = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  const isGzip = first === 0x1f && second === 0x8b;
  let read = 0;
  const counter = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform: (part, controller) => {
      read += part.length;
      onRead(read);
      controller.enqueue(part);
    },
  });
  const counted = file.stream().pipeThrough(counter);
  const bytes = isGzip ? counted.pipeThrough(new DecompressionStream('gzip')) : counted;
  const builder = createTraceBuilder('spans');
  const scanner = scanTrace(builder.add);
  const reader = bytes.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    scanner.push(part.value);
  }
  return builder.build(scanner.end());
}

/** What one trace says as a whole. */
export interface TraceSummary {
  readonly numDevices: number;
  readonly numSpans: number;
  readonly seconds: number;
  /** Of all devices' time, where no computing stream computes; null where there is none. */
  readonly bubbleShare: number | null;
}

/** A trace as it crosses from the worker to the page. */
export interface TraceRows {
  readonly summary: TraceSummary;
  readonly rows: readonly TraceRow[];
  /** As in `TimelineRow`, of all rows one behind another. */
  readonly starts: Float64Array<ArrayBuffer>;
  readonly ends: Float64Array<ArrayBuffer>;
  /** One more for each row than it has spans. */
  readonly busy: Float64Array<ArrayBuffer>;
  readonly kinds: Uint8Array<ArrayBuffer>;
  /** Positions in `texts`. */
  readonly labels: Uint32Array<ArrayBuffer>;
  readonly texts: readonly string[];
}

/** One lane of a device's stream: where it stands, and which spans are its own. */
export interface TraceRow {
  readonly device: string;
  readonly stream: string;
  readonly computes: boolean;
  readonly lane: number;
  readonly bubble: RowTitle['bubble'];
  readonly first: number;
  readonly last: number;
}

/** The memory of a trace's columns: what need not be copied. */
export function buffersOf({ starts, ends, busy, kinds, labels }: TraceRows): ArrayBuffer[] {
  return [starts, ends, busy, kinds, labels].map(({ buffer }) => buffer);
}

export function rowsOfTrace(trace: Trace): TraceRows {
  const devices = classifyDevices(trace.devices);
  const streams = devices.flatMap(({ streams: of }) => of);
  const numSpans = streams.reduce((sum, { spans }) => sum + spans.length, 0);
  const end = streams.reduce((last, { spans }) => spans.reduce(latest, last), 0);
  const computing = streams.filter(computes);
  const idle = computing.reduce((sum, { busy }) => sum + end - lengthOf(busy), 0);
  const lanes = devices.flatMap((device) =>
    device.streams.flatMap((stream) =>
      lanesOf(stream.spans).map((spans, lane) => ({ device: device.id, stream, lane, spans })),
    ),
  );
  const starts = new Float64Array(numSpans);
  const ends = new Float64Array(numSpans);
  const busy = new Float64Array(numSpans + lanes.length);
  const kinds = new Uint8Array(numSpans);
  const labels = new Uint32Array(numSpans);
  const texts = new Texts();
  let next = 0;
  const rows = lanes.map(({ device, stream, lane, spans }, index): TraceRow => {
    const first = next;
    let sum = 0;
    for (const span of spans) {
      starts[next] = span.start / 1e6;
      ends[next] = span.end / 1e6;
      sum += at(ends, next) - at(starts, next);
      busy[next + index + 1] = sum;
      kinds[next] = kindOf(span);
      labels[next] = texts.positionOf(span.name);
      next++;
    }
    const bubble = lane === 0 && computes(stream) ? { from: 0, to: end / 1e6 } : null;
    const place = { device, stream: nameOf(stream), computes: computes(stream), lane };
    return { ...place, bubble, first, last: next };
  });
  const share = computing.length === 0 || end === 0 ? null : idle / (end * computing.length);
  return {
    summary: { numDevices: devices.length, numSpans, seconds: end / 1e6, bubbleShare: share },
    rows,
    ...{ starts, ends, busy, kinds, labels, texts: texts.all },
  };
}

/** Kernels have few names: each is made short once. */
class Texts {
  readonly all: string[] = [];
  readonly #positions = new Map<string, number>();

  positionOf(name: string): number {
    const known = this.#positions.get(name);
    if (known !== undefined) return known;
    const position = this.all.push(shortKernelName(name)) - 1;
    this.#positions.set(name, position);
    return position;
  }
}

export interface TracePicture {
  readonly timeline: Timeline;
  readonly summaries: readonly (TraceSummary & { readonly source: RowSource })[];
}

export type TracesBySource = Readonly<Partial<Record<RowSource, TraceRows>>>;

export function drawTraces(traces: TracesBySource): TracePicture {
  const sources = (['real', 'simulated'] as const).flatMap((source) => {
    const trace = traces[source];
    return trace === undefined ? [] : [{ source, trace }];
  });
  const order = new Intl.Collator('en', { numeric: true });
  const rows = sources
    .flatMap(({ source, trace }) =>
      trace.rows.map((place, index) => ({ place, row: rowOf(trace, index, source) })),
    )
    // A stable sort: of one place what is real stays above what is simulated.
    .sort(
      ({ place: a }, { place: b }) =>
        order.compare(a.device, b.device) ||
        Number(b.computes) - Number(a.computes) ||
        order.compare(a.stream, b.stream),
    )
    .map(({ row }) => row);
  const summaries = sources.map(({ source, trace }) => ({ source, ...trace.summary }));
  return { timeline: timelineOf(rows), summaries };
}

function rowOf(trace: TraceRows, index: number, source: RowSource): TimelineRow {
  const { device, stream, lane, bubble, first, last } = at(trace.rows, index);
  const labels = trace.labels.subarray(first, last);
  return {
    name: nameOfLane(`${device} ${stream}`, lane),
    source,
    bubble,
    starts: trace.starts.subarray(first, last),
    ends: trace.ends.subarray(first, last),
    busy: trace.busy.subarray(first + index, last + index + 1),
    kinds: trace.kinds.subarray(first, last),
    label: (span) => trace.texts[labels[span] ?? -1] ?? '',
  };
}

function latest(last: number, { end }: ClassifiedSpan): number {
  return Math.max(last, end);
}

function computes({ role }: ClassifiedStream): boolean {
  return role === 'compute';
}

function nameOf({ name, id }: ClassifiedStream): string {
  return name === '' ? id : name;
}

const positions = new Map<string, number>(spanKinds.map((kind, position) => [kind, position]));

/** Our own traces say it as a category; of others the class of the kernel decides. */
function kindOf({ category, role }: ClassifiedSpan): number {
  return positions.get(category) ?? positions.get(kindOfRole(role)) ?? 0;
}

function kindOfRole(role: ClassifiedSpan['role']): SpanKind {
  switch (role) {
    case 'compute':
      return 'compute';
    case 'wait':
      return 'wait';
    case 'communication':
      return 'message';
    default:
      return role satisfies never;
  }
}
