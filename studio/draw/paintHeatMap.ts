/** Puts a heat map's cells onto a canvas: a thin brush, all decisions are in `heatMap.ts`. */
import type { HeatCell } from './heatMap.ts';

/** What is used of a canvas's context. */
export type HeatBrush = Pick<
  CanvasRenderingContext2D,
  'fillRect' | 'clearRect' | 'beginPath' | 'moveTo' | 'lineTo' | 'stroke' | 'strokeRect'
> & { fillStyle: unknown; strokeStyle: unknown; lineWidth: number };

/** Cells this small get no seam between them. */
const SEAM_FROM = 8;

/** @param ink of the crosses on dead cells and the dashes on unknown ones */
export function paintHeatMap(brush: HeatBrush, cells: readonly HeatCell[], ink: string): void {
  for (const cell of cells) {
    const seam = Math.min(cell.width, cell.height) >= SEAM_FROM ? 1 : 0;
    brush.fillStyle = cell.fill;
    brush.fillRect(cell.left, cell.top, cell.width - seam, cell.height - seam);
    if (cell.mark === 'dead') cross(brush, cell, ink);
    if (cell.mark === 'unknown') dash(brush, cell, ink);
  }
}

/** Dead: crossed out, by a cross of one shape however wide the cell is. */
function cross(brush: HeatBrush, { left, top, width, height }: HeatCell, ink: string): void {
  const least = Math.min(width, height);
  const reach = least * 0.22;
  const [x, y] = [left + width / 2, top + height / 2];
  brush.strokeStyle = ink;
  brush.lineWidth = Math.max(1, Math.min(2, least / 14));
  brush.beginPath();
  brush.moveTo(x - reach, y - reach);
  brush.lineTo(x + reach, y + reach);
  brush.moveTo(x + reach, y - reach);
  brush.lineTo(x - reach, y + reach);
  brush.stroke();
}

/** No value: a dash. */
function dash(brush: HeatBrush, { left, top, width, height }: HeatCell, ink: string): void {
  brush.strokeStyle = ink;
  brush.lineWidth = 1;
  brush.beginPath();
  const reach = Math.min(width, height) * 0.2;
  brush.moveTo(left + width / 2 - reach, top + height / 2);
  brush.lineTo(left + width / 2 + reach, top + height / 2);
  brush.stroke();
}
