/**
 * Indices that lead into memory, looked at before compiled code follows them: a wrong one would end
 * the process or, worse, not. One pass over small whole numbers, a microsecond per thousand.
 */
import { AssertionError } from '../../base/assert.ts';
import { hostArray, numColumns, numRows } from '../../tensor/tensor.ts';
import type { I32 } from '../kernels.ts';

/** Every element lies in `least` … `limit` − 1. */
export function needIndices(what: string, indices: I32, limit: number, least = 0): void {
  const values = hostArray(indices);
  const width = numColumns(indices);
  const skipped = indices.rowStride - width;
  const rows = numRows(indices);
  for (let row = 0, i = 0; row < rows; row++, i += skipped) {
    for (const end = i + width; i < end; i++) {
      const value = values[i] as number;
      if (!(value >= least && value < limit)) {
        refuse(what, value, { index: row * width + i - row * indices.rowStride, limit });
      }
    }
  }
}

/** Indices in one piece of the host's memory, and where they may lead. */
export interface IndexRange {
  readonly what: string;
  readonly values: Int32Array;
  readonly limit: number;
  readonly least: number;
}

/** As `needIndices`. */
export function needIndexRange({ what, values, limit, least }: IndexRange): void {
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    if (!(value >= least && value < limit)) refuse(what, value, { index: i, limit });
  }
}

function refuse(what: string, value: number, at: { index: number; limit: number }): never {
  throw new AssertionError(`${what} ${value} at ${at.index}, of ${at.limit}`);
}
