/** The next token of each row of logits. */
import { at } from '../../base/assert.ts';
import type { Kernels, OperationArgs } from '../kernels.ts';
import { needSampling } from '../shapeRules.ts';
import type { KernelCall } from './call.ts';

export function samplingKernels(call: KernelCall): Pick<Kernels, 'sampleTokens'> {
  const sampleTokens = call.operation('sampleTokens');
  return {
    sampleTokens(args) {
      const { ids_T, logProbabilities_T, logits_TV, rules } = args;
      call.begin().tensor(ids_T).tensor(logProbabilities_T).tensor(logits_TV);
      const write = (place: Float64Array): void => writeRules(place, args);
      call.listOf(PER_ROW * rules.length, write).run(sampleTokens);
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
