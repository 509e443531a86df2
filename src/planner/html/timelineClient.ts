/**
 * The timeline's script: it runs in the reader's browser, not here. The page gets the functions of
 * this file as their own source text, so they use nothing but one another, and of the browser only
 * what `browserParts.ts` names.
 */
import type { Page, Part, Surface, Surroundings } from './browserParts.ts';
import type { TimelineData } from './timelineData.ts';

interface DrawnSpan {
  readonly kind: string;
  readonly start: number;
  readonly end: number;
  readonly stage: number;
  readonly microBatch: number;
  readonly backwardStage: number;
  readonly backwardMicroBatch: number;
}

interface Timeline {
  readonly page: Page;
  readonly view: Surroundings;
  readonly canvas: Part;
  readonly length: number;
  readonly rows: readonly { readonly rank: number; readonly spans: readonly DrawnSpan[] }[];
  readonly hasTransfers: boolean;
  /** Microseconds at the left and right edge. */
  from: number;
  to: number;
  chosen: { row: number; index: number } | null;
}

interface Layout {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly rowHeight: number;
}

function startTimeline(page: Page, view: Surroundings): void {
  const data = JSON.parse(page.getElementById('timeline-data').textContent) as TimelineData;
  const canvas = page.getElementById('timeline-canvas');
  const rows = data.ranks.map(({ rank, spans }) => ({
    rank,
    spans: unpackSpans(spans, data.kinds),
  }));
  const timeline: Timeline = {
    page,
    view,
    canvas,
    length: data.length,
    rows,
    hasTransfers: rows.some(({ spans }) => spans.some(({ kind }) => kind === 'communication')),
    from: 0,
    to: data.length,
    chosen: null,
  };
  listenToPointer(timeline);
  listenToKeys(timeline);
  for (const button of page.getElementById('timeline').querySelectorAll('button')) {
    button.addEventListener('click', () => act(timeline, button.dataset.action ?? ''));
  }
  const redraw = (): void => drawTimeline(timeline);
  view.addEventListener('resize', redraw);
  view.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
  redraw();
}

function unpackSpans(numbers: readonly number[], kinds: readonly string[]): DrawnSpan[] {
  const spans: DrawnSpan[] = [];
  let start = 0;
  for (let i = 0; i < numbers.length; ) {
    const kind = kinds[numbers[i] ?? 0] ?? 'other';
    const isPair = kind === 'pair';
    start += numbers[i + 1] ?? 0;
    spans.push({
      kind,
      start,
      end: start + (numbers[i + 2] ?? 0),
      stage: numbers[i + 3] ?? -1,
      microBatch: numbers[i + 4] ?? -1,
      backwardStage: isPair ? (numbers[i + 5] ?? -1) : -1,
      backwardMicroBatch: isPair ? (numbers[i + 6] ?? -1) : -1,
    });
    i += isPair ? 7 : 5;
  }
  return spans;
}

function layoutOf({ canvas, rows }: Timeline): Layout {
  const isNarrow = canvas.clientWidth < 600;
  const rowHeight = rows.length <= 16 ? 26 : rows.length <= 32 ? 18 : 12;
  return { left: isNarrow ? 26 : 60, right: canvas.clientWidth - 8, top: 26, rowHeight };
}

function drawTimeline(timeline: Timeline): void {
  const { canvas, view, rows, page } = timeline;
  const { left, right, top, rowHeight } = layoutOf(timeline);
  const height = top + rows.length * rowHeight + 6;
  const ratio = view.devicePixelRatio || 1;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(canvas.clientWidth * ratio);
  canvas.height = Math.round(height * ratio);
  const styles = view.getComputedStyle(page.documentElement);
  const colour = (name: string): string => styles.getPropertyValue(`--${name}`).trim();
  const surface = canvas.getContext('2d');
  surface.setTransform(ratio, 0, 0, ratio, 0, 0);
  surface.clearRect(0, 0, canvas.clientWidth, height);
  surface.textBaseline = 'middle';
  drawAxis(timeline, surface, colour);
  surface.save();
  surface.beginPath();
  surface.rect(left, 0, right - left, height);
  surface.clip();
  for (let row = 0; row < rows.length; row++) {
    drawBubble(timeline, surface, { y: top + row * rowHeight, colour });
    for (const span of rows[row]?.spans ?? []) drawSpan(timeline, surface, { span, row, colour });
  }
  drawChosen(timeline, surface, colour);
  surface.restore();
  surface.font = '12px system-ui, sans-serif';
  surface.fillStyle = colour('text');
  surface.textAlign = 'right';
  const every = Math.ceil(14 / rowHeight);
  for (let row = 0; row < rows.length; row += every) {
    const name = left > 40 ? `rank ${rows[row]?.rank}` : `${rows[row]?.rank}`;
    surface.fillText(name, left - 8, top + (row + 0.5) * rowHeight);
  }
  // For tests, and for whoever looks into the page.
  canvas.dataset.layout = JSON.stringify({
    ...layoutOf(timeline),
    from: timeline.from,
    to: timeline.to,
  });
}

