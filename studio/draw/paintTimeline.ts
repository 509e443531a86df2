/**
 * Paints a timeline on a canvas. The only file of the timeline that knows one.
 *
 * What is panned is not painted again. Spans and their labels stand on a layer of whole pixels; the
 * next frame shifts it, and only the strips that came into view are made (`timelineImage.ts`):
 *
 *     layer  ┌──────────┬──┐   shifted to the left, strip at the right
 *            │ as before│▒▒│   560 rows of one pixel: a whole frame took 72 ms, a strip takes 3
 *            └──────────┴──┘
 *
 * Above the layer, in each frame: the names of rows, the chosen span's outline, and the labels of
 * spans so long that they stay in the middle of what is seen of them.
 */
import { at } from '../../src/base/assert.ts';
import { wideSpans } from './rasterRow.ts';
import { shortLabel } from './shortLabel.ts';
import {
  colorsOn,
  type ImageColors,
  type ImagePart,
  type ImageStyle,
  pixelOf,
  pixelsOf,
  rowAtPixel,
  SIMULATED,
  spanColors,
  timelineImage,
  topOfRow,
} from './timelineImage.ts';
import { hasTwoSources, type Timeline } from './timelineIndex.ts';
import type { SpanPlace, TimelineView } from './timelineView.ts';

export interface TimelinePaint {
  readonly view: TimelineView;
  readonly pixelRatio: number;
  /** Left of the spans, for the names of rows. */
  readonly nameWidth: number;
  /** The page's colours and font; colours as `#rrggbb`. */
  readonly color: string;
  readonly ground: string;
  readonly bubble: string;
  readonly hatch: string;
  readonly font: string;
  readonly selected: SpanPlace | null;
}

export interface TimelinePainter {
  paint(context: CanvasRenderingContext2D, timeline: Timeline, paint: TimelinePaint): void;
}

/** Rows of names need this much; lower ones are named by the tooltip alone. */
const NAMED_ROW = 11;
/** The narrowest span with a label, and what a label leaves free of its span, in CSS pixels. */
const LABELLED_WIDTH = 12;
const LABEL_MARGIN = 4;
const NAME_HEIGHT = 14;
/** Labels of spans wider than this part of the window stay in sight. */
const LONG_SPAN = 0.5;

export function createTimelinePainter(): TimelinePainter {
  let shown: Layer | null = null;
  let spare: OffscreenCanvasRenderingContext2D | null = null;
  return {
    paint: (context, timeline, paint) => {
      const next = frameOf(context.canvas, timeline, paint, shown);
      const { width, height } = next;
      const before = shown !== null && isSamePicture(shown.frame, next) ? shown : null;
      // Of the two layers one is shown and the other is painted.
      const layer = spare?.canvas.width === width && spare.canvas.height === height ? spare : null;
      const target = layer ?? layerOf(width, height);
      const parts = before === null ? [wholeOf(next)] : uncovered(before.frame, next);
      target.globalCompositeOperation = 'copy';
      if (before !== null) {
        const { left, top } = before.frame;
        target.drawImage(before.context.canvas, left - next.left, top - next.top);
      }
      target.globalCompositeOperation = 'source-over';
      for (const part of parts) paintPart(target, next, part);
      spare = shown?.context ?? null;
      shown = { frame: next, context: target };
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, context.canvas.width, context.canvas.height);
      context.drawImage(target.canvas, next.nameWidth, 0);
      paintOver(context, next);
    },
  };
}

interface Layer {
  readonly frame: Frame;
  readonly context: OffscreenCanvasRenderingContext2D;
}

