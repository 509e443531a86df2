/** A window onto a timeline, and which span lies under a point of it. */
import { at } from '../../src/base/assert.ts';
import { firstAbove, type Timeline, type TimelineRow } from './timelineIndex.ts';

/** Times in seconds, lengths in CSS pixels. */
export interface TimelineView {
  readonly from: number;
  readonly to: number;
  readonly width: number;
  readonly rowHeight: number;
  /** How far the rows are scrolled up, and how much of them is seen. */
  readonly top: number;
  readonly height: number;
}

export interface SpanPlace {
  readonly row: number;
  readonly span: number;
}

/** The span under a point, or the nearest within three pixels; null where nothing is. */
export function spanAt(
  { rows }: Timeline,
  view: TimelineView,
  point: { readonly x: number; readonly y: number },
): SpanPlace | null {
  const index = Math.floor((point.y + view.top) / view.rowHeight);
  const row = rows[index];
  if (row === undefined || row.starts.length === 0) return null;
  const perPixel = (view.to - view.from) / view.width;
  const time = view.from + point.x * perPixel;
  const span = nearestSpan(row, time);
  const distance = Math.max(at(row.starts, span) - time, time - at(row.ends, span), 0);
  return distance <= 3 * perPixel ? { row: index, span } : null;
}

/** The span of a row, which has one, that is nearest to a time. */
export function nearestSpan({ starts, ends }: TimelineRow, time: number): number {
  const after = firstAbove(ends, time);
  if (after === 0) return 0;
  if (after === ends.length) return after - 1;
  return at(starts, after) - time <= time - at(ends, after - 1) ? after : after - 1;
}