function drawAxis(timeline: Timeline, surface: Surface, colour: (name: string) => string): void {
  const { left, right, top, rowHeight } = layoutOf(timeline);
  const wanted = (timeline.to - timeline.from) / Math.max(2, (right - left) / 110);
  const power = 10 ** Math.floor(Math.log10(Math.max(wanted, 1)));
  const step = power * ([1, 2, 5].find((each) => each * power >= wanted) ?? 10);
  surface.font = '12px system-ui, sans-serif';
  surface.textAlign = 'center';
  surface.lineWidth = 1;
  for (let time = Math.ceil(timeline.from / step) * step; time <= timeline.to; time += step) {
    const x = xOf(timeline, time);
    surface.strokeStyle = colour('grid');
    surface.beginPath();
    surface.moveTo(x, top - 6);
    surface.lineTo(x, top + timeline.rows.length * rowHeight);
    surface.stroke();
    surface.fillStyle = colour('muted');
    const isAtEdge = x > right - 18;
    surface.textAlign = isAtEdge ? 'right' : 'center';
    surface.fillText(timeText(time, step), isAtEdge ? right + 6 : x, 9);
  }
}

function drawBubble(
  timeline: Timeline,
  surface: Surface,
  { y, colour }: { readonly y: number; readonly colour: (name: string) => string },
): void {
  const { left, right, rowHeight } = layoutOf(timeline);
  const [x0, x1] = [
    Math.max(left, xOf(timeline, 0)),
    Math.min(right, xOf(timeline, timeline.length)),
  ];
  // Beneath the passes only: a quiet network is no bubble.
  const height = rowHeight - 2 - stripHeight(timeline);
  surface.save();
  surface.beginPath();
  surface.rect(x0, y + 1, x1 - x0, height);
  surface.clip();
  surface.fillStyle = colour('bubble');
  surface.fillRect(x0, y + 1, x1 - x0, height);
  surface.strokeStyle = colour('hatch');
  surface.lineWidth = 1;
  surface.beginPath();
  for (let x = x0 - rowHeight; x < x1; x += 7) {
    surface.moveTo(x, y + rowHeight);
    surface.lineTo(x + rowHeight, y);
  }
  surface.stroke();
  surface.restore();
}

/** What transfers get of a row's height, where there are any. */
function stripHeight(timeline: Timeline): number {
  return timeline.hasTransfers ? Math.round((layoutOf(timeline).rowHeight - 2) * 0.24) : 0;
}

function boxOf(timeline: Timeline, row: number, span: DrawnSpan) {
  const { top, rowHeight } = layoutOf(timeline);
  const x = xOf(timeline, span.start);
  const width = Math.max(xOf(timeline, span.end) - x, 0.4);
  const inner = rowHeight - 2;
  const strip = stripHeight(timeline);
  const isTransfer = span.kind === 'communication';
  const y = top + row * rowHeight + 1 + (isTransfer ? inner - strip : 0);
  return { x, y, width, height: isTransfer ? strip : inner - strip };
}

function drawSpan(
  timeline: Timeline,
  surface: Surface,
  { span, row, colour }: { span: DrawnSpan; row: number; colour: (name: string) => string },
): void {
  if (span.end < timeline.from || span.start > timeline.to) return;
  const { x, y, width, height } = boxOf(timeline, row, span);
  // A seam between neighbours, once they are wide enough to keep their colour.
  const seam = width > 4 ? 1 : 0;
  const isPair = span.kind === 'pair';
  surface.fillStyle = colour(isPair ? 'forward' : span.kind);
  surface.fillRect(x, y, width - seam, isPair ? height / 2 : height);
  if (isPair) {
    surface.fillStyle = colour('backward');
    surface.fillRect(x, y + height / 2, width - seam, height / 2);
  }
  if (span.microBatch < 0 || span.kind === 'communication' || height < 10) return;
  surface.fillStyle = colour(`on-${isPair ? 'forward' : span.kind}`);
  surface.textAlign = 'center';
  const label = String(span.microBatch);
  const fits = width > label.length * 6.5 + 5;
  if (!isPair && fits) {
    surface.font = '11px system-ui, sans-serif';
    surface.fillText(label, x + width / 2, y + height / 2 + 0.5);
  } else if (isPair && fits && height >= 20) {
    surface.font = '9px system-ui, sans-serif';
    surface.fillText(label, x + width / 2, y + height / 4 + 0.5);
    surface.fillStyle = colour('on-backward');
    surface.fillText(String(span.backwardMicroBatch), x + width / 2, y + (height * 3) / 4 + 0.5);
  }
}