/** A frame in whole pixels of the screen. */
interface Frame {
  readonly timeline: Timeline;
  readonly paint: TimelinePaint;
  readonly style: ImageStyle;
  readonly nameWidth: number;
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

function frameOf(
  canvas: HTMLCanvasElement,
  timeline: Timeline,
  paint: TimelinePaint,
  before: Layer | null,
): Frame {
  const { view, pixelRatio } = paint;
  const nameWidth = Math.round(paint.nameWidth * pixelRatio);
  const width = Math.max(1, canvas.width - nameWidth);
  const rowPixels = view.rowHeight * pixelRatio;
  const fresh = width / (view.to - view.from);
  const old = before?.frame.style;
  // A pan changes the last digits of the window's length, which is no other scale.
  const isScale = old !== undefined && Math.abs(fresh / old.scale - 1) * width < 0.01;
  const scale = isScale ? old.scale : fresh;
  const style = {
    scale,
    rowPixels,
    gapPixels: view.rowHeight > 4 ? Math.round((view.rowHeight > 8 ? 2 : 1) * pixelRatio) : 0,
    colors: colorsOf(timeline, paint),
    pixelRatio,
  };
  return {
    timeline,
    paint,
    style,
    nameWidth,
    left: Math.round((view.from - timeline.start) * scale),
    top: Math.round(view.top * pixelRatio),
    width,
    height: canvas.height,
  };
}

let lastColors: { readonly key: string; readonly colors: ImageColors } | null = null;

function colorsOf({ rows }: Timeline, { ground, bubble, hatch }: TimelinePaint): ImageColors {
  const hasBoth = hasTwoSources(rows);
  const key = `${ground} ${bubble} ${hatch} ${hasBoth}`;
  if (lastColors?.key !== key) {
    const real = pixelsOf(spanColors);
    const simulated = hasBoth ? pixelsOf(colorsOn(ground, SIMULATED)) : real;
    const colors = { spans: { real, simulated }, bubble: pixelOf(bubble), hatch: pixelOf(hatch) };
    lastColors = { key, colors };
  }
  return lastColors.colors;
}

function isSamePicture(a: Frame, b: Frame): boolean {
  return (
    a.timeline === b.timeline &&
    a.style.scale === b.style.scale &&
    a.style.rowPixels === b.style.rowPixels &&
    a.style.colors === b.style.colors &&
    a.style.pixelRatio === b.style.pixelRatio &&
    a.paint.font === b.paint.font &&
    a.width === b.width &&
    a.height === b.height &&
    Math.abs(a.left - b.left) < a.width &&
    Math.abs(a.top - b.top) < a.height
  );
}

function layerOf(width: number, height: number): OffscreenCanvasRenderingContext2D {
  const context = new OffscreenCanvas(width, Math.max(1, height)).getContext('2d');
  if (context === null) throw new Error('this browser has no canvas to paint on');
  return context;
}

function wholeOf({ left, top, width, height }: Frame): ImagePart {
  return { left, right: left + width, top, bottom: top + height };
}

/** What of the next frame the one before does not show: a strip at a side, one above or below. */
function uncovered(before: Frame, next: Frame): ImagePart[] {
  const { left, right, top, bottom } = wholeOf(next);
  const was = wholeOf(before);
  const [keptTop, keptBottom] = [Math.max(top, was.top), Math.min(bottom, was.bottom)];
  const kept = { top: keptTop, bottom: keptBottom };
  return [
    { left, right: was.left, ...kept },
    { left: was.right, right, ...kept },
    { left, right, top, bottom: was.top },
    { left, right, top: was.bottom, bottom },
  ].filter((part) => part.left < part.right && part.top < part.bottom);
}

function paintPart(
  context: OffscreenCanvasRenderingContext2D,
  frame: Frame,
  part: ImagePart,
): void {
  const [width, height] = [part.right - part.left, part.bottom - part.top];
  const pixels = timelineImage(frame.timeline, frame.style, part);
  const image = new ImageData(new Uint8ClampedArray(pixels.buffer), width, height);
  const [x, y] = [part.left - frame.left, part.top - frame.top];
  context.putImageData(image, x, y);
  if (frame.paint.view.rowHeight < NAMED_ROW) return;
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  paintLabels(context, frame, part, 'short');
  context.restore();
}

/**
 * Labels of what has room for one. Those of short spans stand in the span's middle and are panned
 * with it; those of long ones stay in the middle of what is seen.
 */
function paintLabels(
  context: CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D,
  { timeline, style, paint, left, top, width }: Frame,
  part: ImagePart,
  spans: 'short' | 'long',
): void {
  const { rowPixels, gapPixels, pixelRatio } = style;
  const grid = { start: timeline.start, scale: style.scale };
  const size = Math.min(11, paint.view.rowHeight - 3);
  context.font = `${size * pixelRatio}px ${paint.font}`;
  context.textBaseline = 'middle';
  context.textAlign = 'center';
  const hasBoth = hasTwoSources(timeline.rows);
  const widths = widthsOf(context);
  const last = Math.min(timeline.rows.length - 1, rowAtPixel(part.bottom - 1, rowPixels));
  const most = Math.floor(LONG_SPAN * width);
  const least = spans === 'short' ? Math.round(LABELLED_WIDTH * pixelRatio) : most + 1;
  const range = { left: part.left, right: part.right, width: least };
  for (let index = rowAtPixel(part.top, rowPixels); index <= last; index++) {
    const row = at(timeline.rows, index);
    const bottom = topOfRow(index + 1, rowPixels) - gapPixels;
    const y = (topOfRow(index, rowPixels) + bottom) / 2 - top;
    // Dark on full colours in both themes; what is half ground takes the page's own.
    context.fillStyle = hasBoth && row.source === 'simulated' ? paint.color : '#101418';
    for (const { span, begin, end } of wideSpans(row, grid, range)) {
      if (spans === 'short' && end - begin > most) continue;
      const from = spans === 'short' ? begin : Math.max(left, begin);
      const to = spans === 'short' ? end : Math.min(left + width, end);
      const room = to - from - LABEL_MARGIN * pixelRatio;
      // What does not fit is in the tooltip.
      const label = row.label(span);
      const text = widths(label) <= room ? label : shortLabel(label);
      if (text === '' || widths(text) > room) continue;
      context.fillText(text, Math.round((from + to) / 2) - left, y);
    }
  }
}

let measured: { readonly font: string; readonly widths: Map<string, number> } | null = null;

/** Widths of texts, each measured once for a font: measuring costs as much as painting. */
function widthsOf(
  context: CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D,
): (text: string) => number {
  const { font } = context;
  if (measured?.font !== font || measured.widths.size > MOST_WIDTHS) {
    measured = { font, widths: new Map() };
  }
  const { widths } = measured;
  return (text) => {
    const known = widths.get(text);
    if (known !== undefined) return known;
    const { width } = context.measureText(text);
    widths.set(text, width);
    return width;
  };
}

const MOST_WIDTHS = 50_000;

function paintOver(context: CanvasRenderingContext2D, frame: Frame): void {
  const { paint, nameWidth, width, height } = frame;
  context.save();
  context.beginPath();
  context.rect(nameWidth, 0, width, height);
  context.clip();
  context.translate(nameWidth, 0);
  if (paint.view.rowHeight >= NAMED_ROW) paintLabels(context, frame, wholeOf(frame), 'long');
  if (paint.selected !== null) outline(context, frame, paint.selected);
  context.restore();
  paintNames(context, frame);
}

/** Of low rows only so many have a name as there is room for: each second, fourth, eighth … */
function paintNames(
  context: CanvasRenderingContext2D,
  { timeline, style, paint, nameWidth, top, height }: Frame,
): void {
  const { rowPixels, gapPixels, pixelRatio } = style;
  const { rowHeight } = paint.view;
  const isNamed = rowHeight >= NAMED_ROW;
  const step = isNamed ? 1 : 2 ** Math.ceil(Math.log2(NAME_HEIGHT / rowHeight));
  context.save();
  context.beginPath();
  context.rect(0, 0, nameWidth - 4 * pixelRatio, height);
  context.clip();
  context.font = `${(isNamed ? Math.min(11, rowHeight - 2) : 11) * pixelRatio}px ${paint.font}`;
  context.textBaseline = isNamed ? 'middle' : 'top';
  context.textAlign = 'left';
  context.fillStyle = paint.color;
  const last = Math.min(timeline.rows.length - 1, rowAtPixel(top + height - 1, rowPixels));
  const first = Math.floor(rowAtPixel(top, rowPixels) / step) * step;
  for (let index = first; index <= last; index += step) {
    const from = topOfRow(index, rowPixels) - top;
    const bottom = topOfRow(index + 1, rowPixels) - gapPixels - top;
    const { name, source } = at(timeline.rows, index);
    context.globalAlpha = source === 'simulated' && hasTwoSources(timeline.rows) ? 0.7 : 1;
    context.fillText(name, 4 * pixelRatio, isNamed ? (from + bottom) / 2 : from);
    if (!isNamed) context.fillRect(nameWidth - 10 * pixelRatio, from, 6 * pixelRatio, pixelRatio);
  }
  context.restore();
}

function outline(
  context: CanvasRenderingContext2D,
  { timeline, style, paint, left, top, width }: Frame,
  selected: SpanPlace,
): void {
  const row = timeline.rows[selected.row];
  const [start, end] = [row?.starts[selected.span], row?.ends[selected.span]];
  if (start === undefined || end === undefined) return;
  const { scale, rowPixels, gapPixels, pixelRatio } = style;
  const [first, last] = [start, end].map((time) => (time - timeline.start) * scale - left);
  const y = topOfRow(selected.row, rowPixels) - top;
  const bottom = topOfRow(selected.row + 1, rowPixels) - gapPixels - top;
  // Far beyond the window a line's end loses its digits: cut a little outside of it.
  const from = Math.max(-9, first ?? 0);
  const to = Math.min(width + 9, last ?? 0);
  context.strokeStyle = paint.color;
  context.lineWidth = 2 * pixelRatio;
  context.strokeRect(from, y, Math.max(2, to - from), Math.max(2, bottom - y));
}
