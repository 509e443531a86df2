/**
 * What no implementation may swallow: one change to a valid call, and the call must fail by an
 * assertion before anything is computed. The valid call itself must pass, or the change proves
 * nothing.
 */
import { AssertionError, assert } from '../../src/base/assert.ts';
import type { F32, Kernels, Operation, OperationArgs } from '../../src/kernels/kernels.ts';
import { columns, elements, numRows, reshape } from '../../src/tensor/tensor.ts';
import { clearLaid, type Lay, layOn, runValidCall, validCalls } from './validCalls.ts';

export interface Refusal {
  readonly name: string;
  readonly operation: Operation;
  /** Makes the valid call, then the changed one. */
  readonly attempt: (kernels: Kernels, isChanged: boolean) => void;
}

function refusal<O extends Operation>(
  operation: O,
  what: string,
  change: (args: OperationArgs<O>, lay: Lay) => Partial<OperationArgs<O>>,
): Refusal {
  return {
    name: `${operation} refuses ${what}`,
    operation,
    attempt: (kernels, isChanged) => {
      clearLaid(kernels);
      const calls = validCalls(kernels);
      const changes = isChanged ? change(calls[operation], layOn(kernels)) : {};
      runValidCall(kernels, operation, calls, changes);
    },
  };
}

export const refusals: readonly Refusal[] = [
  refusal('copy', 'another shape', (_, { floats }) => ({ x: floats(6, 4) })),
  refusal('copy', 'integers as floats', (_, { ints }) => ({ x: ints(4, 6) })),
  refusal('copy', 'codes without their scales', (_, { tensor }) => ({
    x: tensor('f8e4m3', 1, 4, 6),
  })),
  refusal('copy', 'an output over its input', ({ out }) => ({ x: out })),
  refusal('add', 'another shape', (_, { floats }) => ({ b: floats(4, 7) })),
  refusal('add', 'an output over its second input', ({ out }) => ({ b: out })),
  refusal('lerp', 'another shape', (_, { floats }) => ({ x: floats(4) })),
  refusal('sumOfSquares', 'an output of more than one', (_, { floats }) => ({ out: floats(2) })),
  refusal('matmul', 'depths that differ', (_, { floats }) => ({ b: { values: floats(3, 7) } })),
  refusal('matmul', 'an output of another size', (_, { floats }) => ({ out: floats(3, 4) })),
  refusal('matmul', 'scales on an f32 weight', ({ b }, { floats }) => ({
    b: { ...b, scales: floats(1, 1) },
  })),
  refusal('matmul', 'f8e4m3 without scales', (_, { tensor }) => ({
    b: { values: tensor('f8e4m3', 1, 3, 6) },
  })),
  refusal('matmul', 'scales of another grid', (_, { floats, tensor }) => ({
    b: { values: tensor('f8e4m3', 1, 3, 6), scales: floats(1, 2) },
  })),
  refusal('matmul', 'SwiGLU of three columns', (_, { floats }) => ({ swiglu_TF: floats(4, 1) })),
  refusal('matmul', 'SwiGLU of what is added', (_, { floats }) => ({
    out: floats(4, 4),
    b: { values: floats(4, 6) },
    swiglu_TF: floats(4, 2),
    accumulate: true,
  })),
  refusal('matmul', 'a gradient of SwiGLU going forward', (_, { floats }) => ({
    out: floats(4, 6),
    gateUp_T2F: floats(4, 6),
  })),
  refusal('matmul', 'an output over an input', ({ a }) => ({ out: columns(a, 0, 3) })),
  refusal('groupedMatmul', 'offsets for another number of experts', (_, { ints }) => ({
    offsets: ints(4),
  })),
  refusal('groupedMatmul', 'offsets in two dims', (_, { ints }) => ({ offsets: ints(5, 1) })),
  refusal('groupedMatmul', 'a matrix for all experts', (_, { floats }) => ({
    b: { values: floats(3, 6) },
  })),
  refusal('groupedMatmul', 'a weight gradient without its expert dim', (_, { floats }) => ({
    layout: 'tn' as const,
    b: { values: floats(4, 3) },
    out: floats(6, 3),
  })),
  refusal('groupedMatmul', 'a weight gradient from 16-bit rows', (_, { floats, tensor }) => ({
    layout: 'tn' as const,
    b: { values: tensor('bf16', 1, 4, 3) },
    out: floats(4, 6, 3),
  })),
  refusal('headMatmul', 'rows beyond the head’s', (_) => ({ firstRow: 4 })),
  refusal('headMatmul', 'a matrix for another number of heads', (_, { floats }) => ({
    b: { values: floats(7, 5) },
  })),
  refusal('headMatmul', 'no head dim', (_, { floats }) => ({ a: floats(4, 8) })),
  refusal('rmsNorm', 'a gain of another width', (_, { floats }) => ({ gain: floats(7) })),
  refusal('rmsNorm', 'a negative eps', (_) => ({ eps: -1 })),
  refusal('rmsNorm', 'factors for other rows', (_, { floats }) => ({ reciprocalRms_T: floats(3) })),
  refusal('rmsNorm', 'an output over its input', ({ x }) => ({ out: x })),
  refusal('rmsNormBackwardInput', 'factors for other rows', (_, { floats }) => ({
    reciprocalRms_T: floats(3),
  })),
  refusal('rmsNormBackwardInput', 'a gradient over its own input', ({ dOut }) => ({ dX: dOut })),
  refusal('rmsNormBackwardWeight', 'a gradient of another width', (_, { floats }) => ({
    dGain: floats(4),
  })),
  refusal('rope', 'an odd width', (_, { floats }) => ({ x_THP: floats(4, 2, 3) })),
  refusal('rope', 'a position missing', (_, { ints }) => ({ positions_T: ints(3) })),
  refusal('rope', 'a table of another width', (_, { floats }) => ({ table: floats(7, 2, 2) })),
  refusal('swiglu', 'one half only', (_, { floats }) => ({ gateUp_T2F: floats(4, 6) })),
  refusal('swigluBackward', 'a gradient of another shape', (_, { floats }) => ({
    dGateUp_T2F: floats(4, 6),
  })),
  refusal('mlaAttention', 'sequences that end early', (_) => ({ sequences: [0, 3] })),
  refusal('mlaAttention', 'sequences that go back', (_) => ({ sequences: [0, 3, 2, 4] })),
  refusal('mlaAttention', 'sequences that begin late', (_) => ({ sequences: [1, 4] })),
  refusal('mlaAttention', 'values of another width', (_, { floats }) => ({
    kv_THD: floats(4, 2, 8),
  })),
  refusal('mlaAttention', 'keys for other heads', (_, { floats }) => ({ kv_THD: floats(4, 1, 7) })),
  refusal('mlaAttentionBackward', 'a gradient of another shape', (_, { floats }) => ({
    dKv_THD: floats(4, 2, 8),
  })),
  refusal('mlaAttentionBackward', 'a gradient over its input', ({ q_THD }) => ({ dQ_THD: q_THD })),
  refusal('appendCache', 'a cache of another width', (_, { floats }) => ({
    cache: floats(2, 8, 8),
  })),
  refusal('appendCache', 'a slot missing', (_, { ints }) => ({ slots_T: ints(3) })),
  refusal('absorbedAttention', 'a cache of another width', (_, { floats }) => ({
    cache: floats(2, 8, 8),
  })),
  refusal('absorbedAttention', 'lengths of other rows', (_, { ints }) => ({ length_T: ints(3) })),
  refusal('absorbedAttention', 'a table in one dim', (_, { ints }) => ({ blockTable: ints(2) })),
  refusal('mlaDecode', 'more rows than it is made for', (_, { floats, ints, tensor }) => ({
    x_TD: floats(33, 6),
    positions_T: ints(33),
    slots_T: ints(33),
    sequence_T: ints(33),
    length_T: tensor('i32', 1, 33),
  })),
  refusal('mlaDecode', 'a cache of another width', (_, { floats }) => ({ cache: floats(2, 8, 9) })),
  refusal('mlaDecode', 'an odd number of rotated columns', (_, { floats }) => ({
    cache: floats(2, 8, 8),
  })),
  refusal('mlaDecode', 'lengths of other rows', (_, { ints }) => ({ length_T: ints(3) })),
  refusal('mlaDecode', 'a query of another depth', (_, { floats }) => ({
    q: { values: floats(12, 6) },
  })),
  refusal('mlaDecode', 'an output projection of other heads', (_, { floats }) => ({
    o: { values: floats(6, 7) },
  })),
  refusal('mlaDecode', 'rows that are its gain', ({ x_TD }) => ({ gain: elements(x_TD, 0, 6) })),
  refusal('feedForwardDecode', 'more rows than it is made for', (_, { floats }) => ({
    x_TD: floats(33, 6),
  })),
  refusal('feedForwardDecode', 'a network of another depth', (_, { floats }) => ({
    mlp: { gateUp: { values: floats(6, 5) }, down: { values: floats(6, 3) } },
  })),
  refusal('feedForwardDecode', 'experts that the router does not know', ({ routed }, { floats }) =>
    routed === undefined ? {} : { routed: { ...routed, gateUp: { values: floats(3, 10, 6) } } },
  ),
  refusal('feedForwardDecode', 'groups that do not divide its experts', ({ routed }) =>
    routed === undefined ? {} : { routed: { ...routed, rule: { ...routed.rule, numGroups: 3 } } },
  ),
  refusal('routeTopK', 'experts that groups do not divide', ({ rule }) => ({
    rule: { ...rule, numGroups: 3 },
  })),
  refusal('routeTopK', 'more groups kept than there are', ({ rule }) => ({
    rule: { ...rule, groupsKept: 3 },
  })),
  refusal('routeTopK', 'more experts than the kept groups have', ({ rule }, { ints, floats }) => ({
    rule: { ...rule, expertsPerToken: 3 },
    ids_TK: ints(4, 3),
    weights_TK: floats(4, 3),
  })),
  refusal('routeTopK', 'groups of one worth their two best', ({ rule }) => ({
    rule: { ...rule, numGroups: 4, groupsKept: 2 },
  })),
  refusal('routeTopK', 'ids of another width', (_, { ints }) => ({ ids_TK: ints(4, 3) })),
  refusal('routeTopK', 'a bias of another width', (_, { floats }) => ({ bias_E: floats(5) })),
  refusal('routeTopKBackward', 'scores of another shape', (_, { floats }) => ({
    dScores_TE: floats(4, 3),
  })),
  refusal('balanceLoss', 'sequences that end early', (_) => ({ sequences: [0, 2] })),
  refusal('balanceLoss', 'a loss in two elements', (_, { floats }) => ({ loss: floats(2) })),
  refusal('sortByExpert', 'slots of another number', (_, { ints }) => ({ slot_R: ints(7) })),
  refusal('sortByExpert', 'offsets without their last', (_, { ints }) => ({ offsets: ints(0) })),
  refusal('permute', 'rows without a slot', (_, { ints }) => ({ slot_R: ints(7) })),
  refusal('permute', 'no expert per token', (_) => ({ expertsPerToken: 0 })),
  refusal('unpermute', 'weights of another shape', (_, { floats }) => ({
    weights_TK: floats(4, 3),
  })),
  refusal('unpermute', 'rows of another width', (_, { floats }) => ({ x_RD: floats(8, 5) })),
  refusal('unpermuteBackwardInput', 'slots of another number', (_, { ints }) => ({
    slot_R: ints(7),
  })),
  refusal('unpermuteBackwardWeights', 'rows of another width', (_, { floats }) => ({
    x_RD: floats(8, 5),
  })),
  refusal('embedding', 'a table of another width', (_, { floats }) => ({
    table_VD: { values: floats(9, 5) },
  })),
  refusal('embedding', 'an id missing', (_, { ints }) => ({ ids_T: ints(3) })),
  refusal('embeddingBackward', 'a table of another width', (_, { floats }) => ({
    dTable_VD: floats(9, 5),
  })),
  refusal('headCrossEntropy', 'a target missing', (_, { ints }) => ({ targets_T: ints(3) })),
  refusal('headCrossEntropy', 'a head of another width', (_, { floats }) => ({
    head_VD: { values: floats(9, 5) },
  })),
  refusal('headCrossEntropy', 'a gradient of another vocabulary', (_, { floats }) => ({
    gradients: { dH_TD: floats(4, 6), dHead_VD: floats(8, 6), gradientScale: 1 },
  })),
  refusal('headCrossEntropy', 'a gradient over the head', ({ head_VD }, { floats }) => ({
    gradients: { dH_TD: floats(4, 6), dHead_VD: head_VD.values as F32, gradientScale: 1 },
  })),
  refusal('sampleTokens', 'a rule missing', ({ rules }) => ({ rules: rules.slice(1) })),
  refusal('sampleTokens', 'a position missing', (_) => ({ positions: [0, 1, 2] })),
  refusal('sampleTokens', 'a rule out of range', ({ rules }) => ({
    rules: rules.map((rule) => ({ ...rule, topP: 0 })),
  })),
  refusal('sampleTokens', 'an id missing', (_, { ints }) => ({ ids_T: ints(3) })),
  refusal('sampleTokens', 'a vocabulary of none', (_, { floats }) => ({ logits_TV: floats(4, 0) })),
  refusal('sampleTokens', 'probabilities over the logits', ({ logits_TV }) => ({
    logProbabilities_T: elements(reshape(logits_TV, [36]), 0, 4),
  })),
  refusal('adjustLogits', 'a mask of too few words', (_, { floats, ints }) => ({
    out_TV: floats(4, 33),
    logits_TV: floats(4, 33),
    allowed_TW: ints(4, 1),
  })),
  refusal('adjustLogits', 'a factor missing', (_, { floats }) => ({ factors_N: floats(2) })),
  refusal('adjustLogits', 'an addend missing', (_, { floats }) => ({ addends_N: floats(2) })),
  refusal('adjustLogits', 'an offset missing', (_) => ({ offsets: [0, 2, 3] })),
  refusal('adjustLogits', 'changes that belong to no row', (_) => ({ offsets: [0, 1, 1, 2, 2] })),
  refusal('adjustLogits', 'an output of another shape', (_, { floats }) => ({
    out_TV: floats(4, 8),
  })),
  refusal('adjustLogits', 'an output over its addends', ({ out_TV }) => ({
    addends_N: elements(reshape(out_TV, [36]), 0, 3),
  })),
  refusal('topTokens', 'more tokens than there are', (_, { floats, ints }) => ({
    ids_TN: ints(4, 10),
    logProbabilities_TN: floats(4, 10),
  })),
  refusal('topTokens', 'more tokens than it gives', (_, { floats, ints }) => ({
    ids_TN: ints(4, 21),
    logProbabilities_TN: floats(4, 21),
    logits_TV: floats(4, 50),
  })),
  refusal('topTokens', 'probabilities of fewer tokens', (_, { floats }) => ({
    logProbabilities_TN: floats(4, 4),
  })),
  refusal('topTokens', 'a temperature missing', (_) => ({ temperatures: [1, 1, 1] })),
  refusal('topTokens', 'a temperature of 0', (_) => ({ temperatures: [1, 0, 1, 1] })),
  refusal('topTokens', 'a chosen token missing', (_, { ints }) => ({ chosen_T: ints(3) })),
  refusal('topTokens', 'probabilities over the logits', ({ logits_TV }) => ({
    chosenLogProbabilities_T: elements(reshape(logits_TV, [36]), 0, 4),
  })),
  refusal('adamw', 'step 0', (_) => ({ step: 0 })),
  refusal('adamw', 'moments of another shape', (_, { floats }) => ({ firstMoment: floats(4, 7) })),
  refusal('adamw', 'one tensor for both moments', ({ firstMoment }) => ({
    secondMoment: firstMoment,
  })),
  refusal('updateRouterBias', 'counts of other experts', (_, { ints }) => ({ counts_E: ints(5) })),
  refusal('quantizeFp8', 'scales of another tile', (_, { floats }) => ({ scales: floats(1, 2) })),
  refusal('dequantizeFp8', 'scales of another tile', (_, { floats }) => ({ scales: floats(4, 2) })),
  refusal('dequantizeFp8', 'an output of another shape', (_, { floats }) => ({
    out: floats(4, 128),
  })),
  refusal('findSpecialCodes', 'no end of the last row', (valid, { ints }) => ({
    begins: ints(numRows(valid.codes)),
  })),
  refusal('findSpecialCodes', 'a matrix of entries', (_, { ints }) => ({ entries: ints(2, 4) })),
  refusal('findSpecialCodes', 'one list for both', (valid) => ({ entries: valid.begins })),
  refusal('matmul', 'special codes of other rows', (_, { tensor, floats, ints }) => ({
    b: {
      values: tensor('f8e4m3', 1, 3, 6),
      scales: floats(1, 1),
      specialCodes: { begins: ints(3), entries: ints(1) },
    },
  })),
  refusal('matmul', 'special codes of bf16', (_, { tensor, ints }) => ({
    b: {
      values: tensor('bf16', 1, 3, 6),
      specialCodes: { begins: ints(4), entries: ints(1) },
    },
  })),
  refusal('fp8Matmul', 'depths that differ', (_, { tensor, floats }) => ({
    b: tensor('f8e4m3', 1, 5, 128),
    bScales: floats(1, 1),
  })),
  refusal('fp8Matmul', 'activation scales by block', (_, { floats }) => ({
    aScales: floats(1, 2),
  })),
];

export function refuses(kernels: Kernels, { attempt, name }: Refusal): void {
  attempt(kernels, false);
  let refused: unknown;
  try {
    attempt(kernels, true);
  } catch (error) {
    refused = error;
  }
  assert(refused instanceof AssertionError, `${name}: ${refused ?? 'it ran'}`);
}
