/**
 * How much of a device's communication is hidden behind its computing.
 *
 * With the unions of intervals C (computing) and X (communication):
 *
 *   both = |C ∩ X|,  exposed = |X| − both,  hidden share = both / |X|
 *
 * The share of data movement leaves out kernels that only wait for other ranks: waiting moves
 * nothing, and time spent in it says more about balance than about the network.
 */
import type { ClassifiedDevice, ClassifiedSpan } from './classifySpans.ts';
import { gapsWithin, type Interval, intersection, lengthOf, union, windowOf } from './intervals.ts';

/** All in the trace's microseconds. */
export interface Overlap {
  readonly wall: number;
  readonly computeBusy: number;
  readonly communicationBusy: number;
  readonly bothBusy: number;
  readonly exposed: number;
  /** Null without communication. */
  readonly hiddenShare: number | null;
  readonly dataMovementBusy: number;
  readonly dataMovementHiddenShare: number | null;
  readonly waitBusy: number;
  readonly computeIdle: number;
  readonly nothingBusy: number;
  /** When no stream had work, longest first. */
  readonly idle: readonly Interval[];
}

export function measureOverlap(device: ClassifiedDevice): Overlap {
  const spans = device.streams.flatMap(({ spans: all, role }) =>
    all.map((span) => ({ span, isExchange: role === 'communication' || span.role !== 'compute' })),
  );
  const pick = (wanted: (span: ClassifiedSpan, isExchange: boolean) => boolean): Interval[] =>
    union(spans.filter(({ span, isExchange }) => wanted(span, isExchange)).map(({ span }) => span));
  const compute = pick((_, isExchange) => !isExchange);
  const exchange = pick((_, isExchange) => isExchange);
  const movement = pick(({ role }) => role === 'communication');
  const window = windowOf(spans.map(({ span }) => span)) ?? { start: 0, end: 0 };
  const wall = window.end - window.start;
  const both = lengthOf(intersection(compute, exchange));
  const idle = gapsWithin(window, union([...compute, ...exchange]));
  const [computeBusy, communicationBusy] = [lengthOf(compute), lengthOf(exchange)];
  const dataMovementBusy = lengthOf(movement);
  return {
    wall,
    computeBusy,
    communicationBusy,
    bothBusy: both,
    exposed: communicationBusy - both,
    hiddenShare: shareOf(both, communicationBusy),
    dataMovementBusy,
    dataMovementHiddenShare: shareOf(lengthOf(intersection(compute, movement)), dataMovementBusy),
    waitBusy: lengthOf(pick(({ role }) => role === 'wait')),
    computeIdle: wall - computeBusy,
    nothingBusy: lengthOf(idle),
    idle: idle.toSorted((a, b) => b.end - b.start - (a.end - a.start)),
  };
}

function shareOf(part: number, whole: number): number | null {
  return whole === 0 ? null : part / whole;
}
