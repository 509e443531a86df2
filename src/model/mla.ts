/**
 * Multi-head latent attention (DeepSeek-V2 report, 2.1), with the norm before it and the residual
 * after it: the first part of a block.
 *
 *     n = norm(x)
 *     q = Wqb · norm(Wqa · n)          [T, H, N+P], its last P columns rotated     (or q = Wq · n)
 *     [c | kPe] = Wkva · n             c normed is the latent, kPe rotated is shared by all heads
 *     kv = Wkvb · norm(c)              [T, H, N+V]
 *     out = x + Wo · attention(q, kv, kPe)
 *
 * Legend: T rows, D hidden, H heads, N nope dim, P rope dim, V value dim, C latent rank.
 */
import type { ModelConfig } from '../config/modelConfig.ts';
import type { F32, I32 } from '../kernels/kernels.ts';
import { columns, numColumns, numRows, reshape } from '../tensor/tensor.ts';
import { allocateF32, captureCopy, type Rows, type Shared, type StepContext } from './context.ts';
import {
  linearAddBackwardInput,
  linearBackwardInput,
  linearBackwardWeight,
  linearForward,
} from './linear.ts';
import { layerPrefix } from './parameterLayout.ts';
import { type Parameter, type ParameterSet, parameterNamed } from './parameters.ts';
import {
  LATENT_NORM_EPS,
  type Normed,
  normBackwardInput,
  normBackwardWeight,
  normForward,
} from './rmsNorm.ts';

export interface MlaWeights {
  readonly layer: number;
  readonly norm: Parameter;
  /** null: the query is projected in one step by `q`. */
  readonly qLatent: { readonly down: Parameter; readonly norm: Parameter } | null;
  readonly q: Parameter;
  readonly kvDown: Parameter;
  readonly kvNorm: Parameter;
  readonly kv: Parameter;
  readonly o: Parameter;
}

export function mlaWeights(set: ParameterSet, config: ModelConfig, layer: number): MlaWeights {
  const prefix = layerPrefix(layer);
  const attention = (name: string) => parameterNamed(set, `${prefix}self_attn.${name}.weight`);
  const isLowRank = config.qLoraRank !== null;
  return {
    layer,
    norm: parameterNamed(set, `${prefix}input_layernorm.weight`),
    qLatent: isLowRank ? { down: attention('q_a_proj'), norm: attention('q_a_layernorm') } : null,
    q: attention(isLowRank ? 'q_b_proj' : 'q_proj'),
    kvDown: attention('kv_a_proj_with_mqa'),
    kvNorm: attention('kv_a_layernorm'),
    kv: attention('kv_b_proj'),
    o: attention('o_proj'),
  };
}

/** Queries, latents and rope keys of some rows: what training and serving have in common. */
export interface Projected {
  readonly input: Normed;
  readonly qLatent: Normed | null;
  /** `[T, H, N+P]`, rotated */
  readonly q_THD: F32;
  /** Its input is the first C columns of `kvDown`'s output. */
  readonly latent: Normed;
  /** `[T, P]`, rotated: the last P columns of the same output. */
  readonly kPe_TP: F32;
}

export interface MlaSaved {
  readonly rows: Rows;
  readonly projected: Projected;
  readonly kv_THD: F32;
  readonly out_THV: F32;
  readonly logSumExp_TH: F32;
}

/** What the weight gradients need beyond what forward saved. */
export interface MlaDeferred {
  readonly saved: MlaSaved;
  readonly dOut: F32;
  readonly dKv: F32;
  readonly dLatent: F32;
  readonly dKvDown: F32;
  readonly dQ: F32;
  readonly dQLatent: { readonly dNormed: F32; readonly dDown: F32 } | null;
  readonly dInput: F32;
}

