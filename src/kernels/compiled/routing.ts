/** The gate, the balance loss, and moving rows to their experts and back. */
import { numColumns, numRows } from '../../tensor/tensor.ts';
import type { Kernels, RoutingRule } from '../kernels.ts';
import type { KernelCall } from './call.ts';
import { needIndices } from './indices.ts';

type Routing = Pick<
  Kernels,
  | 'routeTopK'
  | 'routeTopKBackward'
  | 'balanceLoss'
  | 'sortByExpert'
  | 'permute'
  | 'unpermute'
  | 'unpermuteBackwardInput'
  | 'unpermuteBackwardWeights'
  | 'updateRouterBias'
>;

export function routingKernels(call: KernelCall): Routing {
  return { ...gateKernels(call), ...permutationKernels(call) };
}

function gateKernels(
  call: KernelCall,
): Pick<Kernels, 'routeTopK' | 'routeTopKBackward' | 'balanceLoss' | 'updateRouterBias'> {
  const routeTopK = call.operation('routeTopK');
  const routeTopKBackward = call.operation('routeTopKBackward');
  const balanceLoss = call.operation('balanceLoss');
  const updateRouterBias = call.operation('updateRouterBias');
  return {
    routeTopK({ scores_TE, ids_TK, weights_TK, counts_E, logits_TE, bias_E, rule }) {
      call.begin().tensor(scores_TE).tensor(ids_TK).tensor(weights_TK).tensor(counts_E);
      passRule(call.tensor(logits_TE).tensor(bias_E), rule).run(routeTopK);
    },
    routeTopKBackward({ dLogits_TE, dWeights_TK, dScores_TE, scores_TE, ids_TK, rule }) {
      needIndices('routeTopKBackward: expert', ids_TK, numColumns(scores_TE));
      call.begin().tensor(dLogits_TE).tensor(dWeights_TK).optional(dScores_TE).tensor(scores_TE);
      passRule(call.tensor(ids_TK), rule).run(routeTopKBackward);
    },
    balanceLoss(args) {
      const { loss, dScores_TE, scores_TE, ids_TK, sequences, form, scoring, coefficient } = args;
      needIndices('balanceLoss: expert', ids_TK, numColumns(scores_TE));
      call.begin().tensor(loss).tensor(dScores_TE).tensor(scores_TE).tensor(ids_TK);
      call
        .list(sequences)
        .flag(form === 'paper')
        .flag(scoring === 'softmax');
      call.number(coefficient).run(balanceLoss);
    },
    updateRouterBias({ bias_E, counts_E, speed }) {
      call.begin().tensor(bias_E).tensor(counts_E).number(speed).run(updateRouterBias);
    },
  };
}

/** Read by the constructor of `RoutingRule` (`csrc/routeTopK.inl`). */
export function passRule(call: KernelCall, rule: RoutingRule): KernelCall {
  call
    .flag(rule.scoring === 'softmax')
    .number(rule.numGroups)
    .number(rule.groupsKept);
  call
    .flag(rule.groupScore === 'sumOfTopTwo')
    .flag(rule.isNormalised)
    .number(rule.scale);
  return call;
}

function permutationKernels(
  call: KernelCall,
): Omit<Routing, 'routeTopK' | 'routeTopKBackward' | 'balanceLoss' | 'updateRouterBias'> {
  const sortByExpert = call.operation('sortByExpert');
  const permute = call.operation('permute');
  const unpermute = call.operation('unpermute');
  const unpermuteBackwardInput = call.operation('unpermuteBackwardInput');
  const unpermuteBackwardWeights = call.operation('unpermuteBackwardWeights');
  return {
    sortByExpert({ offsets, slot_R, row_TK, ids_TK }) {
      needIndices('sortByExpert: expert', ids_TK, numColumns(offsets) - 1);
      call.begin().tensor(offsets).tensor(slot_R).tensor(row_TK).tensor(ids_TK).run(sortByExpert);
    },
    permute({ out_RD, x_TD, slot_R, expertsPerToken }) {
      needIndices('permute: slot', slot_R, numRows(x_TD) * expertsPerToken);
      call.begin().tensor(out_RD).tensor(x_TD).tensor(slot_R).number(expertsPerToken).run(permute);
    },
    unpermute({ out_TD, x_RD, row_TK, weights_TK, accumulate }) {
      needIndices('unpermute: row', row_TK, numRows(x_RD));
      call.begin().tensor(out_TD).tensor(x_RD).tensor(row_TK).optional(weights_TK);
      call.flag(accumulate).run(unpermute);
    },
    unpermuteBackwardInput({ dX_RD, dOut_TD, slot_R, weights_TK }) {
      const numSlots = numRows(weights_TK) * numColumns(weights_TK);
      needIndices('unpermuteBackwardInput: slot', slot_R, numSlots);
      call.begin().tensor(dX_RD).tensor(dOut_TD).tensor(slot_R).tensor(weights_TK);
      call.run(unpermuteBackwardInput);
    },
    unpermuteBackwardWeights({ dWeights_TK, dOut_TD, x_RD, row_TK }) {
      needIndices('unpermuteBackwardWeights: row', row_TK, numRows(x_RD));
      call.begin().tensor(dWeights_TK).tensor(dOut_TD).tensor(x_RD).tensor(row_TK);
      call.run(unpermuteBackwardWeights);
    },
  };
}