function drawChosen(timeline: Timeline, surface: Surface, colour: (name: string) => string): void {
  const { chosen } = timeline;
  if (chosen === null) return;
  const span = timeline.rows[chosen.row]?.spans[chosen.index];
  if (span === undefined) return;
  const { x, y, width, height } = boxOf(timeline, chosen.row, span);
  surface.strokeStyle = colour('text');
  surface.lineWidth = 2;
  surface.beginPath();
  surface.rect(x, y, Math.max(width, 3), height);
  surface.stroke();
}

function xOf(timeline: Timeline, time: number): number {
  const { left, right } = layoutOf(timeline);
  return left + ((time - timeline.from) / (timeline.to - timeline.from)) * (right - left);
}

function timeAt(timeline: Timeline, x: number): number {
  const { left, right } = layoutOf(timeline);
  return timeline.from + ((x - left) / (right - left)) * (timeline.to - timeline.from);
}

/** In seconds or milliseconds, with as many digits as a step of `step` microseconds needs. */
function timeText(microseconds: number, step: number): string {
  if (step >= 1e4) {
    const digits = step >= 1e6 ? 0 : step >= 1e5 ? 1 : 2;
    return `${(microseconds / 1e6).toFixed(digits)} s`;
  }
  return `${(microseconds / 1e3).toFixed(step >= 1e3 ? 0 : step >= 100 ? 1 : 2)} ms`;
}

function describeSpan(rank: number, span: DrawnSpan): string {
  const names: Record<string, string> = {
    forward: 'forward',
    backward: 'backward',
    weight: 'weight gradients',
    pair: 'forward over backward',
    communication: 'transfer',
    optimizer: 'optimizer',
  };
  const pass = (stage: number, microBatch: number): string =>
    `${stage < 0 ? '' : ` stage ${stage}`}${microBatch < 0 ? '' : ` micro-batch ${microBatch}`}`;
  const what = `${names[span.kind] ?? span.kind}:${pass(span.stage, span.microBatch)}`;
  const other =
    span.kind === 'pair' ? `, backward${pass(span.backwardStage, span.backwardMicroBatch)}` : '';
  const millis = (span.end - span.start) / 1e3;
  const from = (span.start / 1e6).toFixed(3);
  return `rank ${rank}, ${what.replace(/:$/, '')}${other}; ${millis.toFixed(2)} ms from ${from} s`;
}

function spanAt(timeline: Timeline, x: number, y: number): { row: number; index: number } | null {
  const { left, top, rowHeight } = layoutOf(timeline);
  const row = Math.floor((y - top) / rowHeight);
  const spans = timeline.rows[row]?.spans;
  if (spans === undefined || x < left) return null;
  let index = -1;
  for (let each = 0; each < spans.length; each++) {
    const span = spans[each];
    if (span === undefined) continue;
    const box = boxOf(timeline, row, span);
    if (x < box.x - 1 || x > box.x + box.width + 1) continue;
    if (y >= box.y && y <= box.y + box.height) index = each;
  }
  return index < 0 ? null : { row, index };
}

/** Keeps `centre` where it is; never wider than the step, never under 50 µs. */
function zoom(timeline: Timeline, factor: number, centre: number): void {
  const width = Math.min(timeline.length, Math.max(50, (timeline.to - timeline.from) * factor));
  const share = (centre - timeline.from) / (timeline.to - timeline.from);
  show(timeline, centre - share * width, width);
}

function show(timeline: Timeline, from: number, width: number): void {
  timeline.from = Math.max(0, Math.min(from, timeline.length - width));
  timeline.to = timeline.from + width;
  drawTimeline(timeline);
}

function act(timeline: Timeline, action: string): void {
  const width = timeline.to - timeline.from;
  const centre = timeline.from + width / 2;
  if (action === 'closer') zoom(timeline, 0.5, centre);
  if (action === 'wider') zoom(timeline, 2, centre);
  if (action === 'earlier') show(timeline, timeline.from - width / 4, width);
  if (action === 'later') show(timeline, timeline.from + width / 4, width);
  if (action === 'all') show(timeline, 0, timeline.length);
}