export function mlaForward(
  context: StepContext,
  shared: Shared,
  weights: MlaWeights,
  args: { x: F32; rows: Rows },
): { out: F32; saved: MlaSaved } {
  const { x, rows } = args;
  const { kernels } = context;
  const { numAttentionHeads: H, qkNopeHeadDim: N, vHeadDim: V } = shared.config;
  const out = allocateF32(context, rows.count, numColumns(x));
  const projected = projectForward(context, shared, weights, { x, positions: rows.positions });
  const kv = linearForward(context, weights.kv, projected.latent.out);
  const kv_THD = reshape(kv, [rows.count, H, N + V]);
  const out_THV = allocateF32(context, rows.count, H, V);
  const logSumExp_TH = allocateF32(context, rows.count, H);
  kernels.mlaAttention({
    out_THV,
    logSumExp_TH,
    q_THD: projected.q_THD,
    kv_THD,
    kPe_TP: projected.kPe_TP,
    sequences: rows.sequences,
    scale: shared.softmaxScale,
  });
  outputForward(context, weights, { out, x, heads: out_THV });
  return { out, saved: { rows, projected, kv_THD, out_THV, logSumExp_TH } };
}

export function projectForward(
  context: StepContext,
  shared: Shared,
  weights: MlaWeights,
  args: { x: F32; positions: I32 },
): Projected {
  const { kernels, capture } = context;
  const { config, ropeTable: table } = shared;
  const { numAttentionHeads: H, qkNopeHeadDim: N, qkRopeHeadDim: P, kvLoraRank: C } = config;
  const T = numRows(args.x);
  const input = normForward(context, weights.norm, { x: args.x, eps: config.rmsNormEps });
  let qInput = input.out;
  let qLatent: Normed | null = null;
  if (weights.qLatent !== null) {
    const down = linearForward(context, weights.qLatent.down, input.out);
    qLatent = normForward(context, weights.qLatent.norm, { x: down, eps: LATENT_NORM_EPS });
    qInput = qLatent.out;
  }
  const q_THD = reshape(linearForward(context, weights.q, qInput), [T, H, N + P]);
  const kvDown = linearForward(context, weights.kvDown, input.out);
  const latent = normForward(context, weights.kvNorm, {
    x: columns(kvDown, 0, C),
    eps: LATENT_NORM_EPS,
  });
  const kPe_TP = columns(kvDown, C, C + P);
  const turn = { positions_T: args.positions, table, direction: 'forward' as const };
  kernels.rope({ x_THP: columns(q_THD, N, N + P), ...turn });
  kernels.rope({ x_THP: oneHead(kPe_TP), ...turn });
  const debug = `debug.layer${weights.layer}`;
  capture?.(`${debug}.attn_in`, input.out);
  capture?.(`${debug}.q_nope`, columns(q_THD, 0, N));
  capture?.(`${debug}.q_pe_rot`, columns(q_THD, N, N + P));
  capture?.(`${debug}.kv_latent_normed`, latent.out);
  capture?.(`${debug}.k_pe_rot`, kPe_TP);
  return { input, qLatent, q_THD, latent, kPe_TP };
}

/** out = x + Wo · heads. */
export function outputForward(
  context: StepContext,
  weights: MlaWeights,
  args: { out: F32; x: F32; heads: F32 },
): void {
  const { out, x } = args;
  const [T = 0, H = 0, V = 0] = args.heads.shape;
  const heads = reshape(args.heads, [T, H * V]);
  context.kernels.matmul({ out, a: heads, b: weights.o.weight, layout: 'nt' });
  captureCopy(context, `debug.layer${weights.layer}.attn_out`, out);
  context.kernels.add({ out, a: out, b: x });
}

