/**
 * RMSNorm and RoPE.
 *
 *     y_i = r x_i g_i,   r = 1 / sqrt(mean(x²) + eps)
 *     dx_i = r (g_i dy_i − x_i r² mean(x g dy)),   dg_i = Σ_t dy_i x_i r
 */
import { assert, at } from '../../base/assert.ts';
import { hostArray, numColumns, numRows } from '../../tensor/tensor.ts';
import type { Operations } from '../shapes.ts';

type Norm = Pick<Operations, 'rmsNorm' | 'rmsNormBackwardInput' | 'rmsNormBackwardWeight' | 'rope'>;

export const norm: Norm = {
  rmsNorm: ({ out, x, gain, eps, reciprocalRms_T }) => {
    const [y, values, gains] = [hostArray(out), hostArray(x), hostArray(gain)];
    const kept = reciprocalRms_T ? hostArray(reciprocalRms_T) : null;
    const width = numColumns(x);
    for (let row = 0; row < numRows(x); row++) {
      const xRow = row * x.rowStride;
      let squares = 0;
      for (let i = 0; i < width; i++) squares += (values[xRow + i] as number) ** 2;
      const reciprocal = 1 / Math.sqrt(squares / width + eps);
      if (kept) kept[row] = reciprocal;
      for (let i = 0; i < width; i++) {
        y[row * out.rowStride + i] = (values[xRow + i] as number) * reciprocal * at(gains, i);
      }
    }
  },

  rmsNormBackwardInput: ({ dX, dOut, x, gain, reciprocalRms_T, accumulate = false }) => {
    const [dInput, dOutput, values] = [hostArray(dX), hostArray(dOut), hostArray(x)];
    const [gains, reciprocals] = [hostArray(gain), hostArray(reciprocalRms_T)];
    const width = numColumns(x);
    for (let row = 0; row < numRows(x); row++) {
      const [xRow, dOutRow, dXRow] = [row * x.rowStride, row * dOut.rowStride, row * dX.rowStride];
      const reciprocal = at(reciprocals, row);
      let product = 0;
      for (let i = 0; i < width; i++) {
        product += (values[xRow + i] as number) * at(gains, i) * (dOutput[dOutRow + i] as number);
      }
      const shared = (product / width) * reciprocal * reciprocal;
      for (let i = 0; i < width; i++) {
        const scaled = at(gains, i) * (dOutput[dOutRow + i] as number);
        const gradient = reciprocal * (scaled - (values[xRow + i] as number) * shared);
        const before = accumulate ? (dInput[dXRow + i] as number) : 0;
        dInput[dXRow + i] = before + gradient;
      }
    }
  },

  rmsNormBackwardWeight: ({ dGain, dOut, x, reciprocalRms_T }) => {
    const [dGains, dOutput, values] = [hostArray(dGain), hostArray(dOut), hostArray(x)];
    const reciprocals = hostArray(reciprocalRms_T);
    for (let i = 0; i < numColumns(x); i++) {
      let sum = 0;
      for (let row = 0; row < numRows(x); row++) {
        const gradient = dOutput[row * dOut.rowStride + i] as number;
        sum += gradient * (values[row * x.rowStride + i] as number) * at(reciprocals, row);
      }
      dGains[i] = at(dGains, i) + sum;
    }
  },

  rope: ({ x_THP, positions_T, table, direction }) => {
    const [values, positions, angles] = [
      hostArray(x_THP),
      hostArray(positions_T),
      hostArray(table),
    ];
    const width = numColumns(x_THP);
    const numPositions = at(table.shape, 0);
    const rowsPerToken = numRows(x_THP) / positions.length;
    const sign = direction === 'forward' ? 1 : -1;
    for (let row = 0; row < numRows(x_THP); row++) {
      const position = at(positions, Math.floor(row / rowsPerToken));
      assert(position >= 0 && position < numPositions, `rope: position ${position}`);
      for (let i = 0; i < width; i += 2) {
        // Each pair is a row of its own in the table: [cos, sin].
        const angle = (position * (width / 2) + i / 2) * table.rowStride;
        const cos = at(angles, angle);
        const sin = sign * at(angles, angle + 1);
        const index = row * x_THP.rowStride + i;
        const [even, odd] = [at(values, index), at(values, index + 1)];
        values[index] = even * cos - odd * sin;
        values[index + 1] = even * sin + odd * cos;
      }
    }
  },
};
