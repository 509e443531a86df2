/**
 * One row of a timeline as pixels: which kind of span each pixel shows, a byte a pixel.
 *
 * Pixels are counted from the timeline's start and not from the window's, and what a pixel shows
 * depends on nothing but the scale. So a picture that was panned by whole pixels is the old one,
 * shifted, and only the strip that came into view has to be drawn:
 *
 *     time    ▏▎▏▎▎▏│██████│▏▎▏       pixel  [7)[8)[9)[10)[11)
 *     shown   many   one    many      of many within a pixel the middle one
 *
 * Of a row's spans only the visible ones are looked at, found by halving; a doubling search jumps
 * over those that begin and end within one pixel. So a row costs O(visible + log n) whatever the
 * trace holds, and never more than two searches for each pixel.
 */
import type { TimelineRow } from './timelineIndex.ts';

/** At one scale: where pixel 0 begins, in seconds, and how many pixels a second has. */
export interface PixelGrid {
  readonly start: number;
  readonly scale: number;
}

/** Of a pixel: a time that is a pixel's edge but for rounding belongs to the pixel behind it. */
const HAIR = 1e-6;

/** The pixel that a time lies in. */
export function pixelAt({ start, scale }: PixelGrid, time: number): number {
  return Math.floor((time - start) * scale + HAIR);
}

/** Pixels `left` … `right − 1`. */
export interface PixelRange {
  readonly left: number;
  readonly right: number;
}

/** Counts how often a search or a walk looked at a span: the law of what a frame may cost. */
export interface Visits {
  spans: number;
}

/** Codes of pixels; a span's is `FIRST_KIND` and the position of its kind. */
export const NOTHING = 0;
export const BUBBLE = 1;
export const FIRST_KIND = 2;

/** Spans this wide spare a pixel of ground before a neighbour. */
const SPARING = 4;

/**
 * @param codes one for each pixel of the range
 */
export function rasterRow(
  { starts, ends, kinds, bubble }: TimelineRow,
  grid: PixelGrid,
  { left, right, codes, visits }: PixelRange & { codes: Uint8Array; visits: Visits },
): void {
  codes.fill(NOTHING, 0, right - left);
  if (bubble !== null) {
    const first = Math.max(left, pixelAt(grid, bubble.from));
    const last = Math.min(right, pixelAt(grid, bubble.to));
    if (first < last) codes.fill(BUBBLE, first - left, last - left);
  }
  const size = starts.length;
  let index = firstEndingAbove({ starts, ends, grid, visits }, left, 0);
  while (index < size) {
    visits.spans++;
    const begin = pixelAt(grid, starts[index] ?? 0);
    if (begin >= right) return;
    const end = pixelAt(grid, ends[index] ?? 0);
    if (end > begin + 1) {
      const next = index + 1 < size ? (starts[index + 1] ?? 0) : Number.POSITIVE_INFINITY;
      const isClose = end - begin >= SPARING && pixelAt(grid, next) <= end;
      const from = (begin > left ? begin : left) - left;
      const to = (end < right ? end : right) - left;
      const code = FIRST_KIND + (kinds[index] ?? 0);
      // A call of `fill` costs more than the few pixels of most spans.
      if (to - from > 64) codes.fill(code, from, to);
      else for (let pixel = from; pixel < to; pixel++) codes[pixel] = code;
      if (isClose && end <= right) codes[end - 1 - left] = NOTHING;
      index++;
      continue;
    }
    // All that begin and end within this pixel: most often one.
    const last =
      index + 1 < size && pixelAt(grid, ends[index + 1] ?? 0) <= begin + 1
        ? nextEndingAbove({ starts, ends, grid, visits }, begin + 1, index + 1)
        : index + 1;
    const middle = (index + last - 1) >> 1;
    codes[begin - left] = FIRST_KIND + (kinds[middle] ?? 0);
    index = last;
  }
}

interface Search {
  readonly starts: Float64Array;
  readonly ends: Float64Array;
  readonly grid: PixelGrid;
  readonly visits: Visits;
}

/** The pixel after a span's last: every span has one at least. */
function endPixel({ starts, ends, grid, visits }: Search, index: number): number {
  visits.spans++;
  const least = pixelAt(grid, starts[index] ?? 0) + 1;
  return Math.max(least, pixelAt(grid, ends[index] ?? 0));
}

/** The first span from `low` on that has pixels from `pixel` on, by halving. */
function firstEndingAbove(
  search: Search,
  pixel: number,
  low: number,
  high = search.ends.length,
): number {
  let [first, last] = [low, high];
  while (first < last) {
    const middle = (first + last) >>> 1;
    if (endPixel(search, middle) > pixel) last = middle;
    else first = middle + 1;
  }
  return first;
}

/** The same by doubling steps: as cheap as the distance is short. */
function nextEndingAbove(search: Search, pixel: number, low: number): number {
  const size = search.ends.length;
  let first = low;
  for (let step = 1; first < size; step *= 2) {
    const probe = Math.min(first + step, size) - 1;
    if (endPixel(search, probe) > pixel) return firstEndingAbove(search, pixel, first, probe);
    first = probe + 1;
  }
  return size;
}

export interface WideSpan {
  readonly span: number;
  /** Pixels on the grid; they may lie far outside of the range. */
  readonly begin: number;
  readonly end: number;
}

/** Spans that have pixels in the range and at least `width` of them in all: room for a label. */
export function* wideSpans(
  { starts, ends }: TimelineRow,
  grid: PixelGrid,
  { left, right, width }: PixelRange & { readonly width: number },
): Generator<WideSpan> {
  const search = { starts, ends, grid, visits: { spans: 0 } };
  let span = firstEndingAbove(search, left, 0);
  while (span < starts.length) {
    const begin = pixelAt(grid, starts[span] ?? 0);
    if (begin >= right) return;
    const end = pixelAt(grid, ends[span] ?? 0);
    if (end - begin >= width) {
      yield { span, begin, end };
      span++;
    } else span = nextEndingAbove(search, begin + width - 1, span + 1);
  }
}
