/**
 * The chain of spans that leaves no slack, walked backwards from the span that ends last.
 *
 * What a span waited for is the latest to end among
 *
 *   1. its stream's span before it (streams run in order),
 *   2. spans that the trace names: flow arrows, and `cuda_sync` stream waits of newer profilers,
 *   3. where the trace names no such edge at all, and within a rank of a timeline, whose arrows are
 *      messages: the span of another stream that ended last before it began. That is a guess. It
 *      is made only where the host put a wait for an event between the stream's last launch and
 *      this one (where such calls are recorded), and never when the stream's own span before ended
 *      within `LAUNCH_GAP`.
 *
 * Time between two spans of the chain is the host's when the launch began after the first had
 * ended. Steps and gaps add up to the whole window exactly.
 */
import { at } from '../../base/assert.ts';
import type { ClassifiedDevice, ClassifiedSpan } from './classifySpans.ts';
import type { StreamWait, Trace } from './deviceTrace.ts';
import { windowOf } from './intervals.ts';
import type { KernelClass } from './kernelClasses.ts';
import { launchOf } from './phases.ts';

export type PathEdge = 'stream' | 'recorded' | 'guessed' | 'none';

export interface PathStep {
  readonly device: string;
  readonly span: ClassifiedSpan;
  /** What of the span lies on the path, microseconds. */
  readonly time: number;
  /** Between the end of what it waited for (or the window's start) and its own start. */
  readonly gapBefore: number;
  readonly gapCause: 'host' | 'unknown';
  /** How the step before it was found. */
  readonly edge: PathEdge;
}

export interface CriticalPath {
  /** Which edges between streams could be known: recorded ones, guesses at waits, or guesses. */
  readonly method: 'recorded' | 'wait-calls' | 'approximate';
  /** In order of time. */
  readonly steps: readonly PathStep[];
  readonly busy: number;
  readonly hostGap: number;
  readonly otherGap: number;
  readonly byClass: ReadonlyMap<KernelClass, number>;
}

/** Kernels of one stream follow each other within this, microseconds. */
const LAUNCH_GAP = 5;

interface Node {
  readonly device: string;
  readonly stream: string;
  readonly span: ClassifiedSpan;
  /** Its place in its stream. */
  readonly index: number;
}

interface Lane {
  readonly device: string;
  readonly nodes: readonly Node[];
  readonly byEnd: readonly Node[];
}

export function criticalPath(trace: Trace, devices: readonly ClassifiedDevice[]): CriticalPath {
  const lanes = new Map(
    devices.flatMap((device) =>
      device.streams.map((stream) => {
        // On a timeline who waits for a message does nothing; what it waits for has an arrow.
        const isTimeline = trace.kind === 'timeline';
        const spans = stream.spans.filter(({ role }) => !isTimeline || role !== 'wait');
        const nodes = spans.map((span, index) => ({
          device: device.id,
          stream: stream.id,
          span,
          index,
        }));
        const byEnd = nodes.toSorted((a, b) => a.span.end - b.span.end || a.index - b.index);
        return [laneKey(device.id, stream.id), { device: device.id, nodes, byEnd }] as const;
      }),
    ),
  );
  const all = [...lanes.values()].flatMap(({ nodes }) => nodes);
  const recorded = recordedEdges(trace, { lanes, all });
  const method =
    recorded.size > 0 ? 'recorded' : trace.waitCalls.length > 0 ? 'wait-calls' : 'approximate';
  const visited = new Set<Node>();
  const steps: PathStep[] = [];
  const window = windowOf(all.map(({ span }) => span)) ?? { start: 0, end: 0 };
  let cursor = window.end;
  let node: Node | undefined = all.reduce<Node | undefined>(
    (last, each) => (last === undefined || each.span.end > last.span.end ? each : last),
    undefined,
  );
  while (node !== undefined) {
    visited.add(node);
    const { span, device } = node;
    const before = predecessor(trace, node, { lanes, recorded, method, visited });
    const from = before.node?.span.end ?? window.start;
    const start = Math.min(span.start, cursor);
    const gapBefore = Math.max(0, start - from);
    const launch = launchOf(trace, span);
    const isHost = launch !== undefined && launch.start >= from;
    steps.push({
      device,
      span,
      time: Math.min(span.end, cursor) - start,
      gapBefore,
      gapCause: isHost ? 'host' : 'unknown',
      edge: before.edge,
    });
    cursor = start - gapBefore;
    node = before.node;
  }
  return summarize(steps.reverse(), method);
}

function summarize(steps: readonly PathStep[], method: CriticalPath['method']): CriticalPath {
  const byClass = new Map<KernelClass, number>();
  let [busy, hostGap, otherGap] = [0, 0, 0];
  for (const { span, time, gapBefore, gapCause } of steps) {
    byClass.set(span.kernelClass, (byClass.get(span.kernelClass) ?? 0) + time);
    busy += time;
    if (gapCause === 'host') hostGap += gapBefore;
    else otherGap += gapBefore;
  }
  return { method, steps, busy, hostGap, otherGap, byClass };
}

