/**
 * Requests of a server as rows of a timeline, a waterfall: each waits, has its prompt read, and
 * answers.
 *
 *     1  ├wait┤├ prompt ┤├───── answer ─────┤
 *     2     ├─ wait ─┤├ prompt ┤├── answer ──┤
 */
import { median } from '../../src/base/median.ts';
import type { RequestTimes } from '../../src/serving/engineClient.ts';
import { rowsOf, type Timeline, type TimelineSpan, timelineOf } from '../draw/timelineIndex.ts';

/** `clock`: as they came; `arrival`: all begin together, so that their lengths compare. */
export type Alignment = 'clock' | 'arrival';

export type RequestPart = 'wait' | 'prefill' | 'decode';

export interface RequestView {
  readonly requests: readonly RequestTimes[];
  /** Where those end that are under way, for now. */
  readonly now: number;
  readonly alignment: Alignment;
  readonly labelOf: (part: RequestPart) => string;
}

/** Seconds since the first arrived, or since each did. */
export function drawRequests({ requests, now, alignment, labelOf }: RequestView): Timeline {
  const first = Math.min(...requests.map(({ arrived }) => arrived));
  return timelineOf(
    requests.flatMap((request) => {
      const zero = alignment === 'clock' ? first : request.arrived;
      const spans = partsOf(request, now).map(({ part, start, end }): TimelineSpan => {
        return { start: start - zero, end: end - zero, kind: part, label: labelOf(part) };
      });
      return rowsOf({ name: String(request.number + 1), source: 'real', bubble: null }, spans);
    }),
  );
}

/** A request that was preempted waits again within its prompt or answer; that is not told apart. */
export function partsOf(
  { arrived, started, firstToken, ended }: RequestTimes,
  now: number,
): readonly { readonly part: RequestPart; readonly start: number; readonly end: number }[] {
  const end = ended ?? now;
  const borders = [arrived, started ?? end, firstToken ?? end, end] as const;
  return (['wait', 'prefill', 'decode'] as const)
    .map((part, i) => ({ part, start: borders[i] ?? end, end: borders[i + 1] ?? end }))
    .filter(({ start, end: last }) => last > start);
}

export interface Middle {
  readonly median: number;
  readonly most: number;
}

export interface RequestFacts {
  readonly all: number;
  readonly underWay: number;
  /** Ended by an error, or by who had asked. */
  readonly failed: number;
  /** Seconds in the queue, of those that were taken from it; null where none was. */
  readonly wait: Middle | null;
  /** Seconds from arrival to the first token. */
  readonly firstToken: Middle | null;
  /** Tokens a second behind the first, of each. */
  readonly rate: Middle | null;
}

export function requestFacts(requests: readonly RequestTimes[]): RequestFacts {
  const seconds = (to: 'started' | 'firstToken'): Middle | null =>
    middleOf(requests.flatMap((each) => (each[to] === null ? [] : [each[to] - each.arrived])));
  return {
    all: requests.length,
    underWay: requests.filter(({ ended }) => ended === null).length,
    failed: requests.filter(({ reason }) => reason === 'error' || reason === 'abort').length,
    wait: seconds('started'),
    firstToken: seconds('firstToken'),
    rate: middleOf(requests.flatMap((each) => rateOf(each) ?? [])),
  };
}

/** Tokens a second behind the first; null where there are none. */
export function rateOf({ usage }: RequestTimes): number | null {
  const { completionTokens, decodeSeconds } = usage;
  return completionTokens < 2 || decodeSeconds <= 0 ? null : (completionTokens - 1) / decodeSeconds;
}

function middleOf(values: readonly number[]): Middle | null {
  return values.length === 0 ? null : { median: median(values), most: Math.max(...values) };
}
