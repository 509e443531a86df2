/**
 * Sets of time as sorted, disjoint intervals [start, end): union, intersection, difference, length.
 *
 * Everything that a trace says about overlap is one of these: hidden communication is
 * |communication ∩ compute|, idle time is what the union leaves of the window. Each is one pass
 * over sorted lists; times are of any one unit, and whole numbers stay exact.
 */
import { at } from '../../base/assert.ts';

export interface Interval {
  readonly start: number;
  readonly end: number;
}

/** The union of intervals in any order; empty ones vanish, touching ones join. */
export function union(intervals: readonly Interval[]): Interval[] {
  const sorted = intervals
    .filter(({ start, end }) => end > start)
    .sort((a, b) => a.start - b.start || a.end - b.end);
  const joined: { start: number; end: number }[] = [];
  let last: { start: number; end: number } | undefined;
  for (const { start, end } of sorted) {
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end);
    else {
      last = { start, end };
      joined.push(last);
    }
  }
  return joined;
}

/** What lies in both of two disjoint sorted lists. */
export function intersection(a: readonly Interval[], b: readonly Interval[]): Interval[] {
  const both: Interval[] = [];
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) {
    const [left, right] = [at(a, i), at(b, j)];
    const [start, end] = [Math.max(left.start, right.start), Math.min(left.end, right.end)];
    if (end > start) both.push({ start, end });
    if (left.end < right.end) i++;
    else j++;
  }
  return both;
}

/** What of a window a disjoint sorted list leaves free. */
export function gapsWithin(window: Interval, busy: readonly Interval[]): Interval[] {
  const gaps: Interval[] = [];
  let from = window.start;
  for (const { start, end } of busy) {
    if (start > from) gaps.push({ start: from, end: Math.min(start, window.end) });
    from = Math.max(from, end);
    if (from >= window.end) return gaps;
  }
  if (window.end > from) gaps.push({ start: from, end: window.end });
  return gaps;
}

/** Total length of a disjoint list. */
export function lengthOf(intervals: readonly Interval[]): number {
  return intervals.reduce((sum, { start, end }) => sum + (end - start), 0);
}

/** From the first start to the last end; null of nothing. */
export function windowOf(intervals: readonly Interval[]): Interval | null {
  if (intervals.length === 0) return null;
  let [start, end] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const interval of intervals) {
    start = Math.min(start, interval.start);
    end = Math.max(end, interval.end);
  }
  return { start, end };
}

/**
 * Each interval's part of the time it spans: where k of them are at once, each has 1/k of it. The
 * parts add up to the length of the union.
 */
export function fairShares(intervals: readonly Interval[]): Float64Array {
  const shares = new Float64Array(intervals.length);
  const edges = intervals
    .flatMap(({ start, end }, index) => [
      { time: start, index, isStart: true },
      { time: end, index, isStart: false },
    ])
    .sort((a, b) => a.time - b.time);
  const active = new Set<number>();
  let before = 0;
  for (const { time, index, isStart } of edges) {
    const part = active.size === 0 ? 0 : (time - before) / active.size;
    if (part > 0) for (const each of active) shares[each] = at(shares, each) + part;
    before = time;
    if (isStart && at(intervals, index).end > time) active.add(index);
    else active.delete(index);
  }
  return shares;
}
