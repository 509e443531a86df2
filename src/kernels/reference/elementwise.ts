/** Elementwise operations and sums, row by row so that strided views need no copy. */
import type { DType } from '../../tensor/dtype.ts';
import { encodeSmallFloat } from '../../tensor/fp8.ts';
import { decodeBf16, decodeF16, encodeBf16, encodeF16 } from '../../tensor/halfFloat.ts';
import { hostArray, numColumns, numRows } from '../../tensor/tensor.ts';
import type { Operations } from '../shapes.ts';

type Elementwise = Pick<
  Operations,
  'fill' | 'copy' | 'add' | 'scale' | 'lerp' | 'sumOfSquares' | 'swiglu' | 'swigluBackward'
>;

export const elementwise: Elementwise = {
  fill: ({ out, value }) => {
    const values = hostArray(out);
    const encoded = encode(out.dtype, value);
    const width = numColumns(out);
    for (let row = 0; row < numRows(out); row++) {
      values.fill(encoded, row * out.rowStride, row * out.rowStride + width);
    }
  },

  copy: ({ out, x }) => {
    const [to, from] = [hostArray(out), hostArray(x)];
    const isSameType = out.dtype === x.dtype;
    const width = numColumns(x);
    for (let row = 0; row < numRows(x); row++) {
      for (let i = 0; i < width; i++) {
        const value = from[row * x.rowStride + i] as number;
        to[row * out.rowStride + i] = isSameType
          ? value
          : encode(out.dtype, decode(x.dtype, value));
      }
    }
  },

  add: ({ out, a, b }) => {
    const [sum, left, right] = [hostArray(out), hostArray(a), hostArray(b)];
    const width = numColumns(out);
    for (let row = 0; row < numRows(out); row++) {
      const [o, l, r] = [row * out.rowStride, row * a.rowStride, row * b.rowStride];
      for (let i = 0; i < width; i++) {
        sum[o + i] = (left[l + i] as number) + (right[r + i] as number);
      }
    }
  },

  scale: ({ x, factor }) => {
    const values = hostArray(x);
    const width = numColumns(x);
    for (let row = 0; row < numRows(x); row++) {
      for (let i = row * x.rowStride; i < row * x.rowStride + width; i++) {
        values[i] = factor * (values[i] as number);
      }
    }
  },

  lerp: ({ out, x, weight }) => {
    const [to, from] = [hostArray(out), hostArray(x)];
    const width = numColumns(x);
    for (let row = 0; row < numRows(x); row++) {
      for (let i = 0; i < width; i++) {
        const before = to[row * out.rowStride + i] as number;
        const toward = from[row * x.rowStride + i] as number;
        to[row * out.rowStride + i] = before + weight * (toward - before);
      }
    }
  },

  sumOfSquares: ({ out, x }) => {
    const values = hostArray(x);
    const width = numColumns(x);
    let sum = 0;
    for (let row = 0; row < numRows(x); row++) {
      for (let i = row * x.rowStride; i < row * x.rowStride + width; i++) {
        sum += (values[i] as number) ** 2;
      }
    }
    hostArray(out)[0] = sum;
  },

  swiglu: ({ out_TF, gateUp_T2F }) => {
    const [out, gateUp] = [hostArray(out_TF), hostArray(gateUp_T2F)];
    const width = numColumns(out_TF);
    for (let row = 0; row < numRows(out_TF); row++) {
      const gateRow = row * gateUp_T2F.rowStride;
      for (let i = 0; i < width; i++) {
        const gate = gateUp[gateRow + i] as number;
        const up = gateUp[gateRow + width + i] as number;
        out[row * out_TF.rowStride + i] = (gate / (1 + Math.exp(-gate))) * up;
      }
    }
  },

  // silu(g) = g σ(g), so silu′(g) = σ(g) (1 + g (1 − σ(g))).
  swigluBackward: ({ dGateUp_T2F, dOut_TF, gateUp_T2F }) => {
    const [dGateUp, dOut, gateUp] = [
      hostArray(dGateUp_T2F),
      hostArray(dOut_TF),
      hostArray(gateUp_T2F),
    ];
    const width = numColumns(dOut_TF);
    for (let row = 0; row < numRows(dOut_TF); row++) {
      const gateRow = row * gateUp_T2F.rowStride;
      const dRow = row * dGateUp_T2F.rowStride;
      for (let i = 0; i < width; i++) {
        const gate = gateUp[gateRow + i] as number;
        const up = gateUp[gateRow + width + i] as number;
        const gradient = dOut[row * dOut_TF.rowStride + i] as number;
        const sigmoid = 1 / (1 + Math.exp(-gate));
        dGateUp[dRow + i] = gradient * up * sigmoid * (1 + gate * (1 - sigmoid));
        dGateUp[dRow + width + i] = gradient * gate * sigmoid;
      }
    }
  },
};

function decode(dtype: DType, code: number): number {
  if (dtype === 'bf16') return decodeBf16(code);
  return dtype === 'f16' ? decodeF16(code) : code;
}

function encode(dtype: DType, value: number): number {
  switch (dtype) {
    case 'bf16':
      return encodeBf16(value);
    case 'f16':
      return encodeF16(value);
    case 'f8e4m3':
      return encodeSmallFloat('e4m3', value);
    default:
      return value;
  }
}
