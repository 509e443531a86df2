/** Between a tensor on host memory, whose rows may lie apart, and its elements in one array. */
import { assert } from '../base/assert.ts';
import type { DType, HostArrays } from './dtype.ts';
import {
  hostArray,
  isContiguous,
  numColumns,
  numElements,
  numRows,
  type Tensor,
} from './tensor.ts';

/** The elements without the gaps between rows: always a copy. */
export function packRows<D extends DType>(tensor: Tensor<D>): HostArrays[D] {
  const all = hostArray(tensor);
  if (isContiguous(tensor)) return all.slice() as HostArrays[D];
  const [rows, width] = [numRows(tensor), numColumns(tensor)];
  const result = new (all.constructor as new (length: number) => HostArrays[D])(rows * width);
  for (let row = 0; row < rows; row++) {
    const from = row * tensor.rowStride;
    result.set(all.subarray(from, from + width), row * width);
  }
  return result;
}

/** Writes as many elements as the tensor has; what lies between its rows stays. */
export function unpackRows<D extends DType>(tensor: Tensor<D>, elements: HostArrays[D]): void {
  assert(
    elements.length === numElements(tensor.shape),
    `write of ${elements.length} elements to shape [${tensor.shape}]`,
  );
  const all = hostArray(tensor);
  if (isContiguous(tensor)) {
    all.set(elements);
    return;
  }
  const width = numColumns(tensor);
  for (let row = 0; row < numRows(tensor); row++) {
    all.set(elements.subarray(row * width, (row + 1) * width), row * tensor.rowStride);
  }
}
