/** The next token of each row of logits. */
import { at } from '../../base/assert.ts';
import type { Kernels } from '../kernels.ts';
import type { NativeCall } from './call.ts';

export function samplingKernels(call: NativeCall): Pick<Kernels, 'sampleTokens'> {
  const sampleTokens = call.operation('sampleTokens');
  // Six numbers per row, kept between calls.
  const numbers: number[] = [];
  return {
    sampleTokens({ ids_T, logProbabilities_T, logits_TV, rules, positions }) {
      numbers.length = 0;
      for (let row = 0; row < rules.length; row++) {
        const { temperature, topK, topP, minP, seed } = at(rules, row);
        // Above 2^31 tokens nothing is left to keep.
        numbers.push(temperature, Math.min(topK, 2 ** 31), topP, minP);
        numbers.push(seed >>> 0, at(positions, row) >>> 0);
      }
      call.begin().tensor(ids_T).tensor(logProbabilities_T).tensor(logits_TV);
      call.list(numbers).run(sampleTokens);
    },
  };
}
