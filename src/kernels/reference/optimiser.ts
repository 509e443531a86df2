/**
 * AdamW (Loshchilov and Hutter, 2019):
 *
 *     m = β₁ m + (1 − β₁) g     v = β₂ v + (1 − β₂) g²
 *     θ = θ (1 − η λ) − η (m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε)
 *
 * The step uses the moments before they are rounded for storage; bf16 moments (report, 3.3.3) lose
 * precision only between steps.
 */
import { decodeBf16, encodeBf16 } from '../../tensor/halfFloat.ts';
import { hostArray, numColumns, numRows } from '../../tensor/tensor.ts';
import type { Operations } from '../shapes.ts';

type Optimiser = Pick<Operations, 'adamw'>;

export const optimiser: Optimiser = {
  adamw: (args) => {
    const { parameter, gradient, firstMoment, secondMoment } = args;
    const { learningRate, beta1, beta2, epsilon, weightDecay, step, gradientScale } = args;
    const [values, gradients] = [hostArray(parameter), hostArray(gradient)];
    const [first, second] = [hostArray(firstMoment), hostArray(secondMoment)];
    const isFirstShort = firstMoment.dtype === 'bf16';
    const isSecondShort = secondMoment.dtype === 'bf16';
    const correction1 = 1 - beta1 ** step;
    const correction2 = 1 - beta2 ** step;
    const width = numColumns(parameter);
    for (let row = 0; row < numRows(parameter); row++) {
      for (let i = 0; i < width; i++) {
        const g = (gradients[row * gradient.rowStride + i] as number) * gradientScale;
        const [mIndex, vIndex] = [
          row * firstMoment.rowStride + i,
          row * secondMoment.rowStride + i,
        ];
        const [mStored, vStored] = [first[mIndex] as number, second[vIndex] as number];
        const m = beta1 * (isFirstShort ? decodeBf16(mStored) : mStored) + (1 - beta1) * g;
        const v = beta2 * (isSecondShort ? decodeBf16(vStored) : vStored) + (1 - beta2) * g * g;
        first[mIndex] = isFirstShort ? encodeBf16(m) : m;
        second[vIndex] = isSecondShort ? encodeBf16(v) : v;
        const direction = m / correction1 / (Math.sqrt(v / correction2) + epsilon);
        const index = row * parameter.rowStride + i;
        const before = values[index] as number;
        values[index] = before * (1 - learningRate * weightDecay) - learningRate * direction;
      }
    }
  },
};
