/**
 * One small valid call of every operation: what refusals change one thing of, and what shows that
 * an operation exists at all.
 */
import type {
  F32,
  I32,
  Kernels,
  Operation,
  OperationArgs,
  RoutingRule,
} from '../../src/kernels/kernels.ts';
import type { Operations } from '../../src/kernels/shapes.ts';
import type { Arena, ArenaMark } from '../../src/tensor/arena.ts';
import type { DType } from '../../src/tensor/dtype.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';

export type ValidCalls = { readonly [O in Operation]: OperationArgs<O> };

/** Makes one of the calls, with some of its arguments changed if asked. */
export function runValidCall<O extends Operation>(
  kernels: Kernels,
  operation: O,
  calls: ValidCalls,
  changes: Partial<OperationArgs<O>> = {},
): void {
  const operations: Operations = kernels;
  const run: Operations[O] = operations[operation];
  const args: OperationArgs<O> = calls[operation];
  run({ ...args, ...changes });
}

export interface Lay {
  floats(...shape: readonly number[]): F32;
  /** All zero, which is a valid id, position, row and slot. */
  ints(...shape: readonly number[]): I32;
  tensor<D extends DType>(dtype: D, value: number, ...shape: readonly number[]): Tensor<D>;
}

/** One arena for each kernels: hundreds of them would fill what WebAssembly may have. */
const arenas = new WeakMap<Kernels, { readonly arena: Arena; readonly start: ArenaMark }>();

function arenaOf(kernels: Kernels): { readonly arena: Arena; readonly start: ArenaMark } {
  let known = arenas.get(kernels);
  if (known === undefined) {
    const arena = kernels.createArena('calls');
    known = { arena, start: arena.mark() };
    arenas.set(kernels, known);
  }
  return known;
}

/** Gives back everything that was laid on these kernels. */
export function clearLaid(kernels: Kernels): void {
  const { arena, start } = arenaOf(kernels);
  arena.release(start);
}

export function layOn(kernels: Kernels): Lay {
  const { arena } = arenaOf(kernels);
  const tensor = <D extends DType>(dtype: D, value: number, ...shape: readonly number[]) => {
    const out = arena.allocate(dtype, shape);
    kernels.fill({ out, value });
    return out;
  };
  return {
    floats: (...shape) => tensor('f32', 0.5, ...shape),
    ints: (...shape) => tensor('i32', 0, ...shape),
    tensor,
  };
}

const RULE: RoutingRule = {
  scoring: 'sigmoid',
  numGroups: 2,
  groupsKept: 1,
  groupScore: 'sumOfTopTwo',
  expertsPerToken: 2,
  isNormalised: true,
  scale: 2.5,
};

