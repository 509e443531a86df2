/**
 * Zooming and panning of a window onto a timeline: pure steps from view to view.
 *
 * Zooming keeps the time under the cursor where it is, as long as the window does not reach an end
 * of the timeline: nothing beyond the ends is ever shown.
 */

import type { Timeline } from './timelineIndex.ts';
import type { SpanPlace, TimelineView } from './timelineView.ts';

/** The narrowest window, in shares of the timeline: below it doubles run out of digits. */
const NARROWEST = 1e-9;

type Bounds = Pick<Timeline, 'start' | 'end' | 'rows'>;

/** @param factor above 1 shows less time, larger; the time at pixel `x` stays */
export function zoomView(
  view: TimelineView,
  bounds: Bounds,
  { x, factor }: { readonly x: number; readonly factor: number },
): TimelineView {
  const whole = bounds.end - bounds.start;
  const seconds = view.to - view.from;
  const next = Math.min(whole, Math.max(whole * NARROWEST, seconds / factor));
  const share = x / view.width;
  const from = view.from + share * (seconds - next);
  return keepWithin({ ...view, from, to: from + next }, bounds);
}

/** Moves the content by pixels: to the right shows earlier times, down earlier rows. */
export function panView(
  view: TimelineView,
  bounds: Bounds,
  { x, y }: { readonly x: number; readonly y: number },
): TimelineView {
  const seconds = (x * (view.to - view.from)) / view.width;
  const { from, to, top } = view;
  return keepWithin({ ...view, from: from - seconds, to: to - seconds, top: top - y }, bounds);
}

/** Moved, and cut if it must be, so that only what exists is shown. */
export function keepWithin(view: TimelineView, { start, end, rows }: Bounds): TimelineView {
  const seconds = Math.min(end - start, view.to - view.from);
  let [from, to] = [view.from, view.from + seconds];
  if (to > end) [from, to] = [end - seconds, end];
  if (from < start) [from, to] = [start, start + seconds];
  const lowest = Math.max(0, rows.length * view.rowHeight - view.height);
  return { ...view, from, to, top: Math.min(lowest, Math.max(0, view.top)) };
}

export function wholeView(view: TimelineView, bounds: Bounds): TimelineView {
  return keepWithin({ ...view, from: bounds.start, to: bounds.end }, bounds);
}

/** Moves a window just so far that a span's row and some of the span are seen. */
export function revealSpan(
  view: TimelineView,
  timeline: Timeline,
  { row, span }: SpanPlace,
): TimelineView {
  const found = timeline.rows[row];
  const start = found?.starts[span];
  const end = found?.ends[span];
  if (start === undefined || end === undefined) return view;
  const seconds = view.to - view.from;
  const isSeen = end > view.from && start < view.to;
  const from = isSeen ? view.from : (start + end - seconds) / 2;
  const y = row * view.rowHeight;
  const top = Math.min(y, Math.max(y + view.rowHeight - view.height, view.top));
  return keepWithin({ ...view, from, to: from + seconds, top }, timeline);
}

export interface PressedKey {
  readonly key: string;
  readonly shiftKey: boolean;
}

/** Of the window that one key press moves. */
const STEP = 0.1;

/** The view after a key, or null for a key that means nothing here. Arrows with shift do not. */
export function viewAfterKey(
  view: TimelineView,
  bounds: Bounds,
  { key, shiftKey }: PressedKey,
): TimelineView | null {
  const middle = view.width / 2;
  if (key === '+' || key === '=') return zoomView(view, bounds, { x: middle, factor: 1.5 });
  if (key === '-' || key === '_') return zoomView(view, bounds, { x: middle, factor: 1 / 1.5 });
  if (key === '0') return wholeView(view, bounds);
  if (shiftKey) return null;
  const across = view.width * STEP;
  const down = Math.max(view.rowHeight, view.height * STEP);
  switch (key) {
    case 'ArrowLeft':
      return panView(view, bounds, { x: across, y: 0 });
    case 'ArrowRight':
      return panView(view, bounds, { x: -across, y: 0 });
    case 'ArrowUp':
      return panView(view, bounds, { x: 0, y: down });
    case 'ArrowDown':
      return panView(view, bounds, { x: 0, y: -down });
    case 'PageUp':
      return panView(view, bounds, { x: 0, y: view.height });
    case 'PageDown':
      return panView(view, bounds, { x: 0, y: -view.height });
    case 'Home': {
      const seconds = view.to - view.from;
      return keepWithin({ ...view, from: bounds.start, to: bounds.start + seconds }, bounds);
    }
    case 'End': {
      const seconds = view.to - view.from;
      return keepWithin({ ...view, from: bounds.end - seconds, to: bounds.end }, bounds);
    }
    default:
      return null;
  }
}
