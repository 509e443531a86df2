/** One layer's experts over all the steps at once: what a slider shows one after another. */
import { at } from '../../src/base/assert.ts';
import type { HeatGrid } from '../draw/heatMap.ts';
import { type ExpertHistory, type Measure, valuesOf } from './expertFrames.ts';

/** A layer over time: experts as rows, frames as columns. */
export interface TimePicture {
  readonly grid: HeatGrid;
  /** Of each column, its frame in the history. */
  readonly frames: readonly number[];
}

/** @param mostColumns more frames than this are thinned; the first and the newest stay */
export function timePicture(
  { frames }: ExpertHistory,
  { layer, measure, mostColumns }: { layer: number; measure: Measure; mostColumns: number },
): TimePicture {
  const numColumns = Math.min(frames.length, mostColumns);
  const last = frames.length - 1;
  const columns = Array.from({ length: numColumns }, (_, i) =>
    numColumns === 1 ? last : Math.round((i * last) / (numColumns - 1)),
  );
  const rows = columns.map((index) => {
    const found = at(frames, index).layers.find((each) => each.layer === layer);
    return found === undefined ? null : valuesOf(found, measure);
  });
  const numRows = Math.max(0, ...rows.map((row) => row?.length ?? 0));
  const values = Array.from({ length: numRows }, (_, expert) =>
    rows.map((row) => row?.[expert] ?? Number.NaN),
  ).flat();
  return { grid: { numRows, numColumns, values }, frames: columns };
}
