/**
 * The feed-forward half of a block in its three parts, around which an executor overlaps the
 * communication of another micro-batch (DeepSeek-V3 report, 3.2.1):
 *
 *     dispatch   n = norm(y); route; rows to their experts      ends by starting a transfer
 *     experts    begins by finishing it; routed and shared experts; starts the way back
 *     combine    finishes that; out = y + shared + Σ weight · row
 *
 * Backward runs them from the end, and the transfers swap: combine's gradient is dispatched, and
 * dispatch's is combined. A dense layer is the same without routed experts: its one MLP takes the
 * place of the shared experts.
 *
 * Legend: T rows, D hidden, K experts per token, R routed rows, F expert width.
 */
import { at } from '../base/assert.ts';
import { isMoeLayer, type ModelConfig } from '../config/modelConfig.ts';
import type { ExpertTransfer, Transfer } from '../kernels/collectives.ts';
import type { F32, I32 } from '../kernels/kernels.ts';
import { numRows } from '../tensor/tensor.ts';
import { allocateF32, captureCopy, type Rows, type Shared, type StepContext } from './context.ts';
import {
  type MlpDeferred,
  type MlpSaved,
  type MlpWeights,
  mlpBackwardInput,
  mlpBackwardWeight,
  mlpForward,
  mlpWeights,
} from './mlp.ts';
import { layerPrefix } from './parameterLayout.ts';
import { gradientOf, type Parameter, type ParameterSet, parameterNamed } from './parameters.ts';
import { type Normed, normBackwardInput, normBackwardWeight, normForward } from './rmsNorm.ts';
import {
  type BalanceTerm,
  type RouterDeferred,
  type RouterWeights,
  type Routing,
  routerBackwardInput,
  routerBackwardWeight,
  routerForward,
  routerWeights,
} from './router.ts';

export interface RoutedWeights {
  readonly router: RouterWeights;
  /** `[E, 2F, D]` and `[E, D, F]`, of the experts that lie on this rank */
  readonly gateUp: Parameter;
  readonly down: Parameter;
}

export interface FeedForwardWeights {
  readonly layer: number;
  readonly norm: Parameter;
  /** The dense MLP, or the shared experts; null where a MoE layer has none. */
  readonly mlp: MlpWeights | null;
  readonly routed: RoutedWeights | null;
}

export function feedForwardWeights(
  set: ParameterSet,
  config: ModelConfig,
  layer: number,
): FeedForwardWeights {
  const prefix = layerPrefix(layer);
  const norm = parameterNamed(set, `${prefix}post_attention_layernorm.weight`);
  if (!isMoeLayer(config, layer)) {
    return { layer, norm, mlp: mlpWeights(set, `${prefix}mlp.`), routed: null };
  }
  return {
    layer,
    norm,
    mlp: config.nSharedExperts > 0 ? mlpWeights(set, `${prefix}mlp.shared_experts.`) : null,
    routed: {
      router: routerWeights(set, layer),
      gateUp: parameterNamed(set, `${prefix}mlp.experts.gate_up_proj.weight`),
      down: parameterNamed(set, `${prefix}mlp.experts.down_proj.weight`),
    },
  };
}

export interface Dispatched {
  readonly y: F32;
  readonly normed: Normed;
  readonly routed: { readonly routing: Routing; readonly transfer: ExpertTransfer } | null;
}

export interface ExpertsDone {
  /** `out` is overwritten by combine; null without a dense MLP or shared experts. */
  readonly mlp: { readonly out: F32; readonly saved: MlpSaved } | null;
  readonly routed: {
    readonly rows_RD: F32;
    /** Where this rank's experts begin among the rows that arrived. */
    readonly offsets: I32;
    readonly gateUp: F32;
    readonly hidden: F32;
    readonly transfer: Transfer;
  } | null;
}

export interface FeedForwardSaved {
  readonly dispatched: Dispatched;
  readonly experts: ExpertsDone;
  /** The routed experts' outputs, back at their tokens' rank. */
  readonly returned_RD: F32 | null;
}

// Forward

