/** The last pass of a step, AdamW, and the FP8 codec, in C++. */
import { at } from '../../base/assert.ts';
import { FP8_BLOCK } from '../../tensor/fp8.ts';
import { numRows, type Tensor } from '../../tensor/tensor.ts';
import type { Kernels } from '../kernels.ts';
import type { KernelCall } from './call.ts';

type Optimiser = Pick<Kernels, 'adamw' | 'quantizeFp8' | 'dequantizeFp8' | 'findSpecialCodes'>;

export function optimiserKernels(call: KernelCall): Optimiser {
  const adamw = call.operation('adamw');
  const quantizeFp8 = call.operation('quantizeFp8');
  const dequantizeFp8 = call.operation('dequantizeFp8');
  const findSpecialCodes = call.operation('findSpecialCodes');
  return {
    adamw(args) {
      const { learningRate, beta1, beta2, step } = args;
      call.begin().tensor(args.parameter).tensor(args.gradient);
      call.tensor(args.firstMoment).tensor(args.secondMoment);
      call
        .number(beta1)
        .number(1 - beta1)
        .number(beta2)
        .number(1 - beta2);
      call.number(1 - learningRate * args.weightDecay);
      call.number(learningRate / (1 - beta1 ** step)).number(1 / (1 - beta2 ** step));
      call.number(args.epsilon).number(args.gradientScale).run(adamw);
    },
    quantizeFp8({ codes, scales, x, tile, scaleFormat }) {
      passTiles(call.begin().tensor(codes).tensor(scales).tensor(x), x, tile);
      call.flag(scaleFormat === 'ue8m0').run(quantizeFp8);
    },
    dequantizeFp8({ out, codes, scales, tile }) {
      passTiles(call.begin().tensor(out).tensor(codes).tensor(scales), out, tile);
      call.run(dequantizeFp8);
    },
    findSpecialCodes({ codes, begins, entries }) {
      call.begin().tensor(codes).tensor(begins).tensor(entries).run(findSpecialCodes);
    },
  };
}

/** Rows of one matrix of a stack, which tiles do not leave, and rows of a tile. */
function passTiles(call: KernelCall, tensor: Tensor, tile: '1x128' | '128x128'): void {
  if (tile === '1x128') call.number(numRows(tensor)).number(1);
  else call.number(at(tensor.shape, tensor.shape.length - 2)).number(FP8_BLOCK);
}
