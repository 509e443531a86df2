/**
 * Sorts the events of a trace into devices, streams and host calls while they come in.
 *
 * A PyTorch trace marks its kernels by category. A trace without such categories (ours, or another
 * simulator's) is a plain timeline: every complete event is a span of stream `tid` on rank `pid`,
 * begin and end events are paired into spans. Profilers leave scars, so this is lenient where
 * nothing is lost: order does not matter, exact duplicates count once, spans without an end are
 * left out, and every such thing is told. What cannot be read is refused (`traceEvents.ts`).
 */
import { at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import type {
  Annotation,
  Flow,
  Launch,
  StreamWait,
  Trace,
  TraceDevice,
  TraceSpan,
  WaitCall,
} from './deviceTrace.ts';
import type { ScannedTop } from './scanTrace.ts';
import { blocksOf, type EventReader, type Json, readEvent } from './traceEvents.ts';

export interface TraceBuilder {
  add(event: unknown, index: number): void;
  /** @throws trace.empty when no span is there */
  build(top: ScannedTop): Trace;
}

const DEVICE = new Set(['kernel', 'gpu_memcpy', 'gpu_memset', 'Kernel', 'Memcpy', 'Memset']);
const LAUNCH = new Set(['cuda_runtime', 'cuda_driver', 'Runtime', 'hip_runtime']);
const ANNOTATION = new Set(['user_annotation', 'nvtx']);
/** Arrows between host calls and kernels, or forward and backward; correlations tell more. */
const HOST_FLOWS = new Set(['ac2g', 'fwdbwd', 'async_cpu_to_gpu']);

/** Spans by device and stream, as they came; their times become those of the trace in place. */
type SpanLists = Map<string, Map<string, MovableSpan[]>>;

type MovableSpan = { -readonly [Key in keyof TraceSpan]: TraceSpan[Key] };

interface FlowEnd {
  readonly device: string;
  readonly stream: string;
  readonly time: number;
  readonly id: string;
  /** Bound to the span around it (`bp: "e"`), not to the next one. */
  readonly isEnclosing: boolean;
}

/** `spans`: what a picture needs, without arrows and host calls, which are half of a trace. */
export type TraceContent = 'everything' | 'spans';

export function createTraceBuilder(content: TraceContent = 'everything'): TraceBuilder {
  const kernels: SpanLists = new Map();
  /** Complete events of no device's category: spans of a plain timeline. */
  const others: SpanLists = new Map();
  const open = new Map<string, { name: string; category: string; start: number }[]>();
  const names = new Map<string, string>();
  const texts = new Map<string, string>();
  const launches = new Map<number, Launch | null>();
  const operations = new Map<number, Launch | null>();
  const annotations: Annotation[] = [];
  const waitCalls: WaitCall[] = [];
  const streamWaits: StreamWait[] = [];
  const flowStarts: FlowEnd[] = [];
  const flowEnds: FlowEnd[] = [];
  const counts = { host: 0, withoutEnd: 0, unknown: 0, unpaired: 0 };

  /** One copy of each text: kernels' names are long and few. */
  function intern(text: string): string {
    const known = texts.get(text);
    if (known !== undefined) return known;
    texts.set(text, text);
    return text;
  }

  function complete(event: EventReader): void {
    const category = event.text('cat');
    const start = event.number('ts');
    const duration = event.duration();
    const isDevice = DEVICE.has(category);
    const isHost = LAUNCH.has(category) || ANNOTATION.has(category) || category === 'cpu_op';
    if (duration === null) {
      counts.withoutEnd++;
      return;
    }
    const end = start + duration;
    if (isHost) host(event, { category, start, end });
    else if (category === 'cuda_sync') sync(event);
    else if (!IGNORED.has(category) || isDevice) {
      const span = spanOf(event, { category, start, end, isDevice });
      addSpan(isDevice ? kernels : others, event.id('pid'), span);
    }
  }

  function spanOf(
    event: EventReader,
    { category, start, end, isDevice }: Stretch & { isDevice: boolean },
  ): MovableSpan {
    const stream = event.argument('stream');
    return {
      event: event.index,
      name: intern(event.text('name')),
      category: intern(category),
      stream: isDevice && stream !== null ? String(stream) : event.id('tid'),
      start,
      end,
      blocks: blocksOf(event),
      correlation: event.argument('correlation'),
      externalId: event.argument('External id'),
    };
  }

  function host(event: EventReader, { category, start, end }: Stretch): void {
    counts.host++;
    if (content === 'spans') return;
    const call = { process: event.id('pid'), thread: event.id('tid'), start, end };
    const name = event.text('name');
    if (ANNOTATION.has(category)) annotations.push({ ...call, name });
    else if (category === 'cpu_op') note(operations, event.argument('External id'), call);
    else {
      note(launches, event.argument('correlation'), call);
      if (/StreamWaitEvent$/.test(name)) waitCalls.push({ time: start, process: call.process });
    }
  }

  function sync(event: EventReader): void {
    if (event.text('name') !== 'Stream Wait Event') return;
    const [stream, onStream] = [event.argument('stream'), event.argument('wait_on_stream')];
    const recordCorrelation = event.argument('wait_on_cuda_event_record_corr_id');
    const correlation = event.argument('correlation');
    if (stream === null || onStream === null) return;
    if (recordCorrelation === null || correlation === null) return;
    streamWaits.push({
      device: event.id('pid'),
      stream: String(stream),
      onStream: String(onStream),
      correlation,
      recordCorrelation,
    });
  }

  /** Begin and end events of one thread nest. */
  function paired(event: EventReader): void {
    const key = `${event.id('pid')}\u0000${event.id('tid')}`;
    const stack = open.get(key) ?? [];
    open.set(key, stack);
    const time = event.number('ts');
    if (event.phase === 'B') {
      stack.push({ name: event.text('name'), category: event.text('cat'), start: time });
      return;
    }
    const begun = stack.pop();
    if (begun === undefined) counts.unpaired++;
    else {
      const stretch = { category: begun.category, start: begun.start, end: time, isDevice: false };
      const span = spanOf(event, stretch);
      span.name = intern(begun.name);
      addSpan(others, event.id('pid'), span);
    }
  }

  function metadata(event: EventReader): void {
    const { name, labels } = event.args;
    const [pid, tid] = [event.id('pid'), event.id('tid')];
    switch (event.text('name')) {
      case 'process_name':
        if (typeof name === 'string' && !names.has(pid)) names.set(pid, name.trim());
        break;
      case 'process_labels':
        // PyTorch calls every process "python3" and says which GPU in the label.
        if (typeof labels === 'string' && labels !== '') names.set(pid, labels.trim());
        break;
      case 'thread_name':
        if (typeof name === 'string') names.set(`${pid}\u0000${tid}`, name.trim());
        break;
    }
  }

  function flow(event: EventReader): void {
    if (content === 'spans') return;
    if (HOST_FLOWS.has(event.text('cat'))) return;
    const end: FlowEnd = {
      device: event.id('pid'),
      stream: event.id('tid'),
      time: event.number('ts'),
      id: `${event.text('cat')}\u0000${event.text('name')}\u0000${event.id('id')}`,
      isEnclosing: event.phase === 's' || event.text('bp') === 'e',
    };
    (event.phase === 's' ? flowStarts : flowEnds).push(end);
  }

  return {
    add: (raw, index) => {
      const event = readEvent(raw, index);
      switch (event.phase) {
        case 'X':
          return complete(event);
        case 'B':
        case 'E':
          return paired(event);
        case 'M':
          return metadata(event);
        case 's':
        case 'f':
          return flow(event);
        default:
          if (!QUIET.has(event.phase)) counts.unknown++;
      }
    },
    build: ({ properties, isClosed, numEvents }) => {
      const kind = kernels.size > 0 ? 'profiler' : 'timeline';
      const all = kind === 'profiler' ? kernels : others;
      if (all.size === 0) refuseEmpty(numEvents, counts.host);
      const duplicates = sortSpans(all);
      const origin = firstStart(all);
      const shift = <T extends { start: number; end: number }>(span: T): T => ({
        ...span,
        start: nanoseconds(span.start - origin),
        end: nanoseconds(span.end - origin),
      });
      const devices = devicesOf(all, { names, origin });
      const unfinished = [...open.values()].reduce((sum, stack) => sum + stack.length, 0);
      const ends = { starts: flowStarts, ends: flowEnds, origin };
      const paired = pairFlows(devices, ends);
      return {
        kind,
        name: typeof properties.traceName === 'string' ? properties.traceName : '',
        origin,
        devices,
        launches: known(launches, shift),
        operations: known(operations, shift),
        annotations: annotations.map(shift).sort((a, b) => a.start - b.start || b.end - a.end),
        waitCalls: waitCalls
          .map((call) => ({ ...call, time: nanoseconds(call.time - origin) }))
          .sort((a, b) => a.time - b.time),
        streamWaits,
        flows: paired.flows,
        ...aboutMachine(properties),
        notices: noticesOf([
          [counts.withoutEnd, 'complete events without "dur" were left out'],
          [counts.unpaired + unfinished, 'begin and end events had no partner'],
          [counts.unknown, 'events of unknown phases were left out'],
          [duplicates, 'events were there twice and count once'],
          [paired.unbound, 'flow events had no partner or no span'],
          [isClosed ? 0 : 1, 'bracket was missing: the recorder was stopped early'],
        ]),
      };
    },
  };
}

/** Whole nanoseconds: a span's start plus its duration must not pass the next one's start. */
function nanoseconds(microseconds: number): number {
  return Math.round(microseconds * 1e3) / 1e3;
}

interface Stretch {
  readonly category: string;
  readonly start: number;
  readonly end: number;
}

/** Categories that are neither work nor cause: Python frames, the profiler's own, annotations. */
const IGNORED = new Set(['python_function', 'Trace', 'gpu_user_annotation', 'overhead']);

/** Phases that carry nothing for us: instants, counters, asynchronous and object events … */
const QUIET = new Set([...'iICnbeNODSTFpPRcvVt()a', 'A']);

function refuseEmpty(numEvents: number, numHostEvents: number): never {
  const isHostOnly = numHostEvents > 0;
  const message = isHostOnly ? 'the trace has host events only' : 'the trace has no spans';
  throw new MoebiusError('trace.empty', message, {
    values: { events: numEvents },
    hint: isHostOnly
      ? 'Record with ProfilerActivity.CUDA, so that kernels are in the trace.'
      : 'Record again while work is running; complete events ("ph": "X") are what counts.',
  });
}

/** Two calls under one number (several processes in one file) explain nothing. */
function note(calls: Map<number, Launch | null>, key: number | null, call: Launch): void {
  if (key !== null) calls.set(key, calls.has(key) ? null : call);
}

function known(
  calls: ReadonlyMap<number, Launch | null>,
  shift: (call: Launch) => Launch,
): Map<number, Launch> {
  const found = new Map<number, Launch>();
  for (const [key, call] of calls) if (call !== null) found.set(key, shift(call));
  return found;
}

function addSpan(lists: SpanLists, device: string, span: MovableSpan): void {
  let streams = lists.get(device);
  if (streams === undefined) {
    streams = new Map();
    lists.set(device, streams);
  }
  const list = streams.get(span.stream);
  if (list === undefined) streams.set(span.stream, [span]);
  else list.push(span);
}

/** Sorts each stream and takes out what is there twice. Gives how many those were. */
function sortSpans(lists: SpanLists): number {
  let duplicates = 0;
  for (const streams of lists.values()) {
    for (const [stream, spans] of streams) {
      const kept = withoutDuplicates(spans.sort(byStart));
      duplicates += spans.length - kept.length;
      streams.set(stream, kept);
    }
  }
  return duplicates;
}

function byStart(a: TraceSpan, b: TraceSpan): number {
  return a.start - b.start || a.end - b.end || a.event - b.event;
}

/** Of sorted spans: two that are the same begin and end together. */
function withoutDuplicates(spans: MovableSpan[]): MovableSpan[] {
  let seen: Set<string> | null = null;
  const isKept = (span: MovableSpan, index: number): boolean => {
    const before = spans[index - 1];
    const isTogether = before?.start === span.start && before.end === span.end;
    if (!isTogether) seen = null;
    const after = spans[index + 1];
    if (!isTogether && (after?.start !== span.start || after.end !== span.end)) return true;
    seen ??= new Set();
    const key = `${span.correlation}\u0000${span.name}`;
    return !seen.has(key) && seen.add(key) !== null;
  };
  return spans.filter(isKept);
}

function firstStart(lists: SpanLists): number {
  let first = Number.POSITIVE_INFINITY;
  for (const streams of lists.values()) {
    for (const [span] of streams.values()) first = Math.min(first, span?.start ?? first);
  }
  return first;
}

/** Devices with their streams; spans are moved to the trace's own zero. */
function devicesOf(
  lists: SpanLists,
  { names, origin }: { readonly names: ReadonlyMap<string, string>; readonly origin: number },
): readonly TraceDevice[] {
  return [...lists].sort(byNumber).map(([id, streams]) => ({
    id,
    name: names.get(id) ?? '',
    streams: [...streams].sort(byNumber).map(([stream, spans]) => {
      for (const span of spans) {
        span.start = nanoseconds(span.start - origin);
        span.end = nanoseconds(span.end - origin);
      }
      // Rounded times may tie where exact ones did not.
      return {
        id: stream,
        name: names.get(`${id}\u0000${stream}`) ?? '',
        spans: spans.sort(byStart),
      };
    }),
  }));
}

/** Numbers within texts count as numbers: made once, for it is slow to make. */
const naturalOrder = new Intl.Collator('en', { numeric: true });

function byNumber([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return naturalOrder.compare(a, b);
}

/** Arrows whose both ends lie on spans of devices. */
function pairFlows(
  devices: readonly TraceDevice[],
  { starts, ends, origin }: { starts: FlowEnd[]; ends: FlowEnd[]; origin: number },
): { flows: Flow[]; unbound: number } {
  const streams = new Map(
    devices.flatMap(({ id, streams: list }) =>
      list.map((stream) => [`${id}\u0000${stream.id}`, stream.spans] as const),
    ),
  );
  const spanAt = (end: FlowEnd): TraceSpan | undefined =>
    boundSpan(streams.get(`${end.device}\u0000${end.stream}`) ?? [], {
      time: nanoseconds(end.time - origin),
      isEnclosing: end.isEnclosing,
    });
  const from = new Map<string, TraceSpan>();
  let unbound = 0;
  for (const start of starts) {
    const span = spanAt(start);
    if (span === undefined) unbound++;
    else from.set(start.id, span);
  }
  const flows = ends.flatMap((end) => {
    const [source, target] = [from.get(end.id), spanAt(end)];
    if (source !== undefined && target !== undefined) return [{ from: source, to: target }];
    unbound++;
    return [];
  });
  return { flows, unbound };
}

/** The span around a time, its ends included; else, for a loose end, the next one. */
function boundSpan(
  spans: readonly TraceSpan[],
  { time, isEnclosing }: { time: number; isEnclosing: boolean },
): TraceSpan | undefined {
  let [low, high] = [0, spans.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (at(spans, middle).start <= time) low = middle + 1;
    else high = middle;
  }
  if (!isEnclosing) {
    const exact = spans[low - 1];
    return exact?.start === time ? exact : spans[low];
  }
  const around = spans[low - 1];
  return around !== undefined && around.end >= time ? around : undefined;
}

function aboutMachine(properties: Json): Pick<Trace, 'gpu' | 'rank' | 'worldSize'> {
  const gpus = properties.deviceProperties;
  const first = (Array.isArray(gpus) ? gpus[0] : undefined) as Json | undefined;
  const world = properties.distributedInfo as Json | undefined;
  const isGpu = typeof first?.name === 'string' && typeof first.numSms === 'number';
  return {
    gpu: isGpu ? { name: String(first.name), numSms: Number(first.numSms) } : null,
    rank: typeof world?.rank === 'number' ? world.rank : null,
    worldSize: typeof world?.world_size === 'number' ? world.world_size : null,
  };
}

function noticesOf(counted: readonly (readonly [number, string])[]): readonly string[] {
  return counted.filter(([count]) => count > 0).map(([count, text]) => `${count} ${text}`);
}
