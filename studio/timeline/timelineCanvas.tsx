/**
 * A timeline on a canvas: wheel, drag and keys move a window over it; the span under the pointer or
 * chosen by keys is told in words, which a screen reader speaks.
 *
 * The window lives in a ref and not in the state: a pan paints one frame and renders nothing.
 */
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { useWords } from '../app/language.ts';
import { readColor, useTheme } from '../app/theme.ts';
import {
  keepWithin,
  panView,
  revealSpan,
  viewAfterKey,
  wholeView,
  zoomView,
} from '../draw/moveView.ts';
import { createTimelinePainter, type TimelinePainter } from '../draw/paintTimeline.ts';
import type { Timeline } from '../draw/timelineIndex.ts';
import { nearestSpan, type SpanPlace, spanAt, type TimelineView } from '../draw/timelineView.ts';
import { messages } from './messages.ts';
import type { FormatTime } from './numbers.ts';
import { showAxis } from './timeAxis.ts';
import { MOST_HEIGHT, rowHeightOf, TimelineTools } from './timelineTools.tsx';

export interface TimelineWindow {
  readonly from: number;
  readonly to: number;
}

export interface TimelineCanvasProperties {
  readonly timeline: Timeline;
  readonly format: FormatTime;
  /** Null for all of it. */
  readonly window: TimelineWindow | null;
  /** Told when the window has come to rest. */
  readonly onWindow: (window: TimelineWindow | null) => void;
  /** In pixels; 0 for what suits. */
  readonly rowHeight: number;
  readonly onRowHeight: (rowHeight: number) => void;
}

const REST_MILLISECONDS = 250;
/** What a frame took: the browser's own list of measures has the last one. */
const FRAME = 'moebius.timeline.frame';

