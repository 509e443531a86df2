/**
 * FP8 (report, 3.3.2): quantising by tiles and blocks, and the product on codes. A 128-slice of the
 * sum is exact in doubles, which is what promotion to float32 every 128 products aims at.
 */
import { at } from '../../base/assert.ts';
import {
  FP8_BLOCK,
  quantizeBlock128x128,
  quantizeTile1x128,
  smallFloatTable,
} from '../../tensor/fp8.ts';
import { packRows, unpackRows } from '../../tensor/hostRows.ts';
import { hostArray, numColumns, numRows } from '../../tensor/tensor.ts';
import type { Operations } from '../shapes.ts';
import { dequantized } from './host.ts';

type Fp8 = Pick<Operations, 'quantizeFp8' | 'dequantizeFp8' | 'findSpecialCodes' | 'fp8Matmul'>;

export const fp8: Fp8 = {
  quantizeFp8: ({ codes, scales, x, tile, scaleFormat }) => {
    const quantize = tile === '1x128' ? quantizeTile1x128 : quantizeBlock128x128;
    const values = packRows(x);
    const columns = numColumns(x);
    // Blocks never span matrices, so a stack of them is quantised one by one.
    const rows = tile === '1x128' ? numRows(x) : at(x.shape, x.shape.length - 2);
    const size = rows * columns;
    const quantizedCodes = new Uint8Array(values.length);
    const quantizedScales: number[] = [];
    for (let from = 0; from < values.length; from += size) {
      const matrix = values.subarray(from, from + size);
      const result = quantize({ values: matrix, rows, columns, scale: scaleFormat });
      quantizedCodes.set(result.codes, from);
      quantizedScales.push(...result.scales);
    }
    unpackRows(codes, quantizedCodes);
    unpackRows(scales, Float32Array.from(quantizedScales));
  },

  dequantizeFp8: ({ out, codes, scales, tile }) => {
    unpackRows(out, dequantized(codes, scales, tile === '1x128' ? 1 : FP8_BLOCK));
  },

  findSpecialCodes: ({ codes, begins, entries }) => {
    const values = hostArray(codes);
    const [found, firsts] = [[] as number[], [0]];
    for (let row = 0; row < numRows(codes); row++) {
      for (let column = 0; column < numColumns(codes); column++) {
        const code = at(values, row * codes.rowStride + column);
        const magnitude = code & 0x7f;
        const isSubnormal = magnitude > 0 && magnitude < 8;
        if (isSubnormal || magnitude === 0x7f) found.push(column * 256 + code);
      }
      firsts.push(found.length);
    }
    if (found.length > numColumns(entries)) firsts[0] = -1;
    else hostArray(entries).set(found);
    hostArray(begins).set(firsts);
  },

  fp8Matmul: ({ out, a, aScales, b, bScales }) => {
    const [values, aCodes, bCodes] = [hostArray(out), hostArray(a), hostArray(b)];
    const [aScale, bScale] = [hostArray(aScales), hostArray(bScales)];
    const decoded = smallFloatTable('e4m3');
    const depth = numColumns(a);
    for (let i = 0; i < numRows(a); i++) {
      for (let j = 0; j < numRows(b); j++) {
        let total = 0;
        for (let slice = 0; slice * FP8_BLOCK < depth; slice++) {
          let sum = 0;
          for (let s = slice * FP8_BLOCK; s < Math.min((slice + 1) * FP8_BLOCK, depth); s++) {
            const left = at(decoded, at(aCodes, i * a.rowStride + s));
            sum += left * at(decoded, at(bCodes, j * b.rowStride + s));
          }
          const block = Math.floor(j / FP8_BLOCK) * bScales.rowStride + slice;
          total += sum * at(aScale, i * aScales.rowStride + slice) * at(bScale, block);
        }
        values[i * out.rowStride + j] = total;
      }
    }
  },
};
