/**
 * A heat map as data: values in rows and columns become coloured cells, and a place in the picture
 * becomes the cell beneath it. Nothing here draws; `paintHeatMap.ts` does.
 *
 * The scale has a middle that means "as it should be", and both sides of it get the same length of
 * colour in the logarithm: a load of twice the ideal is as far from white as one of half. Blue to
 * orange are told apart by every kind of colour-blind eye; what is 0 (a dead expert) is off the
 * scale and marked by a pattern besides.
 *
 *     ¼×        ½×        1×        2×        4×
 *     blue ◄──────────── middle ────────────► orange
 */
import { assert, at } from '../../src/base/assert.ts';

export type Rgb = readonly [red: number, green: number, blue: number];

/** `ratio`: around 1, in logarithms. `signed`: around 0, linear. */
export interface HeatScale {
  readonly kind: 'ratio' | 'signed';
  /** The value at the end of the colours, the same distance both ways: above 1, or above 0. */
  readonly limit: number;
}

export interface HeatColours {
  readonly low: Rgb;
  readonly middle: Rgb;
  readonly high: Rgb;
  /** Below a cell that has no value, and below the pattern of a dead one. */
  readonly none: Rgb;
}

/** Ends by Okabe and Ito's palette, which every kind of colour vision tells apart. */
export const LIGHT_COLOURS: HeatColours = {
  low: [0, 90, 160],
  middle: [247, 247, 247],
  high: [200, 80, 0],
  none: [225, 225, 225],
};

export const DARK_COLOURS: HeatColours = {
  low: [86, 180, 233],
  middle: [38, 40, 44],
  high: [245, 150, 40],
  none: [70, 70, 74],
};

export interface HeatGrid {
  readonly numRows: number;
  readonly numColumns: number;
  /** Row by row; NaN where there is no value. */
  readonly values: ArrayLike<number>;
}

export interface HeatBox {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export interface HeatCell extends HeatBox {
  readonly row: number;
  readonly column: number;
  readonly value: number;
  readonly fill: string;
  /** `dead`: no load at all; `unknown`: no value. */
  readonly mark: 'none' | 'dead' | 'unknown';
}

export interface HeatPlan {
  readonly scale: HeatScale;
  readonly colours: HeatColours;
  readonly box: HeatBox;
}

/** One rectangle for each cell, row by row; together they cover the box without a seam. */
export function heatCells(grid: HeatGrid, { scale, colours, box }: HeatPlan): readonly HeatCell[] {
  const { numRows, numColumns, values } = grid;
  assert(values.length === numRows * numColumns, `${values.length} values of a heat map`);
  return Array.from({ length: values.length }, (_, index) => {
    const row = Math.floor(index / numColumns);
    const column = index % numColumns;
    const value = at(values, index);
    const mark = markOf(value, scale);
    const fill = mark === 'none' ? heatColour(value, scale, colours) : colours.none;
    return { row, column, value, mark, fill: css(fill), ...cellBox(grid, { row, column }, box) };
  });
}

/** The cell at a point of the picture; null outside. */
export function cellAt(
  { numRows, numColumns }: Pick<HeatGrid, 'numRows' | 'numColumns'>,
  point: { readonly x: number; readonly y: number },
  box: HeatBox,
): { readonly row: number; readonly column: number } | null {
  const across = (point.x - box.left) / box.width;
  const down = (point.y - box.top) / box.height;
  if (!(across >= 0 && across < 1 && down >= 0 && down < 1)) return null;
  // Rounding may lift what is just below 1 onto the next cell.
  const row = Math.min(numRows - 1, Math.floor(down * numRows));
  const column = Math.min(numColumns - 1, Math.floor(across * numColumns));
  return { row, column };
}

export function cellBox(
  { numRows, numColumns }: Pick<HeatGrid, 'numRows' | 'numColumns'>,
  { row, column }: { readonly row: number; readonly column: number },
  box: HeatBox,
): HeatBox {
  const width = box.width / numColumns;
  const height = box.height / numRows;
  return { left: box.left + column * width, top: box.top + row * height, width, height };
}

/** −1 to 1: where on the scale a value stands, 0 in its middle. */
export function placeOnScale(value: number, { kind, limit }: HeatScale): number {
  assert(limit > (kind === 'ratio' ? 1 : 0), `a scale that ends at ${limit}`);
  const place = kind === 'ratio' ? Math.log(value) / Math.log(limit) : value / limit;
  return Math.min(1, Math.max(-1, place));
}

/** The value at a place of the scale: what a legend writes. */
export function valueOnScale(place: number, { kind, limit }: HeatScale): number {
  return kind === 'ratio' ? limit ** place : limit * place;
}

export function heatColour(value: number, scale: HeatScale, colours: HeatColours): Rgb {
  const place = placeOnScale(value, scale);
  const end = place < 0 ? colours.low : colours.high;
  return mixed(colours.middle, end, Math.abs(place));
}

export interface LegendStop {
  readonly value: number;
  readonly label: string;
  readonly fill: string;
}

/** From the low end to the high one, `numStops` of them; an odd number shows the middle. */
export function heatLegend(
  numStops: number,
  { scale, colours }: Pick<HeatPlan, 'scale' | 'colours'>,
): readonly LegendStop[] {
  assert(numStops >= 2, `a legend of ${numStops}`);
  return Array.from({ length: numStops }, (_, i) => {
    const value = valueOnScale((2 * i) / (numStops - 1) - 1, scale);
    const label = scale.kind === 'ratio' ? `${shortNumber(value)}×` : shortNumber(value);
    return { value, label, fill: css(heatColour(value, scale, colours)) };
  });
}

/** A limit that all values fit under, not below `least`, so that calm data stays calm. */
export function limitFor(values: Iterable<number>, kind: HeatScale['kind'], least: number): number {
  let limit = least;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (kind === 'signed') limit = Math.max(limit, Math.abs(value));
    else if (value > 0) limit = Math.max(limit, value, 1 / value);
  }
  return limit;
}

/** Three digits, and no zeros behind them. */
export function shortNumber(value: number): string {
  return String(Number(value.toPrecision(3))).replace('-', '−');
}

export function css([red, green, blue]: Rgb): string {
  return `rgb(${red}, ${green}, ${blue})`;
}

function markOf(value: number, { kind }: HeatScale): HeatCell['mark'] {
  if (Number.isNaN(value)) return 'unknown';
  return kind === 'ratio' && value === 0 ? 'dead' : 'none';
}

function mixed(from: Rgb, to: Rgb, share: number): Rgb {
  const channel = (i: 0 | 1 | 2): number => Math.round(from[i] + (to[i] - from[i]) * share);
  return [channel(0), channel(1), channel(2)];
}