export function dispatchForward(
  context: StepContext,
  shared: Shared,
  weights: FeedForwardWeights,
  args: { y: F32; rows: Rows; balance: BalanceTerm | null },
): Dispatched {
  const { y, rows, balance } = args;
  const normed = normForward(context, weights.norm, { x: y, eps: shared.config.rmsNormEps });
  context.capture?.(`debug.layer${weights.layer}.ffn_in`, normed.out);
  if (weights.routed === null) return { y, normed, routed: null };
  const x = normed.out;
  const routing = routerForward(context, shared, weights.routed.router, { x, rows, balance });
  const rows_RD = allocateF32(context, at(routing.slot_R.shape, 0), at(x.shape, 1));
  context.kernels.permute({
    out_RD: rows_RD,
    x_TD: x,
    slot_R: routing.slot_R,
    expertsPerToken: at(routing.ids_TK.shape, 1),
  });
  const transfer = context.collectives.dispatch(rows_RD, routing.offsets);
  return { y, normed, routed: { routing, transfer } };
}

export function expertsForward(
  context: StepContext,
  weights: FeedForwardWeights,
  dispatched: Dispatched,
): ExpertsDone {
  // The shared experts need no transfer, so they run while the rows are on their way.
  const mlp = weights.mlp && mlpForward(context, weights.mlp, dispatched.normed.out);
  if (weights.routed === null || dispatched.routed === null) return { mlp, routed: null };
  const { kernels } = context;
  const { rows_RD, offsets } = dispatched.routed.transfer.finish();
  const [, D = 0, F = 0] = weights.routed.down.shape;
  const R = numRows(rows_RD);
  const gateUp = allocateF32(context, R, 2 * F);
  const hidden = allocateF32(context, R, F);
  const out = allocateF32(context, R, D);
  const { gateUp: up, down } = weights.routed;
  const forward = { offsets, layout: 'nt' } as const;
  kernels.groupedMatmul({ out: gateUp, a: rows_RD, b: up.weight, ...forward, swiglu_TF: hidden });
  kernels.groupedMatmul({ out, a: hidden, b: down.weight, ...forward });
  const transfer = context.collectives.combine(out);
  return { mlp, routed: { rows_RD, offsets, gateUp, hidden, transfer } };
}

export function combineForward(
  context: StepContext,
  weights: FeedForwardWeights,
  args: { dispatched: Dispatched; experts: ExpertsDone },
): { out: F32; saved: FeedForwardSaved } {
  const { dispatched, experts } = args;
  const { kernels } = context;
  const { y } = dispatched;
  // Nobody reads the MLP's output again, so the sum goes there.
  const out = experts.mlp?.out ?? allocateF32(context, ...y.shape);
  let returned_RD: F32 | null = null;
  if (dispatched.routed !== null && experts.routed !== null) {
    returned_RD = experts.routed.transfer.finish();
    const { row_TK, weights_TK } = dispatched.routed.routing;
    const accumulate = experts.mlp !== null;
    kernels.unpermute({ out_TD: out, x_RD: returned_RD, row_TK, weights_TK, accumulate });
  }
  captureCopy(context, `debug.layer${weights.layer}.ffn_out`, out);
  kernels.add({ out, a: out, b: y });
  return { out, saved: { dispatched, experts, returned_RD } };
}

// Backward, input half

export interface CombineBackward {
  readonly dOut: F32;
  readonly routed: { readonly dWeights_TK: F32; readonly transfer: ExpertTransfer } | null;
}

export function combineBackwardInput(
  context: StepContext,
  args: { saved: FeedForwardSaved; dOut: F32 },
): CombineBackward {
  const { saved, dOut } = args;
  const { kernels } = context;
  if (saved.dispatched.routed === null || saved.returned_RD === null) return { dOut, routed: null };
  const { slot_R, row_TK, weights_TK, offsets } = saved.dispatched.routed.routing;
  const dRows_RD = allocateF32(context, ...saved.returned_RD.shape);
  const dWeights_TK = allocateF32(context, ...weights_TK.shape);
  kernels.unpermuteBackwardInput({ dX_RD: dRows_RD, dOut_TD: dOut, slot_R, weights_TK });
  kernels.unpermuteBackwardWeights({
    dWeights_TK,
    dOut_TD: dOut,
    x_RD: saved.returned_RD,
    row_TK,
  });
  const transfer = context.collectives.dispatch(dRows_RD, offsets);
  return { dOut, routed: { dWeights_TK, transfer } };
}

export interface ExpertsBackward {
  /** Gradient of the normed input through the MLP or shared experts. */
  readonly dMlpIn: F32 | null;
  readonly transfer: Transfer | null;
  readonly deferred: ExpertsDeferred;
}

export interface ExpertsDeferred {
  readonly mlp: MlpDeferred | null;
  readonly routed: {
    readonly forward: NonNullable<ExpertsDone['routed']>;
    readonly dOut_RD: F32;
    readonly dGateUp: F32;
  } | null;
}