interface Search {
  readonly lanes: ReadonlyMap<string, Lane>;
  readonly recorded: ReadonlyMap<ClassifiedSpan, readonly Node[]>;
  readonly method: CriticalPath['method'];
  readonly visited: ReadonlySet<Node>;
}

function predecessor(
  trace: Trace,
  node: Node,
  { lanes, recorded, method, visited }: Search,
): { node?: Node; edge: PathEdge } {
  const { span, device, stream, index } = node;
  const lane = lanes.get(laneKey(device, stream));
  const inStream = lane?.nodes[index - 1];
  let best: Node | undefined =
    inStream !== undefined && visited.has(inStream) ? undefined : inStream;
  let edge: PathEdge = best === undefined ? 'none' : 'stream';
  for (const source of recorded.get(span) ?? []) {
    if (visited.has(source) || (best !== undefined && source.span.end <= best.span.end)) continue;
    best = source;
    edge = 'recorded';
  }
  const isComplete = method === 'recorded' && trace.kind === 'profiler';
  const isClose = inStream !== undefined && span.start - inStream.span.end <= LAUNCH_GAP;
  if (isComplete || isClose || !mayWait(trace, span, inStream?.span)) {
    return best === undefined ? { edge } : { node: best, edge };
  }
  for (const other of lanes.values()) {
    if (other.device !== device || other === lane) continue;
    const found = lastBefore(other.byEnd, { time: span.start, visited });
    if (found === undefined || (best !== undefined && found.span.end <= best.span.end)) continue;
    best = found;
    edge = 'guessed';
  }
  return best === undefined ? { edge } : { node: best, edge };
}

/** Whether the host put a wait between the stream's launch before and this one's, if it tells. */
function mayWait(trace: Trace, span: ClassifiedSpan, before: ClassifiedSpan | undefined): boolean {
  const { waitCalls } = trace;
  if (waitCalls.length === 0) return true;
  const launch = launchOf(trace, span);
  if (launch === undefined) return true;
  const previous = before === undefined ? undefined : launchOf(trace, before);
  const from = previous?.start ?? Number.NEGATIVE_INFINITY;
  let [low, high] = [0, waitCalls.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (at(waitCalls, middle).time <= launch.start) low = middle + 1;
    else high = middle;
  }
  for (let i = low - 1; i >= 0 && at(waitCalls, i).time > from; i--) {
    if (at(waitCalls, i).process === launch.process) return true;
  }
  return false;
}

function lastBefore(
  byEnd: readonly Node[],
  { time, visited }: { time: number; visited: ReadonlySet<Node> },
): Node | undefined {
  let [low, high] = [0, byEnd.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (at(byEnd, middle).span.end <= time) low = middle + 1;
    else high = middle;
  }
  for (let i = low - 1; i >= 0; i--) if (!visited.has(at(byEnd, i))) return at(byEnd, i);
  return undefined;
}

/** What the trace itself says that a span waited for. */
function recordedEdges(
  trace: Trace,
  { lanes, all }: { lanes: ReadonlyMap<string, Lane>; all: readonly Node[] },
): Map<ClassifiedSpan, Node[]> {
  const edges = new Map<ClassifiedSpan, Node[]>();
  const link = (from: Node | undefined, to: Node | undefined): void => {
    if (from === undefined || to === undefined) return;
    edges.set(to.span, [...(edges.get(to.span) ?? []), from]);
  };
  if (trace.flows.length > 0) {
    const byEvent = new Map(all.map((node) => [node.span.event, node]));
    for (const { from, to } of trace.flows) link(byEvent.get(from.event), byEvent.get(to.event));
  }
  const ordered = new Map<string, readonly Node[]>();
  const launched = (device: string, stream: string): readonly Node[] => {
    const key = laneKey(device, stream);
    const known = ordered.get(key);
    if (known !== undefined) return known;
    const nodes = (lanes.get(key)?.nodes ?? []).filter(({ span }) => span.correlation !== null);
    const sorted = nodes.toSorted((a, b) => callOf(a) - callOf(b));
    ordered.set(key, sorted);
    return sorted;
  };
  for (const wait of trace.streamWaits) linkWait(wait, { launched, link });
  return edges;
}

/** Correlations count the host's calls, so they order launches, records and waits. */
function linkWait(
  { device, stream, onStream, correlation, recordCorrelation }: StreamWait,
  {
    launched,
    link,
  }: {
    launched: (device: string, stream: string) => readonly Node[];
    link: (from: Node | undefined, to: Node | undefined) => void;
  },
): void {
  const waiting = launched(device, stream).find((node) => callOf(node) > correlation);
  const awaited = launched(device, onStream).findLast((node) => callOf(node) < recordCorrelation);
  link(awaited, waiting);
}

function callOf({ span }: Node): number {
  return span.correlation ?? -1;
}

function laneKey(device: string, stream: string): string {
  return `${device}\u0000${stream}`;
}
