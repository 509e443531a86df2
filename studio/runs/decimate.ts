/**
 * Fewer points for the same picture: of all points that fall on one pixel's column only the first,
 * the least, the most and the last can be seen. A spike of a single step among 10⁵ stays.
 *
 *     10⁵ points ──► 800 columns of pixels ──► at most 3,200 points
 */
import { at } from '../../src/base/assert.ts';
import type { Curve } from './series.ts';

export interface Window {
  /** The x that are shown, both ends included. */
  readonly from: number;
  readonly to: number;
  readonly numBuckets: number;
}

/**
 * The points inside a window, at most four a bucket, and the neighbours just outside it, so that
 * the line runs on to the edge. A NaN, where a line has a gap, is kept once for every bucket.
 */
export function decimate({ x, y }: Curve, { from, to, numBuckets }: Window): Curve {
  const first = Math.max(0, lowerBound(x, from) - 1);
  const last = Math.min(x.length, lowerBound(x, to) + 2);
  if (last - first <= numBuckets * 2 || numBuckets < 1) {
    return { x: x.slice(first, last), y: y.slice(first, last) };
  }
  const scale = numBuckets / Math.max(to - from, Number.MIN_VALUE);
  // One bucket more on either side, for the neighbours.
  const kept = new Int32Array((numBuckets + 2) * MOST_OF_BUCKET);
  let numKept = 0;
  for (let start = first; start < last; ) {
    const end = endOfBucket(start, bucketOf(at(x, start)));
    numKept = keepExtremes(y, { start, end }, kept, numKept);
    start = end;
  }
  const indices = kept.subarray(0, numKept);
  return {
    x: Float64Array.from(indices, (index) => at(x, index)),
    y: Float64Array.from(indices, (index) => at(y, index)),
  };

  function bucketOf(value: number): number {
    if (value < from) return -1;
    return value > to ? numBuckets : Math.min(numBuckets - 1, Math.floor((value - from) * scale));
  }

  /** x grows, and so do the buckets: halving finds the end without looking at every point. */
  function endOfBucket(start: number, bucket: number): number {
    let low = start + 1;
    let high = last;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (bucketOf(at(x, middle)) === bucket) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** First, least, most, last and a gap. */
const MOST_OF_BUCKET = 5;

interface IndexRange {
  readonly start: number;
  readonly end: number;
}

/** Appends the indices that can be seen, each once and in order. @returns how many are kept now */
function keepExtremes(
  y: Float64Array,
  { start, end }: IndexRange,
  kept: Int32Array,
  numKept: number,
): number {
  let least = -1;
  let most = -1;
  let gap = -1;
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let index = start; index < end; index++) {
    // Within the array: `at` would look twice, a hundred thousand times.
    const value = y[index] ?? Number.NaN;
    if (Number.isNaN(value)) {
      gap = index;
      continue;
    }
    if (value < low || least < 0) {
      low = value;
      least = index;
    }
    if (value > high || most < 0) {
      high = value;
      most = index;
    }
  }
  const base = numKept;
  let length = numKept;
  for (const index of [start, least, most, gap, end - 1]) {
    if (index >= 0) length = insertSorted(kept, { base, length }, index);
  }
  return length;
}

/** Into kept[base, length), unless it is there. @returns the new length */
function insertSorted(
  kept: Int32Array,
  { base, length }: { readonly base: number; readonly length: number },
  index: number,
): number {
  let place = length;
  while (place > base && (kept[place - 1] ?? 0) > index) place--;
  if (place > base && kept[place - 1] === index) return length;
  kept.copyWithin(place + 1, place, length);
  kept[place] = index;
  return length + 1;
}

/** The first index whose x is at least `value`. */
export function lowerBound(x: Float64Array, value: number): number {
  let low = 0;
  let high = x.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (at(x, middle) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** One column of x and one of y for each curve. */
export type Overlay = readonly [readonly number[], ...(readonly (number | null | undefined)[])[]];

/**
 * Several curves over one x, as a chart wants them: undefined where a curve has no point of its own
 * (its line runs through), null where its value is no number (its line breaks).
 */
export function overlay(curves: readonly Curve[]): Overlay {
  const all = unionOf(curves.map(({ x }) => x));
  const columns = curves.map(({ x, y }) => {
    const column = new Array<number | null | undefined>(all.length).fill(undefined);
    let row = 0;
    for (let index = 0; index < x.length; index++) {
      while (at(all, row) < at(x, index)) row++;
      const value = at(y, index);
      column[row] = Number.isFinite(value) ? value : null;
    }
    return column;
  });
  return [all, ...columns];
}

/** Every number of the lists once, growing. */
function unionOf(lists: readonly Float64Array[]): readonly number[] {
  const [only] = lists;
  if (only !== undefined && lists.length === 1) return Array.from(only);
  const all = new Float64Array(lists.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const list of lists) {
    all.set(list, offset);
    offset += list.length;
  }
  all.sort();
  return Array.from(all).filter((value, index) => index === 0 || value !== all[index - 1]);
}