export function expertsBackwardInput(
  context: StepContext,
  weights: FeedForwardWeights,
  args: { saved: FeedForwardSaved; combined: CombineBackward },
): ExpertsBackward {
  const { saved, combined } = args;
  const { dispatched, experts } = saved;
  const mlp =
    weights.mlp &&
    experts.mlp &&
    mlpBackwardInput(context, weights.mlp, { saved: experts.mlp.saved, dOut: combined.dOut });
  const dMlpIn = mlp?.dX ?? null;
  const deferredMlp = mlp?.deferred ?? null;
  if (
    weights.routed === null ||
    dispatched.routed === null ||
    experts.routed === null ||
    combined.routed === null
  ) {
    return { dMlpIn, transfer: null, deferred: { mlp: deferredMlp, routed: null } };
  }
  const { kernels } = context;
  const { gateUp, rows_RD, offsets } = experts.routed;
  const { gateUp: up, down } = weights.routed;
  const dOut_RD = combined.routed.transfer.finish().rows_RD;
  const dGateUp = allocateF32(context, ...gateUp.shape);
  const dRows_RD = allocateF32(context, ...rows_RD.shape);
  const back = { offsets, layout: 'nn' } as const;
  const intoHidden = { out: dGateUp, a: dOut_RD, b: down.weight, ...back };
  kernels.groupedMatmul({ ...intoHidden, gateUp_T2F: gateUp });
  kernels.groupedMatmul({ out: dRows_RD, a: dGateUp, b: up.weight, ...back });
  const transfer = context.collectives.combine(dRows_RD);
  const routed = { forward: experts.routed, dOut_RD, dGateUp };
  return { dMlpIn, transfer, deferred: { mlp: deferredMlp, routed } };
}

export interface DispatchDeferred {
  readonly normed: Normed;
  readonly dNormed: F32;
  readonly router: RouterDeferred | null;
}

export function dispatchBackwardInput(
  context: StepContext,
  shared: Shared,
  weights: FeedForwardWeights,
  args: { saved: FeedForwardSaved; combined: CombineBackward; experts: ExpertsBackward },
): { dY: F32; deferred: DispatchDeferred } {
  const { saved, combined, experts } = args;
  const { kernels } = context;
  const { normed, routed } = saved.dispatched;
  const dY = allocateF32(context, ...normed.x.shape);
  const dNormed = experts.dMlpIn ?? allocateF32(context, ...normed.x.shape);
  let router: RouterDeferred | null = null;
  if (experts.transfer !== null && routed && weights.routed && combined.routed) {
    const accumulate = experts.dMlpIn !== null;
    const { row_TK } = routed.routing;
    kernels.unpermute({ out_TD: dNormed, x_RD: experts.transfer.finish(), row_TK, accumulate });
    router = routerBackwardInput(context, shared, weights.routed.router, {
      routing: routed.routing,
      dWeights_TK: combined.routed.dWeights_TK,
      dX: dNormed,
    });
  }
  kernels.copy({ out: dY, x: combined.dOut });
  normBackwardInput(context, weights.norm, { normed, dOut: dNormed, dX: dY, accumulate: true });
  return { dY, deferred: { normed, dNormed, router } };
}

// Backward, weight half (combine has no weights)

export function expertsBackwardWeight(
  context: StepContext,
  weights: FeedForwardWeights,
  deferred: ExpertsDeferred,
): void {
  if (weights.mlp && deferred.mlp) mlpBackwardWeight(context, weights.mlp, deferred.mlp);
  if (weights.routed === null || deferred.routed === null) return;
  const { forward, dOut_RD, dGateUp } = deferred.routed;
  const { offsets } = forward;
  const add = (parameter: Parameter, a: F32, b: F32): void =>
    context.kernels.groupedMatmul({
      out: gradientOf(parameter),
      a,
      b: { values: b },
      offsets,
      layout: 'tn',
      accumulate: true,
    });
  add(weights.routed.down, dOut_RD, forward.hidden);
  add(weights.routed.gateUp, dGateUp, forward.rows_RD);
}

export function dispatchBackwardWeight(
  context: StepContext,
  weights: FeedForwardWeights,
  deferred: DispatchDeferred,
): void {
  if (weights.routed && deferred.router) {
    routerBackwardWeight(context, weights.routed.router, deferred.router);
  }
  normBackwardWeight(context, weights.norm, { normed: deferred.normed, dOut: deferred.dNormed });
}
