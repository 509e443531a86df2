/**
 * A part of a timeline as the pixels of an image. Rows are counted in pixels from the first row's
 * top as times are from the timeline's start, so that a part looks the same wherever the window is.
 *
 * Each row is written as one line of pixels and copied down to the row's height; of rows lower than
 * a pixel each line shows one. A bubble is shaded and, in rows high enough for it, hatched.
 */
import { BUBBLE, FIRST_KIND, type PixelRange, rasterRow, type Visits } from './rasterRow.ts';
import { type RowSource, type SpanKind, spanKinds, type Timeline } from './timelineIndex.ts';

/** What does not change while a picture is panned. */
export interface ImageStyle {
  /** Pixels of a second. */
  readonly scale: number;
  /** Pixels from one row to the next; below 1 for rows of which not all are seen. */
  readonly rowPixels: number;
  /** Of them ground between rows. */
  readonly gapPixels: number;
  readonly colors: ImageColors;
  /** Pixels of the page for one of CSS: hatching is as coarse on any screen. */
  readonly pixelRatio: number;
}

/** Pixels as `Uint32Array` over the bytes of an image has them. */
export interface ImageColors {
  readonly spans: Readonly<Record<RowSource, Uint32Array>>;
  readonly bubble: number;
  readonly hatch: number;
}

export interface ImagePart extends PixelRange {
  readonly top: number;
  readonly bottom: number;
}

/** Rows lower than this, in CSS pixels, are too low for hatching. */
const HATCHED_ROW = 5;

/** Line by line, 0 where nothing is. */
export function timelineImage(
  timeline: Timeline,
  style: ImageStyle,
  part: ImagePart,
  visits: Visits = { spans: 0 },
): Uint32Array<ArrayBuffer> {
  const { left, right, top, bottom } = part;
  const width = right - left;
  const { rowPixels, gapPixels, pixelRatio } = style;
  const grid = { start: timeline.start, scale: style.scale };
  const pixels = new Uint32Array(width * (bottom - top));
  const codes = new Uint8Array(width);
  const line = new Uint32Array(width);
  const period = Math.round(7 * pixelRatio);
  const isHigh = rowPixels >= HATCHED_ROW * pixelRatio;
  let drawn = -1;
  let hasBubble = false;
  for (let y = top; y < bottom; y++) {
    const row = rowAtPixel(y, rowPixels);
    const found = timeline.rows[row];
    if (found === undefined) break;
    if (row !== drawn) {
      drawn = row;
      rasterRow(found, grid, { left, right, codes, visits });
      hasBubble = colorLine(line, codes, paletteOf(style.colors, found.source));
    }
    if (gapPixels > 0 && y >= topOfRow(row + 1, rowPixels) - gapPixels) continue;
    const offset = (y - top) * width;
    pixels.set(line, offset);
    if (!hasBubble || !isHigh) continue;
    // Counted from the timeline's corner: hatching moves with what is panned.
    let phase = (left + y) % period;
    for (let x = 0; x < width; x++) {
      if (phase < pixelRatio && codes[x] === BUBBLE) pixels[offset + x] = style.colors.hatch;
      if (++phase === period) phase = 0;
    }
  }
  return pixels;
}

/** The row whose middle line, or one of whose lines, this is. */
export function rowAtPixel(y: number, rowPixels: number): number {
  return Math.floor((y + 0.5) / rowPixels);
}

/** The first line of a row. */
export function topOfRow(row: number, rowPixels: number): number {
  return Math.ceil(row * rowPixels - 0.5);
}

const palettes = new WeakMap<ImageColors, Readonly<Record<RowSource, Uint32Array>>>();

/** By code. */
function paletteOf(colors: ImageColors, source: RowSource): Uint32Array {
  const known = palettes.get(colors);
  if (known !== undefined) return known[source];
  const palette = (kinds: Uint32Array): Uint32Array => {
    const all = new Uint32Array(FIRST_KIND + spanKinds.length);
    all[BUBBLE] = colors.bubble;
    all.set(kinds, FIRST_KIND);
    return all;
  };
  const made = { real: palette(colors.spans.real), simulated: palette(colors.spans.simulated) };
  palettes.set(colors, made);
  return made[source];
}

/** True where there is a bubble. */
function colorLine(line: Uint32Array, codes: Uint8Array, palette: Uint32Array): boolean {
  let hasBubble = false;
  for (let x = 0; x < line.length; x++) {
    const code = codes[x] ?? 0;
    if (code === BUBBLE) hasBubble = true;
    line[x] = palette[code] ?? 0;
  }
  return hasBubble;
}

/** Distinct in hue and in lightness, so that they differ without colour too. */
export const spanColors: Readonly<Record<SpanKind, string>> = {
  forward: '#6aa9f0',
  backward: '#3f9d6e',
  weight: '#b5d66b',
  pair: '#b58be0',
  message: '#e8a13c',
  optimizer: '#d96c75',
  compute: '#5fb8c4',
  wait: '#9a9a9a',
  prefill: '#4f86c6',
  decode: '#76c7a0',
  sample: '#e3c34f',
  draft: '#c77dba',
};

/** Where a picture has both sources, how much colour the simulated one has; the rest is ground. */
export const SIMULATED = 0.5;

export function colorsOn(ground: string, share: number): Readonly<Record<SpanKind, string>> {
  const mixed = (color: string): string => {
    const channels = [1, 3, 5].map((from) => {
      const [value, under] = [color, ground].map((each) =>
        Number.parseInt(each.slice(from, from + 2), 16),
      );
      return Math.round((value ?? 0) * share + (under ?? 0) * (1 - share));
    });
    return `#${channels.map((value) => value.toString(16).padStart(2, '0')).join('')}`;
  };
  const entries = spanKinds.map((kind) => [kind, mixed(spanColors[kind])]);
  return Object.fromEntries(entries) as Record<SpanKind, string>;
}

/** `#rrggbb` as a pixel: red is the lowest byte. */
export function pixelOf(color: string): number {
  const value = Number.parseInt(color.slice(1), 16);
  const [red, green, blue] = [value >> 16, (value >> 8) & 255, value & 255];
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

export function pixelsOf(colors: Readonly<Record<SpanKind, string>>): Uint32Array {
  return Uint32Array.from(spanKinds, (kind) => pixelOf(colors[kind]));
}