export function mlaBackwardInput(
  context: StepContext,
  shared: Shared,
  weights: MlaWeights,
  args: { saved: MlaSaved; dOut: F32 },
): { dX: F32; deferred: MlaDeferred } {
  const { saved, dOut } = args;
  const { kernels } = context;
  const { config, ropeTable: table } = shared;
  const { numAttentionHeads: H, qkNopeHeadDim: N, qkRopeHeadDim: P, vHeadDim: V } = config;
  const { rows, projected } = saved;
  const [T, C] = [rows.count, config.kvLoraRank];
  const dX = allocateF32(context, T, config.hiddenSize);
  const dHeads = linearBackwardInput(context, weights.o, dOut);
  const dQ_THD = allocateF32(context, T, H, N + P);
  const dKv_THD = allocateF32(context, T, H, N + V);
  const dKvDown = allocateF32(context, T, C + P);
  const dKPe_TP = columns(dKvDown, C, C + P);
  kernels.mlaAttentionBackward({
    dQ_THD,
    dKv_THD,
    dKPe_TP,
    dOut_THV: reshape(dHeads, [T, H, V]),
    out_THV: saved.out_THV,
    logSumExp_TH: saved.logSumExp_TH,
    q_THD: projected.q_THD,
    kv_THD: saved.kv_THD,
    kPe_TP: projected.kPe_TP,
    sequences: rows.sequences,
    scale: shared.softmaxScale,
  });
  const turn = { positions_T: rows.positions, table, direction: 'inverse' as const };
  kernels.rope({ x_THP: columns(dQ_THD, N, N + P), ...turn });
  kernels.rope({ x_THP: oneHead(dKPe_TP), ...turn });
  const dKv = reshape(dKv_THD, [T, H * (N + V)]);
  const dLatent = linearBackwardInput(context, weights.kv, dKv);
  normBackwardInput(context, weights.kvNorm, {
    normed: projected.latent,
    dOut: dLatent,
    dX: columns(dKvDown, 0, C),
  });
  const dInput = linearBackwardInput(context, weights.kvDown, dKvDown);
  const dQ = reshape(dQ_THD, [T, H * (N + P)]);
  const dQLatent = queryBackwardInput(context, weights, { projected, dQ, dInput });
  kernels.copy({ out: dX, x: dOut });
  normBackwardInput(context, weights.norm, {
    normed: projected.input,
    dOut: dInput,
    dX,
    accumulate: true,
  });
  return { dX, deferred: { saved, dOut, dKv, dLatent, dKvDown, dQ, dQLatent, dInput } };
}

/** Adds the query's share to `dInput`; the gradients in between are what the weights need. */
function queryBackwardInput(
  context: StepContext,
  weights: MlaWeights,
  args: { projected: Projected; dQ: F32; dInput: F32 },
): MlaDeferred['dQLatent'] {
  const { projected, dQ, dInput } = args;
  if (weights.qLatent === null || projected.qLatent === null) {
    linearAddBackwardInput(context, weights.q, { dX: dInput, dOut: dQ });
    return null;
  }
  const dNormed = linearBackwardInput(context, weights.q, dQ);
  const dDown = allocateF32(context, ...dNormed.shape);
  const normed = projected.qLatent;
  normBackwardInput(context, weights.qLatent.norm, { normed, dOut: dNormed, dX: dDown });
  linearAddBackwardInput(context, weights.qLatent.down, { dX: dInput, dOut: dDown });
  return { dNormed, dDown };
}

export function mlaBackwardWeight(
  context: StepContext,
  weights: MlaWeights,
  deferred: MlaDeferred,
): void {
  const { saved, dOut, dKv, dLatent, dKvDown, dQ, dQLatent, dInput } = deferred;
  const { projected, out_THV } = saved;
  const { input, latent, qLatent } = projected;
  const [T = 0, H = 0, V = 0] = out_THV.shape;
  linearBackwardWeight(context, weights.o, { x: reshape(out_THV, [T, H * V]), dOut });
  linearBackwardWeight(context, weights.kv, { x: latent.out, dOut: dKv });
  normBackwardWeight(context, weights.kvNorm, { normed: latent, dOut: dLatent });
  linearBackwardWeight(context, weights.kvDown, { x: input.out, dOut: dKvDown });
  linearBackwardWeight(context, weights.q, { x: qLatent?.out ?? input.out, dOut: dQ });
  if (weights.qLatent !== null && qLatent !== null && dQLatent !== null) {
    normBackwardWeight(context, weights.qLatent.norm, { normed: qLatent, dOut: dQLatent.dNormed });
    linearBackwardWeight(context, weights.qLatent.down, { x: input.out, dOut: dQLatent.dDown });
  }
  normBackwardWeight(context, weights.norm, { normed: input, dOut: dInput });
}

/** `[T, P]` as `[T, 1, P]`: rows are the same, also when they are columns of something wider. */
function oneHead(x_TP: F32): F32 {
  const [T = 0, P = 0] = x_TP.shape;
  return { ...x_TP, shape: [T, 1, P] };
}