export function TimelineCanvas(properties: TimelineCanvasProperties): JSX.Element {
  const { timeline, format } = properties;
  const say = useWords(messages);
  const theme = useTheme();
  const canvas = useRef<HTMLCanvasElement>(null);
  const axis = useRef<HTMLDivElement>(null);
  const [selected, select] = useState<SpanPlace | null>(null);
  const shown = selected !== null && isThere(timeline, selected) ? selected : null;
  const [hovered, hover] = useState<{ place: SpanPlace; x: number; y: number } | null>(null);
  const state = useRef<CanvasState>({ view: null, frame: 0, rest: 0, told: null, drag: null });
  // What event handlers and frames look at: always of the last render.
  const latest = useRef({ properties, shown });
  const painter = useRef<TimelinePainter>(null);
  latest.current = { properties, shown };

  const paint = (): void => {
    state.current.frame = 0;
    performance.clearMeasures(FRAME);
    const start = performance.now();
    const element = canvas.current;
    const { properties: now, shown: chosen } = latest.current;
    const view = state.current.view;
    if (element === null || view === null) return;
    const pixelRatio = globalThis.devicePixelRatio;
    const nameWidth = nameWidthOf(now.timeline);
    const width = nameWidth + view.width;
    const context = sizedContext(element, { width, height: view.height, pixelRatio });
    if (context === null || axis.current === null) return;
    painter.current ??= createTimelinePainter();
    painter.current.paint(context, now.timeline, {
      ...{ view, pixelRatio, nameWidth },
      font: getComputedStyle(element).fontFamily,
      color: readColor('--text'),
      ground: readColor('--raised'),
      bubble: readColor('--bubble'),
      hatch: readColor('--bubble-hatch'),
      selected: chosen,
    });
    showAxis(axis.current, { view, nameWidth, format: now.format });
    element.dataset.from = String(view.from);
    element.dataset.to = String(view.to);
    element.dataset.top = String(view.top);
    performance.measure(FRAME, { start });
  };

  const repaint = (): void => {
    if (state.current.frame === 0) state.current.frame = requestAnimationFrame(paint);
  };

  const move = (next: TimelineView): void => {
    state.current.view = next;
    repaint();
    clearTimeout(state.current.rest);
    state.current.rest = setTimeout(() => {
      state.current.rest = 0;
      const { timeline: whole, onWindow } = latest.current.properties;
      const isWhole = next.from <= whole.start && next.to >= whole.end;
      const told = isWhole ? null : { from: next.from, to: next.to };
      state.current.told = told;
      onWindow(told);
    }, REST_MILLISECONDS) as unknown as number;
  };

  const focusSpan = (place: SpanPlace): void => {
    select(place);
    const view = state.current.view;
    if (view !== null) move(revealSpan(view, latest.current.properties.timeline, place));
  };

  // The size follows the element; the window follows the timeline and the address.
  useEffect(() => {
    const element = canvas.current;
    if (element === null) return;
    const fit = (): void => {
      state.current.view = fitView(element, latest.current.properties, state.current);
      state.current.told = latest.current.properties.window;
      repaint();
    };
    fit();
    const observer = new ResizeObserver(fit);
    observer.observe(element);
    return () => observer.disconnect();
  }, [timeline, properties.rowHeight, properties.window?.from, properties.window?.to]);

  useEffect(repaint, [theme, shown]);

  useEffect(
    () => () => {
      cancelAnimationFrame(state.current.frame);
      clearTimeout(state.current.rest);
    },
    [],
  );

  useEffect(() => {
    const element = canvas.current;
    // A listener of the framework's would be passive, and the page would scroll as well.
    const zoom = (event: WheelEvent): void => {
      const view = state.current.view;
      if (view === null) return;
      event.preventDefault();
      const { timeline: whole } = latest.current.properties;
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        const y = event.shiftKey ? -(event.deltaY || event.deltaX) : 0;
        move(panView(view, whole, { x: event.shiftKey ? 0 : -event.deltaX, y }));
        return;
      }
      const x = Math.max(0, event.offsetX - nameWidthOf(whole));
      move(zoomView(view, whole, { x, factor: Math.exp(-event.deltaY / 400) }));
    };
    element?.addEventListener('wheel', zoom, { passive: false });
    return () => element?.removeEventListener('wheel', zoom);
  }, []);

  const placeAt = (event: PointerEvent): SpanPlace | null => {
    const view = state.current.view;
    const x = event.offsetX - nameWidthOf(timeline);
    return view === null || x < 0 ? null : spanAt(timeline, view, { x, y: event.offsetY });
  };

  const onPointerMove = (event: PointerEvent): void => {
    const { view, drag } = state.current;
    if (view !== null && drag !== null) {
      const by = { x: event.clientX - drag.x, y: event.clientY - drag.y };
      drag.moved += Math.abs(by.x) + Math.abs(by.y);
      [drag.x, drag.y] = [event.clientX, event.clientY];
      move(panView(view, timeline, by));
      if (hovered !== null) hover(null);
      return;
    }
    const place = placeAt(event);
    if (place !== null) hover({ place, x: event.offsetX, y: event.offsetY });
    else if (hovered !== null) hover(null);
  };

  const onPointerUp = (event: PointerEvent): void => {
    const { drag } = state.current;
    state.current.drag = null;
    if (drag !== null && drag.moved < 4) select(placeAt(event));
  };

  const onKeyDown = (event: KeyboardEvent): void => {
    const view = state.current.view;
    if (view === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const next = viewAfterKey(view, timeline, event);
    const place = next === null ? spanAfterKey(timeline, view, { event, from: shown }) : null;
    if (next !== null) move(next);
    else if (event.key === 'Escape' && shown !== null) select(null);
    else if (place !== null) focusSpan(place);
    else return;
    event.preventDefault();
  };

  const tell = ({ row, span }: SpanPlace): string => {
    const found = timeline.rows[row];
    const [start = 0, end = 0] = [found?.starts[span], found?.ends[span]];
    return say('span', {
      label: found?.label(span) ?? '',
      row: found?.name ?? '',
      source: say(found?.source ?? 'real'),
      start: format(start),
      end: format(end),
      length: format(end - start),
    });
  };

  const press = (key: string): void => {
    const view = state.current.view;
    const next = view === null ? null : viewAfterKey(view, timeline, { key, shiftKey: false });
    if (next !== null) move(next);
  };

  return (
    <div class="timeline-frame">
      <TimelineTools
        timeline={timeline}
        format={format}
        window={properties.window}
        rowHeight={properties.rowHeight}
        onRowHeight={properties.onRowHeight}
        onKey={press}
      />
      <div class="timeline-ground">
        <div ref={axis} class="timeline-axis" aria-hidden="true" />
        {/* The canvas takes keys, as an application does; what it shows is told below it. */}
        {/* biome-ignore lint/a11y/noInteractiveElementToNoninteractiveRole: keys move it */}
        <canvas
          ref={canvas}
          class="timeline-spans"
          role="application"
          tabIndex={0}
          aria-describedby="timeline-keys timeline-span"
          aria-label={say('canvas', {
            rows: timeline.rows.length,
            from: format(timeline.start),
            to: format(timeline.end),
          })}
          style={{ height: `${heightOf(properties)}px` }}
          onPointerDown={(event) => {
            event.currentTarget.setPointerCapture(event.pointerId);
            state.current.drag = { x: event.clientX, y: event.clientY, moved: 0 };
          }}
          onPointerMove={onPointerMove}
          onPointerUp={onPointerUp}
          onPointerCancel={() => {
            state.current.drag = null;
          }}
          onPointerLeave={() => hover(null)}
          onKeyDown={onKeyDown}
        />
        {hovered !== null && isThere(timeline, hovered.place) ? (
          <div
            class="timeline-tooltip"
            aria-hidden="true"
            style={{ left: `${hovered.x}px`, top: `${hovered.y + 18}px` }}
          >
            {tell(hovered.place)}
          </div>
        ) : null}
      </div>
      <p id="timeline-span" class="timeline-span" aria-live="polite">
        {shown === null ? '' : tell(shown)}
      </p>
    </div>
  );
}

