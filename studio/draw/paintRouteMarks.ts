/** Puts a token's marks onto a canvas: a thin brush, all decisions are in `routeMap.ts`. */
import type { HeatBrush } from './paintHeatMap.ts';
import type { RouteMark } from './routeMap.ts';

/** @param ink around the marks that have room for it */
export function paintRouteMarks(brush: HeatBrush, marks: readonly RouteMark[], ink: string): void {
  for (const { left, top, width, height, fill, form } of marks) {
    brush.fillStyle = fill;
    brush.fillRect(left, top, width, height);
    if (form === 'filled') continue;
    brush.strokeStyle = ink;
    brush.lineWidth = 1;
    brush.strokeRect(left + 0.5, top + 0.5, width - 1, height - 1);
  }
}
