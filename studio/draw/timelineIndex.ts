/**
 * Spans of one row as columns, sorted, so that what lies in a window is found by halving.
 *
 * The spans of a row never overlap: both starts and ends ascend, and one search finds the first
 * visible span. Spans that do overlap (nested annotations, two kernels on one stream) go to several
 * lanes, each a row of its own:
 *
 *     outer ├──────────────┤            lane 0 ├──────────────┤
 *     inner    ├───┤ ├──┤               lane 1    ├───┤ ├──┤
 *
 * Columns and not objects: 2,048 ranks with thousands of spans are 25 bytes a span.
 */
import { at } from '../../src/base/assert.ts';

/** What a span's colour says. */
export const spanKinds = [
  'forward',
  'backward',
  'weight',
  'pair',
  'message',
  'optimizer',
  'compute',
  'wait',
  'prefill',
  'decode',
  'sample',
  'draft',
] as const;
export type SpanKind = (typeof spanKinds)[number];

export interface TimelineSpan {
  readonly start: number;
  readonly end: number;
  readonly kind: SpanKind;
  readonly label: string;
}

/** Which of two sources a row shows, where a picture has both. */
export type RowSource = 'real' | 'simulated';

export interface RowTitle {
  readonly name: string;
  readonly source: RowSource;
  /** From where to where idleness is a bubble, in seconds; null where it means nothing. */
  readonly bubble: { readonly from: number; readonly to: number } | null;
}

export interface TimelineRow extends RowTitle {
  /** Seconds, ascending. */
  readonly starts: Float64Array;
  /** Seconds, ascending: `ends[i] <= starts[i + 1]`. */
  readonly ends: Float64Array;
  /** Seconds of all spans before each, and of all: one entry more than spans. */
  readonly busy: Float64Array;
  /** Positions in `spanKinds`. */
  readonly kinds: Uint8Array;
  readonly label: (index: number) => string;
}

export interface Timeline {
  readonly rows: readonly TimelineRow[];
  readonly start: number;
  readonly end: number;
}

/** Rows with spans in any order: one for each lane that their overlaps need, at least one. */
export function rowsOf(title: RowTitle, spans: readonly TimelineSpan[]): TimelineRow[] {
  return lanesOf(spans).map((lane, index) =>
    columnsOf(
      index === 0 ? title : { ...title, name: nameOfLane(title.name, index), bubble: null },
      lane,
    ),
  );
}

export function timelineOf(rows: readonly TimelineRow[]): Timeline {
  let start = Number.POSITIVE_INFINITY;
  let end = Number.NEGATIVE_INFINITY;
  for (const { starts, ends, bubble } of rows) {
    start = Math.min(start, starts[0] ?? start, bubble?.from ?? start);
    end = Math.max(end, ends[ends.length - 1] ?? end, bubble?.to ?? end);
  }
  return start < end ? { rows, start, end } : { rows, start: 0, end: 1 };
}

/** Lanes after the first say that they are more of it. */
export function nameOfLane(name: string, lane: number): string {
  return lane === 0 ? name : `${name} +${lane}`;
}

type Stretch = Pick<TimelineSpan, 'start' | 'end'>;

/** A span goes to the first lane that is free; a span that outlasts its neighbour comes first. */
export function lanesOf<Span extends Stretch>(spans: readonly Span[]): (readonly Span[])[] {
  if (isOneLane(spans)) return [spans];
  const lanes: Span[][] = [[]];
  const free = [Number.NEGATIVE_INFINITY];
  for (const span of spans.toSorted((a, b) => a.start - b.start || order(a, b))) {
    let lane = free.findIndex((end) => end <= span.start);
    if (lane < 0) lane = lanes.push([]) - 1;
    at(lanes, lane).push(span);
    free[lane] = span.end;
  }
  return lanes;
}

/** In order already, and none overlaps: so are most rows, and there are many. */
function isOneLane(spans: readonly Stretch[]): boolean {
  let free = Number.NEGATIVE_INFINITY;
  for (const { start, end } of spans) {
    if (start < free) return false;
    free = end;
  }
  return true;
}

/** Of spans that start together an empty one comes first, or it would need a lane; then longest. */
function order(a: Stretch, b: Stretch): number {
  const isEmpty = ({ start, end }: Stretch): number => (start === end ? 0 : 1);
  return isEmpty(a) - isEmpty(b) || b.end - a.end;
}

function columnsOf(title: RowTitle, spans: readonly TimelineSpan[]): TimelineRow {
  const size = spans.length;
  const starts = new Float64Array(size);
  const ends = new Float64Array(size);
  const busy = new Float64Array(size + 1);
  const kinds = new Uint8Array(size);
  for (const [index, { start, end, kind }] of spans.entries()) {
    starts[index] = start;
    ends[index] = end;
    busy[index + 1] = at(busy, index) + (end - start);
    kinds[index] = spanKinds.indexOf(kind);
  }
  const labels = spans.map(({ label }) => label);
  return { ...title, starts, ends, busy, kinds, label: (index) => labels[index] ?? '' };
}

const knownSources = new WeakMap<Timeline['rows'], boolean>();

/** Whether real and simulated rows stand in one picture. */
export function hasTwoSources(rows: Timeline['rows']): boolean {
  const known = knownSources.get(rows);
  if (known !== undefined) return known;
  const found = rows.some(({ source }) => source !== rows[0]?.source);
  knownSources.set(rows, found);
  return found;
}

/** The kind of one span. */
export function kindAt({ kinds }: TimelineRow, index: number): SpanKind {
  return at(spanKinds, at(kinds, index));
}

/** The first index whose value is greater than the bound, by halving. */
export function firstAbove(values: Float64Array, bound: number): number {
  let [first, last] = [0, values.length];
  while (first < last) {
    const middle = (first + last) >>> 1;
    if (at(values, middle) > bound) last = middle;
    else first = middle + 1;
  }
  return first;
}
