/** The halves of a block over a few rows (`csrc/mlaDecode.inl`, `csrc/feedForwardDecode.inl`). */
import { at } from '../../base/assert.ts';
import { numRows } from '../../tensor/tensor.ts';
import { mlaDecodeSizes } from '../decodeShapes.ts';
import type { Kernels, RoutingRule } from '../kernels.ts';
import { SameParts } from '../sameParts.ts';
import type { KernelCall, PackedArguments } from './call.ts';
import { passRule } from './routing.ts';

type Decode = Pick<Kernels, 'mlaDecode' | 'feedForwardDecode'>;

export function decodeKernels(call: KernelCall): Decode {
  const mlaDecode = call.operation('mlaDecode');
  const feedForwardDecode = call.operation('feedForwardDecode');
  const attention = new SameParts<PackedArguments>();
  const feedForward = new SameParts<PackedArguments>();
  return {
    mlaDecode(args) {
      const { x_TD, positions_T, slots_T, cache, blockTable, sequence_T, length_T, table } = args;
      const { heads, nope, value } = mlaDecodeSizes(args);
      const blockSize = at(cache.shape, 1);
      call.indices('mlaDecode: position', positions_T, at(table.shape, 0));
      call.indices('mlaDecode: slot', slots_T, numRows(cache));
      call.indices('mlaDecode: block', blockTable, at(cache.shape, 0));
      call.indices('mlaDecode: sequence', sequence_T, at(blockTable.shape, 0));
      call.indices('mlaDecode: length', length_T, at(blockTable.shape, 1) * blockSize + 1, 1);
      const { gain, qLatent, q, kvDown, kvGain, kv, o, numHeads, eps, latentEps, scale } = args;
      call.beginQueued().tensor(x_TD).tensor(positions_T).tensor(slots_T).tensor(cache);
      call.tensor(blockTable).tensor(sequence_T).tensor(length_T);
      const weights = [table, gain, qLatent?.down, qLatent?.gain, q, kvDown, kvGain, kv, o];
      const numbers = [blockSize, heads, nope, value, eps, latentEps, scale];
      const packed = attention.of(o, [...weights, ...numbers, numHeads, call.generation], () =>
        call.pack(() => {
          call.tensor(table).tensor(gain).optionalWeight(qLatent?.down).optional(qLatent?.gain);
          call.weight(q).weight(kvDown).tensor(kvGain).weight(kv).weight(o);
          for (const number of numbers) call.number(number);
        }),
      );
      call.packed(packed).queue(mlaDecode);
    },
    feedForwardDecode({ x_TD, gain, eps, mlp, routed }) {
      call.beginQueued().tensor(x_TD);
      const networks = [gain, mlp?.gateUp, mlp?.down, routed?.gateUp, routed?.down];
      const rule = routed?.rule ?? NO_RULE;
      const routing = [routed?.router, routed?.bias_E, routed?.counts_E, rule, eps];
      const packed = feedForward.of(gain, [...networks, ...routing, call.generation], () =>
        call.pack(() => {
          call.tensor(gain).optionalWeight(mlp?.gateUp).optionalWeight(mlp?.down);
          call.optionalWeight(routed?.router).optional(routed?.bias_E).optional(routed?.counts_E);
          call.optionalWeight(routed?.gateUp).optionalWeight(routed?.down);
          call.number(rule.expertsPerToken).number(eps);
          passRule(call, rule);
        }),
      );
      call.packed(packed).queue(feedForwardDecode);
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
