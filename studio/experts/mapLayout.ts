/**
 * How a map of layers and experts is laid out: rows as high as a screen allows, columns no narrower
 * than a finger’s aim, labels where they have room, and where a key leads.
 */
import { at } from '../../src/base/assert.ts';
import type { HeatBox, HeatGrid } from '../draw/heatMap.ts';

export interface MapPlace {
  readonly row: number;
  readonly column: number;
}

type GridSize = Pick<HeatGrid, 'numRows' | 'numColumns'>;

/** In pixels; where columns would be narrower, the map scrolls. */
export interface LeastCell {
  readonly row: number;
  readonly column: number;
}

/** A finger's aim. */
export const AIMED_CELL: LeastCell = { row: 10, column: 6 };
/** What can still be seen, where many cells are one picture. */
export const SEEN_CELL: LeastCell = { row: 2, column: 1 };

const MOST_ROW = 34;
const WHOLE = 480;
const ROW_LABEL = 14;
const COLUMN_LABEL = 26;

/** Rows get what `whole` pixels give them, within bounds. */
export function mapHeight({ numRows }: GridSize, least: LeastCell = AIMED_CELL): number {
  const rowHeight = Math.max(least.row, Math.min(MOST_ROW, WHOLE / Math.max(1, numRows)));
  return Math.round(rowHeight * numRows);
}

export function leastMapWidth({ numColumns }: GridSize, least: LeastCell = AIMED_CELL): number {
  return least.column * numColumns;
}

export function mapBox(width: number, height: number): HeatBox {
  return { left: 0, top: 0, width, height };
}

/** Which rows and columns have their number written: every so many. */
export function labelSteps(
  { numRows, numColumns }: GridSize,
  { width, height }: HeatBox,
): { readonly row: number; readonly column: number } {
  return {
    row: niceStep((ROW_LABEL * numRows) / Math.max(1, height)),
    column: niceStep((COLUMN_LABEL * numColumns) / Math.max(1, width)),
  };
}

const NICE = [1, 2, 4, 8, 16, 32, 64, 128];

/** The next power of two: experts come in groups of such sizes. */
function niceStep(least: number): number {
  return NICE.find((step) => step >= least) ?? at(NICE, NICE.length - 1);
}

const MOVES: Readonly<Record<string, MapPlace>> = {
  ArrowUp: { row: -1, column: 0 },
  ArrowDown: { row: 1, column: 0 },
  ArrowLeft: { row: 0, column: -1 },
  ArrowRight: { row: 0, column: 1 },
};

/** Where a key leads from a cell, the first cell where there is none; null for other keys. */
export function placeAfterKey(
  key: string,
  from: MapPlace | null,
  { numRows, numColumns }: GridSize,
): MapPlace | null {
  const move = MOVES[key];
  if (move === undefined) return null;
  if (from === null) return { row: 0, column: 0 };
  return {
    row: within(from.row + move.row, numRows),
    column: within(from.column + move.column, numColumns),
  };
}

function within(index: number, length: number): number {
  return Math.max(0, Math.min(length - 1, index));
}