interface CanvasSize {
  readonly width: number;
  readonly height: number;
  readonly pixelRatio: number;
}

/** A canvas of so many CSS pixels; setting its size, even the same one, would clear it. */
function sizedContext(
  canvas: HTMLCanvasElement,
  { width, height, pixelRatio }: CanvasSize,
): CanvasRenderingContext2D | null {
  const [wide, high] = [Math.round(width * pixelRatio), Math.round(height * pixelRatio)];
  if (canvas.width !== wide) canvas.width = wide;
  if (canvas.height !== high) canvas.height = high;
  return canvas.getContext('2d');
}

interface CanvasState {
  view: TimelineView | null;
  frame: number;
  /** Not 0 while the window moves: what it moves to has not been told yet. */
  rest: number;
  /** What was last told to `onWindow`, or came from the address. */
  told: TimelineWindow | null;
  drag: { x: number; y: number; moved: number } | null;
}

function isThere({ rows }: Timeline, { row, span }: SpanPlace): boolean {
  return span < (rows[row]?.starts.length ?? 0);
}

function heightOf({ timeline, rowHeight }: TimelineCanvasProperties): number {
  const rows = Math.max(1, timeline.rows.length);
  return Math.min(MOST_HEIGHT, Math.ceil(rows * rowHeightOf(timeline, rowHeight)));
}

/** As wide as the longest of the names, within reason. */
function nameWidthOf({ rows }: Timeline): number {
  const sample = rows.length <= 64 ? rows : [...rows.slice(0, 32), ...rows.slice(-32)];
  const longest = sample.reduce((most, { name }) => Math.max(most, name.length), 1);
  return Math.min(120, 10 + 6.5 * longest);
}

function fitView(
  element: HTMLCanvasElement,
  properties: TimelineCanvasProperties,
  { view, told, rest }: CanvasState,
): TimelineView {
  const { timeline, window } = properties;
  const sizes = {
    width: Math.max(1, element.clientWidth - nameWidthOf(timeline)),
    height: element.clientHeight,
    rowHeight: rowHeightOf(timeline, properties.rowHeight),
    top: view?.top ?? 0,
  };
  const isNew = window?.from !== told?.from || window?.to !== told?.to;
  // What was told a moment ago comes back as a property, maybe when one has moved on already.
  const isMoving = rest !== 0;
  if (view === null || isNew || (window === null && !isMoving)) {
    const { from, to } = window ?? { from: timeline.start, to: timeline.end };
    return from < to
      ? keepWithin({ ...sizes, from, to }, timeline)
      : wholeView({ ...sizes, from: 0, to: 1 }, timeline);
  }
  return keepWithin({ ...sizes, from: view.from, to: view.to }, timeline);
}

interface SpanStep {
  readonly event: KeyboardEvent;
  readonly from: SpanPlace | null;
}

/** Shift and an arrow: the next span of the row, or the nearest in the next row that has any. */
function spanAfterKey(
  timeline: Timeline,
  view: TimelineView,
  { event, from }: SpanStep,
): SpanPlace | null {
  const across = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const down = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (across === undefined && down === undefined) return null;
  const { rows } = timeline;
  const current = from === null ? undefined : rows[from.row];
  if (from === null || current === undefined) {
    const first = Math.floor(view.top / view.rowHeight);
    const row = rows.findIndex(({ starts }, index) => index >= first && starts.length > 0);
    const found = rows[row];
    return found === undefined
      ? null
      : { row, span: nearestSpan(found, (view.from + view.to) / 2) };
  }
  if (across !== undefined) {
    const last = current.starts.length - 1;
    return { row: from.row, span: Math.min(last, Math.max(0, from.span + across)) };
  }
  const middle = ((current.starts[from.span] ?? 0) + (current.ends[from.span] ?? 0)) / 2;
  for (let row = from.row + (down ?? 1); rows[row] !== undefined; row += down ?? 1) {
    const found = rows[row];
    if (found !== undefined && found.starts.length > 0) {
      return { row, span: nearestSpan(found, middle) };
    }
  }
  return from;
}
