/**
 * Whether a value is a Chrome trace as we write it: every event has what its phase needs, times are
 * times, spans of one stream follow each other, arrows have both ends in order. What a viewer would
 * drop or draw wrongly without a word is a complaint here.
 */

/** The first `limit` complaints, each with the event's index; none when the trace is right. */
export function checkChromeTrace(trace: unknown, limit = 20): readonly string[] {
  const complaints: string[] = [];
  const { schemaVersion, traceEvents } = asObject(trace);
  if (schemaVersion !== 1) complaints.push('schemaVersion is not 1');
  if (!Array.isArray(traceEvents)) return [...complaints, 'traceEvents is no list'];
  const events: readonly unknown[] = traceEvents;
  const checked = events.map((event) => asObject(event));
  for (const [index, event] of checked.entries()) {
    for (const complaint of eventComplaints(event)) complaints.push(`event ${index}: ${complaint}`);
    if (complaints.length >= limit) return complaints.slice(0, limit);
  }
  if (complaints.length > 0) return complaints;
  complaints.push(...overlaps(checked), ...openArrows(checked), ...namelessStreams(checked));
  return complaints.slice(0, limit);
}

type Fields = Readonly<Record<string, unknown>>;

function asObject(value: unknown): Fields {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isObject ? (value as Fields) : {};
}

const NAMES = new Set(['process_name', 'thread_name']);
const SORTS = new Set(['process_sort_index', 'thread_sort_index']);

function* eventComplaints(event: Fields): Generator<string> {
  const { ph, name, pid, tid, ts, dur, cat, id, args } = event;
  if (typeof name !== 'string' || name === '') yield 'has no name';
  if (!isCount(pid)) yield `pid is ${String(pid)}`;
  if (!isCount(tid)) yield `tid is ${String(tid)}`;
  if (args !== undefined && asObject(args) !== args) yield 'args is no object';
  switch (ph) {
    case 'X':
      if (!isTime(ts)) yield `ts is ${String(ts)}`;
      if (!isTime(dur)) yield `dur is ${String(dur)}`;
      if (typeof cat !== 'string' || cat === '') yield 'has no cat';
      return;
    case 'M': {
      const { name: label, sort_index: sort } = asObject(args);
      const isNamed = NAMES.has(String(name)) && typeof label === 'string' && label !== '';
      if (!isNamed && !(SORTS.has(String(name)) && isCount(sort))) yield 'names nothing';
      return;
    }
    case 's':
    case 'f':
      if (!isTime(ts)) yield `ts is ${String(ts)}`;
      if (!isCount(id)) yield `id is ${String(id)}`;
      if (typeof cat !== 'string' || cat === '') yield 'has no cat';
      return;
    default:
      yield `ph is ${String(ph)}`;
  }
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isTime(value: unknown): boolean {
  return Number.isFinite(value) && (value as number) >= 0;
}

/** Times are whole nanoseconds written in µs; their sums are right to far less than that. */
const NEAR = 1e-4;

function* overlaps(events: readonly Fields[]): Generator<string> {
  const streams = new Map<string, { index: number; start: number; end: number }[]>();
  for (const [index, { ph, pid, tid, ts, dur }] of events.entries()) {
    if (ph !== 'X') continue;
    const key = `pid ${String(pid)}, tid ${String(tid)}`;
    const spans = streams.get(key) ?? [];
    streams.set(key, spans);
    const start = ts as number;
    spans.push({ index, start, end: start + (dur as number) });
  }
  for (const [stream, spans] of streams) {
    spans.sort((a, b) => a.start - b.start || a.end - b.end);
    let previous = { index: -1, end: 0 };
    for (const { index, start, end } of spans) {
      if (start < previous.end - NEAR) {
        yield `event ${index} begins in ${stream} before event ${previous.index} has ended`;
      }
      if (end > previous.end) previous = { index, end };
    }
  }
}

function* openArrows(events: readonly Fields[]): Generator<string> {
  const tails = new Map<string, number>();
  const heads = new Set<string>();
  const keyOf = ({ cat, id }: Fields): string => `${String(cat)} ${String(id)}`;
  for (const event of events) {
    if (event.ph !== 's') continue;
    if (tails.has(keyOf(event))) yield `arrow ${keyOf(event)} begins twice`;
    tails.set(keyOf(event), event.ts as number);
  }
  for (const event of events) {
    if (event.ph !== 'f') continue;
    const tail = tails.get(keyOf(event));
    if (tail === undefined) yield `arrow ${keyOf(event)} ends and never begins`;
    else if ((event.ts as number) < tail - NEAR)
      yield `arrow ${keyOf(event)} ends before it begins`;
    if (heads.has(keyOf(event))) yield `arrow ${keyOf(event)} ends twice`;
    heads.add(keyOf(event));
  }
  for (const key of tails.keys()) {
    if (!heads.has(key)) yield `arrow ${key} begins and never ends`;
  }
}

function* namelessStreams(events: readonly Fields[]): Generator<string> {
  const named = new Set<string>();
  for (const { ph, name, pid, tid } of events) {
    if (ph !== 'M') continue;
    if (name === 'process_name') named.add(String(pid));
    if (name === 'thread_name') named.add(`${String(pid)} ${String(tid)}`);
  }
  const missing = new Set<string>();
  for (const { ph, pid, tid } of events) {
    if (ph !== 'X') continue;
    if (!named.has(String(pid))) missing.add(`pid ${String(pid)} has no process_name`);
    if (!named.has(`${String(pid)} ${String(tid)}`)) {
      missing.add(`pid ${String(pid)}, tid ${String(tid)} has no thread_name`);
    }
  }
  yield* missing;
}
