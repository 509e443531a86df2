/**
 * A prompt's routes as a picture: a heat map of how many of its tokens each expert got, and over it
 * the experts of one token, as marks that are larger where the token leans on an expert more.
 *
 * The heat is a scale from nothing to all; marks have the other hue of the palette, a ring besides,
 * and cover their cell where cells are too small for either.
 */
import {
  cellBox,
  css,
  type HeatBox,
  type HeatCell,
  type HeatColours,
  type HeatGrid,
  heatCells,
  heatColour,
} from './heatMap.ts';

export interface RouteChoice {
  readonly row: number;
  readonly column: number;
  /** 0 to 1, of the token's weights in its row. */
  readonly share: number;
}

export interface RouteMark extends HeatBox {
  readonly row: number;
  readonly column: number;
  readonly fill: string;
  /** Whether it has room for a ring around it. */
  readonly form: 'ringed' | 'filled';
}

export interface RoutePlan {
  readonly box: HeatBox;
  readonly colours: HeatColours;
}

/** Cells below this are filled whole. */
const RING_FROM = 8;

/** Shades from no token to `most`. */
export function routeCells(
  grid: HeatGrid,
  most: number,
  { box, colours }: RoutePlan,
): readonly HeatCell[] {
  return heatCells(grid, { box, colours, scale: { kind: 'signed', limit: Math.max(1, most) } });
}

/** What shades mean: none, about half, and all that the busiest got. */
export function routeLegend(
  most: number,
  colours: HeatColours,
): readonly { readonly count: number; readonly fill: string }[] {
  const limit = Math.max(1, most);
  const counts = [...new Set([0, Math.round(limit / 2), limit])];
  return counts.map((count) => {
    return { count, fill: css(heatColour(count, { kind: 'signed', limit }, colours)) };
  });
}

export function routeMarks(
  grid: Pick<HeatGrid, 'numRows' | 'numColumns'>,
  choices: readonly RouteChoice[],
  { box, colours }: RoutePlan,
): readonly RouteMark[] {
  const fill = css(colours.low);
  return choices.map(({ row, column, share }) => {
    const cell = cellBox(grid, { row, column }, box);
    const least = Math.min(cell.width, cell.height);
    if (least < RING_FROM) return { ...cell, row, column, fill, form: 'filled' };
    // By area, and never so small that it is not seen.
    const side = least * (0.35 + 0.5 * Math.sqrt(share));
    const left = cell.left + (cell.width - side) / 2;
    const top = cell.top + (cell.height - side) / 2;
    return { left, top, width: side, height: side, row, column, fill, form: 'ringed' };
  });
}
