/** The halves of a block over a few rows (`csrc/mlaDecode.inl`, `csrc/feedForwardDecode.inl`). */
import { at } from '../../base/assert.ts';
import { numRows } from '../../tensor/tensor.ts';
import { mlaDecodeSizes } from '../decodeShapes.ts';
import type { Kernels, RoutingRule } from '../kernels.ts';
import type { KernelCall } from './call.ts';
import { needIndices } from './indices.ts';
import { passRule } from './routing.ts';

type Decode = Pick<Kernels, 'mlaDecode' | 'feedForwardDecode'>;

export function decodeKernels(call: KernelCall): Decode {
  const mlaDecode = call.operation('mlaDecode');
  const feedForwardDecode = call.operation('feedForwardDecode');
  return {
    mlaDecode(args) {
      const { x_TD, positions_T, slots_T, cache, blockTable, sequence_T, length_T, table } = args;
      const { heads, nope, value } = mlaDecodeSizes(args);
      const blockSize = at(cache.shape, 1);
      needIndices('mlaDecode: position', positions_T, at(table.shape, 0));
      needIndices('mlaDecode: slot', slots_T, numRows(cache));
      needIndices('mlaDecode: block', blockTable, at(cache.shape, 0));
      needIndices('mlaDecode: sequence', sequence_T, at(blockTable.shape, 0));
      needIndices('mlaDecode: length', length_T, at(blockTable.shape, 1) * blockSize + 1, 1);
      call.beginQueued().tensor(x_TD).tensor(positions_T).tensor(slots_T).tensor(cache);
      call.tensor(blockTable).tensor(sequence_T).tensor(length_T).tensor(table).tensor(args.gain);
      call.optionalWeight(args.qLatent?.down).optional(args.qLatent?.gain).weight(args.q);
      call.weight(args.kvDown).tensor(args.kvGain).weight(args.kv).weight(args.o);
      call.number(blockSize).number(heads).number(nope).number(value);
      call.number(args.eps).number(args.latentEps).number(args.scale).queue(mlaDecode);
    },
    feedForwardDecode({ x_TD, gain, eps, mlp, routed }) {
      call.beginQueued().tensor(x_TD).tensor(gain);
      call.optionalWeight(mlp?.gateUp).optionalWeight(mlp?.down);
      call.optionalWeight(routed?.router).optional(routed?.bias_E).optional(routed?.counts_E);
      call.optionalWeight(routed?.gateUp).optionalWeight(routed?.down);
      const rule = routed?.rule ?? NO_RULE;
      call.number(rule.expertsPerToken).number(eps);
      passRule(call, rule).queue(feedForwardDecode);
    },
  };
}

const NO_RULE: RoutingRule = {
  scoring: 'sigmoid',
  numGroups: 1,
  groupsKept: 1,
  groupScore: 'max',
  expertsPerToken: 0,
  isNormalised: false,
  scale: 1,
};
