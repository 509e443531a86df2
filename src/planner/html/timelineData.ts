/**
 * Spans packed for the page: whole microseconds, starts as differences, one flat list of numbers a
 * rank. A step of 16 ranks and 120 micro-batches is some 8,000 passes and 200 kB.
 */
import type { TimelineSpan } from '../planExtras.ts';

/** What a span is drawn as; its place in this list is its number in the page's data. */
export const timelineKinds = [
  'forward',
  'backward',
  'weight',
  'pair',
  'communication',
  'optimizer',
  'other',
] as const;

export type TimelineKind = (typeof timelineKinds)[number];

/**
 * Each row is a rank's spans, one after the other: kind, start (from the start before), duration,
 * stage, micro-batch; of a pair also the backward half's stage and micro-batch. −1 is "none".
 */
export interface TimelineData {
  /** Microseconds. */
  readonly length: number;
  readonly kinds: readonly TimelineKind[];
  readonly ranks: readonly { readonly rank: number; readonly spans: readonly number[] }[];
}

export interface PackedTimeline {
  readonly data: TimelineData;
  readonly kinds: ReadonlySet<TimelineKind>;
  /** What was left out, and why. */
  readonly notes: readonly string[];
}

/** So many spans are drawn in a few milliseconds and take less than 1.5 MB. */
const MOST_SPANS = 45_000;

export function packTimeline(spans: readonly TimelineSpan[]): PackedTimeline {
  const notes: string[] = [];
  // A part ("forward/attention") lies inside its whole, which is drawn already.
  // A receive lasts while its rank waits: that is the bubble, which the ground shows.
  const whole = spans.filter(({ name, start, end }) => name !== 'recv' && end > start);
  let drawn = whole.filter((span) => !span.name.includes('/'));
  if (drawn.length < whole.length) {
    const numParts = (whole.length - drawn.length).toLocaleString('en');
    notes.push(`${numParts} parts of passes lie inside the passes and are not drawn.`);
  }
  if (drawn.length > MOST_SPANS) {
    const numAll = drawn.length;
    drawn = drawn.filter((span) => kindOf(span) !== 'communication');
    const numLeftOut = (numAll - drawn.length).toLocaleString('en');
    notes.push(`${numLeftOut} transfers are left out: use --trace for all of them.`);
  }
  const origin = drawn.reduce((first, { start }) => Math.min(first, start), Number.MAX_VALUE);
  const ranks = [...new Set(drawn.map(({ rank }) => rank))].sort((a, b) => a - b);
  const rows = new Map(ranks.map((rank): [number, TimelineSpan[]] => [rank, []]));
  for (const span of drawn) rows.get(span.rank)?.push(span);
  const end = drawn.reduce((last, span) => Math.max(last, span.end), drawn.length ? origin : 0);
  return {
    data: {
      length: drawn.length === 0 ? 0 : microseconds(end - origin),
      kinds: timelineKinds,
      ranks: ranks.map((rank) => ({ rank, spans: packRow(rows.get(rank) ?? [], origin) })),
    },
    kinds: new Set(drawn.map(kindOf)),
    notes,
  };
}

function packRow(spans: readonly TimelineSpan[], origin: number): number[] {
  const ordered = spans.toSorted((a, b) => a.start - b.start);
  let before = 0;
  return ordered.flatMap((span) => {
    const kind = kindOf(span);
    const start = microseconds(span.start - origin);
    const numbers = [
      timelineKinds.indexOf(kind),
      start - before,
      microseconds(span.end - origin) - start,
      span.stage ?? -1,
      span.microBatch ?? -1,
    ];
    before = start;
    if (kind !== 'pair') return numbers;
    return [...numbers, span.backward?.stage ?? -1, span.backward?.microBatch ?? -1];
  });
}

function kindOf({ name }: TimelineSpan): TimelineKind {
  switch (name) {
    case 'forward':
      return 'forward';
    case 'backward':
    case 'backwardInput':
      return 'backward';
    case 'backwardWeight':
      return 'weight';
    case 'forwardBackward':
      return 'pair';
    case 'send':
    case 'dispatch':
    case 'combine':
    case 'reduceGradients':
    case 'gatherWeights':
      return 'communication';
    case 'optimizerStep':
    case 'updateBias':
      return 'optimizer';
    default:
      return 'other';
  }
}

function microseconds(seconds: number): number {
  return Math.round(seconds * 1e6);
}
