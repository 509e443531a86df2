/**
 * The canvas of a map of layers and experts, with numbers of layers beside its rows and of experts
 * below its columns. It follows the page's width, the screen's density, the pointer and the keys;
 * where experts are many it scrolls, and the chosen cell stays in sight.
 *
 * V3 has fifteen thousand cells: they are painted once, into a picture that is kept; what is marked
 * on them is painted over it, and what is chosen is framed by an element of the page.
 */
import type { JSX, RefObject } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { cellAt, cellBox, type HeatBox, type HeatGrid } from '../draw/heatMap.ts';
import type { HeatBrush } from '../draw/paintHeatMap.ts';
import {
  type LeastCell,
  labelSteps,
  leastMapWidth,
  type MapPlace,
  mapBox,
  mapHeight,
  placeAfterKey,
} from './mapLayout.ts';

interface Properties {
  readonly grid: HeatGrid;
  readonly rowLabel: (row: number) => string | number;
  readonly columnLabel: (column: number) => string | number;
  /** What rows and columns are. */
  readonly axes: { readonly rows: string; readonly columns: string };
  readonly least: LeastCell;
  readonly chosen: MapPlace | null;
  /** The cells. Must change when what it paints does, and only then; so must `mark`. */
  readonly paint: Paint;
  /** What lies over them. */
  readonly mark?: Paint;
  /** What is framed besides the chosen cell. */
  readonly frames?: 'column';
  readonly onChoose: (place: MapPlace | null) => void;
  /** Whether the pointer chooses by being over a cell, or by a click. */
  readonly choosesBy: 'hover' | 'click';
  readonly label: string;
  /** Of the element that says what is chosen. */
  readonly describedBy: string;
}

export type Paint = (brush: HeatBrush, box: HeatBox) => void;

export function MapCanvas(properties: Properties): JSX.Element {
  const { grid, rowLabel, columnLabel, axes, least, chosen, onChoose, choosesBy } = properties;
  const scroller = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const width = useWidth(canvas);
  const height = mapHeight(grid, least);
  const box = mapBox(width, height);
  const steps = labelSteps(grid, box);

  usePainted(canvas, box, properties);

  useEffect(() => {
    const element = scroller.current;
    if (element === null || chosen === null || width === 0) return;
    const cell = cellBox(grid, chosen, box);
    const left = (canvas.current?.offsetLeft ?? 0) - element.offsetLeft + cell.left;
    if (left < element.scrollLeft) element.scrollLeft = left;
    const most = element.scrollLeft + element.clientWidth - cell.width;
    if (left > most) element.scrollLeft += left - most;
  }, [chosen?.row, chosen?.column, width]);

  const placeOf = (event: PointerEvent | MouseEvent): MapPlace | null =>
    cellAt(grid, { x: event.offsetX, y: event.offsetY }, box);
  const point = (event: PointerEvent): void => {
    const place = placeOf(event);
    // Within a cell nothing changes.
    if (place?.row !== chosen?.row || place?.column !== chosen?.column) onChoose(place);
  };
  const pointing =
    choosesBy === 'hover'
      ? { onPointerMove: point, onPointerDown: point }
      : { onClick: (event: MouseEvent) => onChoose(placeOf(event)) };
  return (
    <div class="map-scroll" ref={scroller}>
      <div class="plot" style={{ minWidth: `${leastMapWidth(grid, least) + 40}px` }}>
        <span class="axis" aria-hidden="true">
          ↓ {axes.rows} → {axes.columns}
        </span>
        <ol class="rows" aria-hidden="true" style={{ height: `${height}px` }}>
          {Array.from({ length: grid.numRows }, (_, row) => (
            <li key={row}>{row % steps.row === 0 ? rowLabel(row) : ''}</li>
          ))}
        </ol>
        <div class="cells">
          <canvas
            ref={canvas}
            tabIndex={0}
            role="img"
            aria-label={properties.label}
            aria-describedby={properties.describedBy}
            style={{ height: `${height}px` }}
            {...pointing}
            onKeyDown={(event) => {
              const next = event.key === 'Escape' ? null : placeAfterKey(event.key, chosen, grid);
              if (next === null && event.key !== 'Escape') return;
              event.preventDefault();
              onChoose(next);
            }}
          />
          {framesOf(properties, box).map(({ left, top, width: across, height: down }, i) => (
            <span
              key={i}
              class="frame"
              style={{
                ...{ left: `${left}px`, top: `${top}px` },
                ...{ width: `${across}px`, height: `${down}px` },
              }}
            />
          ))}
        </div>
        <span />
        <ol class="columns" aria-hidden="true">
          {Array.from({ length: Math.ceil(grid.numColumns / steps.column) }, (_, i) => {
            const at = (100 * (i * steps.column + 0.5)) / grid.numColumns;
            return (
              <li key={i} style={{ insetInlineStart: `${at}%` }}>
                {columnLabel(i * steps.column)}
              </li>
            );
          })}
        </ol>
      </div>
    </div>
  );
}

function framesOf({ grid, chosen, frames }: Properties, box: HeatBox): readonly HeatBox[] {
  if (chosen === null || grid.numRows === 0) return [];
  const cell = cellBox(grid, chosen, box);
  return frames === 'column' ? [{ ...box, left: cell.left, width: cell.width }, cell] : [cell];
}

/** The cells, kept as a picture while they stay as they are, and the marks over them. */
function usePainted(
  canvas: RefObject<HTMLCanvasElement | null>,
  box: HeatBox,
  { paint, mark }: Properties,
): void {
  const kept = useRef<{ paint: Paint; key: string; picture: HTMLCanvasElement } | null>(null);
  useLayoutEffect(() => {
    const element = canvas.current;
    const brush = element?.getContext('2d');
    if (!element || !brush || box.width === 0 || box.height === 0) return;
    const density = globalThis.devicePixelRatio || 1;
    element.width = Math.round(box.width * density);
    element.height = Math.round(box.height * density);
    const key = `${element.width} ${element.height}`;
    if (kept.current?.paint !== paint || kept.current.key !== key) {
      kept.current = { paint, key, picture: pictureOf(paint, box, element) };
    }
    brush.drawImage(kept.current.picture, 0, 0);
    brush.scale(density, density);
    mark?.(brush, box);
  }, [paint, mark, box.width, box.height]);
}

function pictureOf(
  paint: Paint,
  box: HeatBox,
  { width, height }: { readonly width: number; readonly height: number },
): HTMLCanvasElement {
  const picture = document.createElement('canvas');
  picture.width = width;
  picture.height = height;
  const brush = picture.getContext('2d');
  brush?.scale(width / box.width, height / box.height);
  if (brush !== null) paint(brush, box);
  return picture;
}

function useWidth(of: { readonly current: HTMLElement | null }): number {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const element = of.current;
    if (element === null) return;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, [of]);
  return width;
}