// T 4 tokens, D 6 hidden, H 2 heads, N 4 nope, P 2 rope, V 3 value, C 5 latent, E 4 experts, K 2.
export function validCalls(kernels: Kernels): ValidCalls {
  const { floats, ints, tensor } = layOn(kernels);
  const [T, D, H, N, P, V, C, E, K] = [4, 6, 2, 4, 2, 3, 5, 4, 2];
  const weight = (...shape: readonly number[]) => ({ values: floats(...shape) });
  const offsetsTo = (rows: number): I32 => {
    const offsets = ints(E + 1);
    kernels.write(offsets, new Int32Array(E + 1).fill(rows, 1));
    return offsets;
  };
  const attention = {
    out_THV: floats(T, H, V),
    logSumExp_TH: floats(T, H),
    q_THD: floats(T, H, N + P),
    kv_THD: floats(T, H, N + V),
    kPe_TP: floats(T, P),
    sequences: [0, 3, T],
    scale: 1,
  };
  return {
    fill: { out: floats(T, D), value: 1 },
    copy: { out: tensor('bf16', 0, T, D), x: floats(T, D) },
    add: { out: floats(T, D), a: floats(T, D), b: floats(T, D) },
    scale: { x: floats(T, D), factor: 2 },
    lerp: { out: floats(T, D), x: floats(T, D), weight: 0.5 },
    sumOfSquares: { out: floats(1), x: floats(T, D) },
    matmul: { out: floats(T, 3), a: floats(T, D), b: weight(3, D), layout: 'nt' },
    groupedMatmul: {
      out: floats(T, 3),
      a: floats(T, D),
      b: weight(E, 3, D),
      offsets: offsetsTo(T),
      layout: 'nt',
    },
    headMatmul: {
      out: floats(T, H, C),
      a: floats(T, H, N),
      b: weight(H * (N + V), C),
      rowsPerHead: N + V,
      firstRow: 0,
      numRows: N,
      layout: 'nn',
    },
    rmsNorm: { out: floats(T, D), x: floats(T, D), gain: floats(D), eps: 1e-6 },
    rmsNormBackwardInput: {
      dX: floats(T, D),
      dOut: floats(T, D),
      x: floats(T, D),
      gain: floats(D),
      reciprocalRms_T: floats(T),
    },
    rmsNormBackwardWeight: {
      dGain: floats(D),
      dOut: floats(T, D),
      x: floats(T, D),
      reciprocalRms_T: floats(T),
    },
    rope: {
      x_THP: floats(T, H, P),
      positions_T: ints(T),
      table: floats(7, P / 2, 2),
      direction: 'forward',
    },
    swiglu: { out_TF: floats(T, D), gateUp_T2F: floats(T, 2 * D) },
    swigluBackward: {
      dGateUp_T2F: floats(T, 2 * D),
      dOut_TF: floats(T, D),
      gateUp_T2F: floats(T, 2 * D),
    },
    mlaAttention: attention,
    mlaAttentionBackward: {
      ...attention,
      dQ_THD: floats(T, H, N + P),
      dKv_THD: floats(T, H, N + V),
      dKPe_TP: floats(T, P),
      dOut_THV: floats(T, H, V),
    },
    appendCache: {
      cache: floats(2, 8, C + P),
      latent_TC: floats(T, C),
      kPe_TP: floats(T, P),
      slots_T: ints(T),
    },
    readCache: {
      latent_TC: floats(T, C),
      kPe_TP: floats(T, P),
      cache: floats(2, 8, C + P),
      slots_T: ints(T),
    },
    absorbedAttention: {
      out_THC: floats(T, H, C),
      q_THC: floats(T, H, C),
      qPe_THP: floats(T, H, P),
      cache: floats(2, 8, C + P),
      blockTable: ints(1, 2),
      sequence_T: ints(T),
      length_T: tensor('i32', 1, T),
      scale: 1,
    },
    mlaDecode: {
      x_TD: floats(T, D),
      positions_T: ints(T),
      slots_T: ints(T),
      cache: floats(2, 8, C + P),
      blockTable: ints(1, 2),
      sequence_T: ints(T),
      length_T: tensor('i32', 1, T),
      table: floats(16, P / 2, 2),
      gain: floats(D),
      qLatent: { down: weight(5, D), gain: floats(5) },
      q: weight(H * (N + P), 5),
      kvDown: weight(C + P, D),
      kvGain: floats(C),
      kv: weight(H * (N + V), C),
      o: weight(D, H * V),
      numHeads: H,
      eps: 1e-6,
      latentEps: 1e-6,
      scale: 1,
    },
    feedForwardDecode: {
      x_TD: floats(T, D),
      gain: floats(D),
      eps: 1e-6,
      mlp: { gateUp: weight(6, D), down: weight(D, 3) },
      routed: {
        router: weight(E, D),
        bias_E: floats(E),
        counts_E: ints(E),
        gateUp: weight(E, 10, D),
        down: weight(E, D, 5),
        rule: RULE,
      },
    },
    routeTopK: {
      scores_TE: floats(T, E),
      ids_TK: ints(T, K),
      weights_TK: floats(T, K),
      counts_E: ints(E),
      logits_TE: floats(T, E),
      bias_E: floats(E),
      rule: RULE,
    },
    routeTopKBackward: {
      dLogits_TE: floats(T, E),
      dWeights_TK: floats(T, K),
      dScores_TE: floats(T, E),
      scores_TE: floats(T, E),
      ids_TK: ints(T, K),
      rule: RULE,
    },
    balanceLoss: {
      loss: floats(1),
      dScores_TE: floats(T, E),
      scores_TE: floats(T, E),
      ids_TK: ints(T, K),
      sequences: [0, T],
      form: 'paper',
      scoring: 'sigmoid',
      coefficient: 0.01,
    },
    sortByExpert: {
      offsets: ints(E + 1),
      slot_R: ints(T * K),
      row_TK: ints(T, K),
      ids_TK: ints(T, K),
    },
    permute: {
      out_RD: floats(T * K, D),
      x_TD: floats(T, D),
      slot_R: ints(T * K),
      expertsPerToken: K,
    },
    unpermute: {
      out_TD: floats(T, D),
      x_RD: floats(T * K, D),
      row_TK: ints(T, K),
      weights_TK: floats(T, K),
    },
    unpermuteBackwardInput: {
      dX_RD: floats(T * K, D),
      dOut_TD: floats(T, D),
      slot_R: ints(T * K),
      weights_TK: floats(T, K),
    },
    unpermuteBackwardWeights: {
      dWeights_TK: floats(T, K),
      dOut_TD: floats(T, D),
      x_RD: floats(T * K, D),
      row_TK: ints(T, K),
    },
    embedding: { out_TD: floats(T, D), table_VD: weight(9, D), ids_T: ints(T) },
    embeddingBackward: { dTable_VD: floats(9, D), dOut_TD: floats(T, D), ids_T: ints(T) },
    headCrossEntropy: {
      losses_T: floats(T),
      h_TD: floats(T, D),
      head_VD: weight(9, D),
      targets_T: ints(T),
      gradients: { dH_TD: floats(T, D), dHead_VD: floats(9, D), gradientScale: 1 },
    },
    sampleTokens: {
      ids_T: ints(T),
      logProbabilities_T: floats(T),
      logits_TV: floats(T, 9),
      rules: new Array(T).fill({ temperature: 1, topK: 5, topP: 0.9, minP: 0, seed: 1 }),
      positions: [0, 1, 2, 3],
    },
    adjustLogits: {
      out_TV: floats(T, 9),
      logits_TV: floats(T, 9),
      allowed_TW: ints(T, 1),
      ids_N: ints(3),
      factors_N: floats(3),
      addends_N: floats(3),
      offsets: [0, 2, 2, 3, 3],
    },
    topTokens: {
      ids_TN: ints(T, 5),
      logProbabilities_TN: floats(T, 5),
      chosenLogProbabilities_T: floats(T),
      chosen_T: ints(T),
      logits_TV: floats(T, 9),
      temperatures: [1, 0.5, 2, 1],
    },
    adamw: {
      parameter: floats(T, D),
      gradient: floats(T, D),
      firstMoment: floats(T, D),
      secondMoment: tensor('bf16', 0, T, D),
      learningRate: 1e-3,
      beta1: 0.9,
      beta2: 0.95,
      epsilon: 1e-8,
      weightDecay: 0.1,
      step: 1,
      gradientScale: 1,
    },
    updateRouterBias: { bias_E: floats(E), counts_E: ints(E), speed: 0.001 },
    quantizeFp8: {
      codes: tensor('f8e4m3', 0, T, 130),
      scales: floats(T, 2),
      x: floats(T, 130),
      tile: '1x128',
      scaleFormat: 'f32',
    },
    dequantizeFp8: {
      out: floats(T, 130),
      codes: tensor('f8e4m3', 0, T, 130),
      scales: floats(1, 2),
      tile: '128x128',
    },
    findSpecialCodes: {
      codes: tensor('f8e4m3', 0, T, 130),
      begins: ints(T + 1),
      entries: ints(8),
    },
    fp8Matmul: {
      out: floats(T, 5),
      a: tensor('f8e4m3', 0, T, 130),
      aScales: floats(T, 2),
      b: tensor('f8e4m3', 0, 5, 130),
      bScales: floats(1, 2),
    },
  };
}
