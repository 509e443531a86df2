/**
 * Indices that lead into memory, looked at before compiled code follows them: a wrong one would end
 * the process or, worse, not. One pass over small whole numbers, a microsecond per thousand.
 */
import { assert } from '../../base/assert.ts';
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
        assert(
          false,
          `${what} ${value} at ${row * width + i - row * indices.rowStride}, of ${limit}`,
        );
      }
    }
  }
}
