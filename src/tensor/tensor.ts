/**
 * A tensor is a shape over some memory; it owns nothing and knows no operation.
 *
 * The last dim is contiguous. All dims before it flatten to *rows*, `rowStride` elements apart, so
 * that columns of a matrix (the rope part of every head, say) are a view and not a copy:
 *
 *     q_TH(N+P)  ─ columns(q, N, N+P) ─►  [T, H, P] with rowStride N+P
 *
 * Memory is opaque. `buffer` is there when the bytes are the host's; shapes alone (meta kernels)
 * and device memory have none, and only the kernels that made it know what lies behind.
 */
import { assert, at } from '../base/assert.ts';
import { bytesPerElement, type DType, type HostArrays } from './dtype.ts';

export interface Memory {
  readonly byteLength: number;
  readonly buffer: ArrayBufferLike | null;
  /** Where it begins in `buffer`, in bytes; 0 when left out. */
  readonly byteOffset?: number;
}

export interface Tensor<D extends DType = DType> {
  readonly dtype: D;
  readonly shape: readonly number[];
  /** Elements from one row to the next; the last dim itself when contiguous. */
  readonly rowStride: number;
  readonly memory: Memory;
  /** Where the first element lies in `memory`, in bytes. */
  readonly byteOffset: number;
}

export function numElements(shape: readonly number[]): number {
  let count = 1;
  for (const dim of shape) count *= dim;
  return count;
}

/** Length of the last dim. */
export function numColumns(tensor: Tensor): number {
  return at(tensor.shape, tensor.shape.length - 1);
}

/** Product of every dim but the last. */
export function numRows(tensor: Tensor): number {
  let rows = 1;
  for (let i = 0; i < tensor.shape.length - 1; i++) rows *= at(tensor.shape, i);
  return rows;
}

export function isContiguous(tensor: Tensor): boolean {
  return tensor.rowStride === numColumns(tensor) || numRows(tensor) <= 1;
}

/** The same elements under another shape; the tensor must be contiguous. */
export function reshape<D extends DType>(tensor: Tensor<D>, shape: readonly number[]): Tensor<D> {
  assert(isContiguous(tensor), `reshape of a strided tensor [${tensor.shape}]`);
  assert(
    numElements(shape) === numElements(tensor.shape),
    `reshape of [${tensor.shape}] to [${shape}]`,
  );
  return { ...tensor, shape, rowStride: at(shape, shape.length - 1) };
}

/** Columns `from` to `to` (exclusive) of every row, as a view. */
export function columns<D extends DType>(tensor: Tensor<D>, from: number, to: number): Tensor<D> {
  assert(0 <= from && from <= to && to <= numColumns(tensor), `columns ${from}..${to}`);
  return {
    ...tensor,
    shape: [...tensor.shape.slice(0, -1), to - from],
    byteOffset: tensor.byteOffset + from * bytesPerElement(tensor.dtype),
  };
}

/**
 * Entries `from` to `to` (exclusive) of the first dim, as a view; the tensor has two dims or more.
 */
export function slices<D extends DType>(tensor: Tensor<D>, from: number, to: number): Tensor<D> {
  const [first = 0, ...rest] = tensor.shape;
  assert(rest.length > 0, 'slices needs two dims or more');
  assert(0 <= from && from <= to && to <= first, `slices ${from}..${to} of ${first}`);
  const rowsPerEntry = numElements(rest.slice(0, -1));
  const skipped = from * rowsPerEntry * tensor.rowStride * bytesPerElement(tensor.dtype);
  return { ...tensor, shape: [to - from, ...rest], byteOffset: tensor.byteOffset + skipped };
}

/** Entry `index` of the first dim, as a view with one dim less. */
export function entry<D extends DType>(tensor: Tensor<D>, index: number): Tensor<D> {
  const one = slices(tensor, index, index + 1);
  return { ...one, shape: one.shape.slice(1) };
}

/** Elements `from` to `to` (exclusive) of a tensor of one dim, as a view. */
export function elements<D extends DType>(tensor: Tensor<D>, from: number, to: number): Tensor<D> {
  assert(tensor.shape.length === 1, 'elements needs one dim');
  return { ...columns(tensor, from, to), rowStride: to - from };
}

/**
 * The host array over the tensor's bytes, from its first element to its last (strided rows keep
 * their gaps). Fails for tensors whose memory is not the host's.
 */
export function hostArray<D extends DType>(tensor: Tensor<D>): HostArrays[D] {
  const { buffer, byteOffset = 0 } = tensor.memory;
  assert(buffer !== null, 'the tensor has no host memory');
  const rows = numRows(tensor);
  const length = rows === 0 ? 0 : (rows - 1) * tensor.rowStride + numColumns(tensor);
  return viewOf(tensor.dtype, buffer, byteOffset + tensor.byteOffset, length) as HostArrays[D];
}

function viewOf(
  dtype: DType,
  buffer: ArrayBufferLike,
  offset: number,
  length: number,
): HostArrays[DType] {
  switch (dtype) {
    case 'f32':
      return new Float32Array(buffer, offset, length);
    case 'i32':
      return new Int32Array(buffer, offset, length);
    case 'bf16':
    case 'f16':
      return new Uint16Array(buffer, offset, length);
    case 'f8e4m3':
      return new Uint8Array(buffer, offset, length);
    default:
      return dtype satisfies never;
  }
}
