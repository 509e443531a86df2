/**
 * How the reference kernels see a tensor: a typed array over its host memory, and a stride. Row r
 * of a matrix starts at `r * rowStride` of that array.
 */
import { at } from '../../base/assert.ts';
import { dequantizeBlocks, FP8_BLOCK } from '../../tensor/fp8.ts';
import { decodeBf16Array, decodeF16Array } from '../../tensor/halfFloat.ts';
import { packRows } from '../../tensor/hostRows.ts';
import { hostArray, numColumns, type Tensor } from '../../tensor/tensor.ts';
import type { Weight } from '../kernels.ts';

/** A matrix for a product: row r is at `offset + r * stride`. */
export interface HostMatrix {
  readonly values: Float32Array;
  readonly offset: number;
  readonly stride: number;
}

export function hostMatrix(tensor: Tensor<'f32'>): HostMatrix {
  return { values: hostArray(tensor), offset: 0, stride: tensor.rowStride };
}

/** The float32 matrix that a weight stands for; all dims but the last flatten to rows. */
export function weightMatrix(weight: Weight): HostMatrix {
  const { values, scales } = weight;
  const { dtype } = values;
  const width = numColumns(values);
  switch (dtype) {
    case 'f32':
      return hostMatrix(values as Tensor<'f32'>);
    case 'bf16': {
      const codes = packRows(values as Tensor<'bf16'>);
      const decoded = new Float32Array(codes.length);
      decodeBf16Array(decoded, codes);
      return { values: decoded, offset: 0, stride: width };
    }
    case 'f16': {
      const codes = packRows(values as Tensor<'f16'>);
      const decoded = new Float32Array(codes.length);
      decodeF16Array(decoded, codes);
      return { values: decoded, offset: 0, stride: width };
    }
    case 'f8e4m3': {
      const decoded = dequantized(values as Tensor<'f8e4m3'>, scales as Tensor<'f32'>, FP8_BLOCK);
      return { values: decoded, offset: 0, stride: width };
    }
    default:
      return dtype satisfies never;
  }
}

/**
 * Codes times scales, in float32. Each matrix (the last two dims) is cut into tiles of 128 columns
 * by `tileRows` rows; edge tiles are partial.
 */
export function dequantized(
  codes: Tensor<'f8e4m3'>,
  scales: Tensor<'f32'>,
  tileRows: number,
): Float32Array {
  const [source, scale] = [packRows(codes), packRows(scales)];
  const shape = {
    rows: codes.shape.length < 2 ? 1 : at(codes.shape, codes.shape.length - 2),
    columns: numColumns(codes),
    blockRows: tileRows,
    blockColumns: FP8_BLOCK,
  };
  const size = shape.rows * shape.columns;
  const numScales = Math.ceil(shape.rows / tileRows) * Math.ceil(shape.columns / FP8_BLOCK);
  const result = new Float32Array(source.length);
  for (let matrix = 0; matrix * size < source.length; matrix++) {
    dequantizeBlocks({
      out: result.subarray(matrix * size, (matrix + 1) * size),
      codes: source.subarray(matrix * size, (matrix + 1) * size),
      scales: scale.subarray(matrix * numScales, (matrix + 1) * numScales),
      shape,
    });
  }
  return result;
}
