/** The next token of each row of logits: adjusting them, drawing, and the likeliest ones. */
import { at } from '../../base/assert.ts';
import { numColumns } from '../../tensor/tensor.ts';
import type { Kernels, OperationArgs } from '../kernels.ts';
import { needSampling } from '../shapeRules.ts';
import type { KernelCall } from './call.ts';

type SamplingOperation = 'sampleTokens' | 'adjustLogits' | 'topTokens';

export function samplingKernels(call: KernelCall): Pick<Kernels, SamplingOperation> {
  const sampleTokens = call.operation('sampleTokens');
  const adjustLogits = call.operation('adjustLogits');
  const topTokens = call.operation('topTokens');
  return {
    sampleTokens(args) {
      const { ids_T, logProbabilities_T, logits_TV, rules } = args;
      call.begin().tensor(ids_T).tensor(logProbabilities_T).tensor(logits_TV);
      const write = (place: Float64Array): void => writeRules(place, args);
      call.listOf(PER_ROW * rules.length, write).run(sampleTokens);
    },
    adjustLogits({ out_TV, logits_TV, allowed_TW, ids_N, factors_N, addends_N, offsets }) {
      call.indices('adjustLogits: id', ids_N, numColumns(logits_TV));
      call.begin().tensor(out_TV).tensor(logits_TV).optional(allowed_TW);
      call.tensor(ids_N).tensor(factors_N).tensor(addends_N).list(offsets).run(adjustLogits);
    },
    topTokens(args) {
      const { ids_TN, logProbabilities_TN, chosenLogProbabilities_T } = args;
      const { chosen_T, logits_TV, temperatures } = args;
      call.indices('topTokens: id', chosen_T, numColumns(logits_TV));
      call.begin().tensor(ids_TN).tensor(logProbabilities_TN).tensor(chosenLogProbabilities_T);
      call.tensor(chosen_T).tensor(logits_TV).list(temperatures).run(topTokens);
    },
  };
}

const PER_ROW = 6;

function writeRules(place: Float64Array, args: OperationArgs<'sampleTokens'>): void {
  // In a recording they may be others than when all arguments were checked.
  needSampling(args);
  const { rules, positions } = args;
  for (let row = 0, i = 0; row < rules.length; row++, i += PER_ROW) {
    const { temperature, topK, topP, minP, seed } = at(rules, row);
    place[i] = temperature;
    // Above 2^31 tokens nothing is left to keep.
    place[i + 1] = Math.min(topK, 2 ** 31);
    place[i + 2] = topP;
    place[i + 3] = minP;
    place[i + 4] = seed >>> 0;
    place[i + 5] = at(positions, row) >>> 0;
  }
}