function listenToPointer(timeline: Timeline): void {
  const { canvas, page } = timeline;
  const tip = page.getElementById('timeline-tip');
  let held: { x: number; from: number } | null = null;
  canvas.addEventListener('pointerdown', (event) => {
    held = { x: event.clientX, from: timeline.from };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener('pointerup', (event) => {
    if (held !== null && Math.abs(held.x - event.clientX) < 4) {
      choose(timeline, spanAt(timeline, event.offsetX, event.offsetY));
    }
    held = null;
  });
  canvas.addEventListener('pointermove', (event) => {
    if (held !== null) {
      const { left, right } = layoutOf(timeline);
      const width = timeline.to - timeline.from;
      show(timeline, held.from + ((held.x - event.clientX) / (right - left)) * width, width);
    }
    const found = spanAt(timeline, event.offsetX, event.offsetY);
    const row = found === null ? undefined : timeline.rows[found.row];
    const span = found === null ? undefined : row?.spans[found.index];
    tip.hidden = span === undefined;
    if (span === undefined || row === undefined) return;
    tip.textContent = describeSpan(row.rank, span);
    const x = Math.min(event.offsetX + 12, canvas.clientWidth - tip.offsetWidth - 4);
    tip.style.left = `${Math.max(0, x)}px`;
    tip.style.top = `${event.offsetY + 18}px`;
  });
  canvas.addEventListener('pointerleave', () => {
    tip.hidden = true;
  });
  canvas.addEventListener(
    'wheel',
    (event) => {
      // A plain wheel scrolls the page, as everywhere else.
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoom(timeline, event.deltaY > 0 ? 1.25 : 0.8, timeAt(timeline, event.offsetX));
    },
    { passive: false },
  );
}

function listenToKeys(timeline: Timeline): void {
  const actions: Record<string, string> = {
    '+': 'closer',
    '=': 'closer',
    '-': 'wider',
    '0': 'all',
  };
  timeline.canvas.addEventListener('keydown', (event) => {
    const chosen = timeline.chosen ?? { row: 0, index: -1 };
    const action = actions[event.key];
    if (action !== undefined) act(timeline, action);
    else if (event.shiftKey && event.key === 'ArrowLeft') act(timeline, 'earlier');
    else if (event.shiftKey && event.key === 'ArrowRight') act(timeline, 'later');
    else if (event.key === 'ArrowLeft') step(timeline, chosen, { rows: 0, spans: -1 });
    else if (event.key === 'ArrowRight') step(timeline, chosen, { rows: 0, spans: 1 });
    else if (event.key === 'ArrowUp') step(timeline, chosen, { rows: -1, spans: 0 });
    else if (event.key === 'ArrowDown') step(timeline, chosen, { rows: 1, spans: 0 });
    else if (event.key === 'Escape') choose(timeline, null);
    else return;
    event.preventDefault();
  });
}

/** To the next span of the rank, or to the one at the same time on the rank above or below. */
function step(
  timeline: Timeline,
  chosen: { readonly row: number; readonly index: number },
  by: { readonly rows: number; readonly spans: number },
): void {
  const row = Math.max(0, Math.min(chosen.row + by.rows, timeline.rows.length - 1));
  const spans = timeline.rows[row]?.spans ?? [];
  const time = timeline.rows[chosen.row]?.spans[chosen.index]?.start ?? timeline.from;
  const near = spans.findLastIndex((span) => span.start <= time);
  const index = by.rows === 0 ? chosen.index + by.spans : near;
  choose(timeline, { row, index: Math.max(0, Math.min(index, spans.length - 1)) });
}

function choose(timeline: Timeline, chosen: { row: number; index: number } | null): void {
  timeline.chosen = chosen;
  const row = chosen === null ? undefined : timeline.rows[chosen.row];
  const span = chosen === null ? undefined : row?.spans[chosen.index];
  timeline.page.getElementById('timeline-said').textContent =
    span === undefined || row === undefined ? '' : describeSpan(row.rank, span);
  const width = timeline.to - timeline.from;
  if (span !== undefined && (span.start < timeline.from || span.end > timeline.to)) {
    show(timeline, (span.start + span.end) / 2 - width / 2, width);
  } else drawTimeline(timeline);
}

const FUNCTIONS = [
  startTimeline,
  unpackSpans,
  layoutOf,
  drawTimeline,
  drawAxis,
  drawBubble,
  stripHeight,
  boxOf,
  drawSpan,
  drawChosen,
  xOf,
  timeAt,
  timeText,
  describeSpan,
  spanAt,
  zoom,
  show,
  act,
  listenToPointer,
  listenToKeys,
  step,
  choose,
];

/** The script as the page has it. */
export const timelineScript: string = [
  "'use strict';",
  // The runtime blanks out types and leaves their room.
  ...FUNCTIONS.map((each) => String(each).replace(/ {2,}/g, ' ').replace(/^ ?\n/gm, '')),
  'startTimeline(document, window);',
].join('\n');
