/**
 * The gate of a MoE layer: which experts each token goes to, with which weights (DeepSeek-V3
 * report, 2.1.2), the sequence-wise balance loss on its affinities, and the order of rows by
 * expert.
 *
 *     logits = Wg · x → scores → chosen ids and weights → counting sort → (offsets, slot, row)
 *
 * Legend: T rows, E experts, K experts per token, R = T × K routed rows.
 */
import { assert, at } from '../base/assert.ts';
import type { F32, I32, RoutingRule } from '../kernels/kernels.ts';
import { numRows } from '../tensor/tensor.ts';
import {
  allocateF32,
  allocateI32,
  countsOfLayer,
  type Rows,
  type Shared,
  type StepContext,
} from './context.ts';
import { linearAddBackwardInput, linearBackwardWeight, linearForward } from './linear.ts';
import { layerPrefix } from './parameterLayout.ts';
import { f32Values, type Parameter, type ParameterSet, parameterNamed } from './parameters.ts';

export interface RouterWeights {
  readonly layer: number;
  readonly gate: Parameter;
  readonly bias: Parameter;
}

export function routerWeights(set: ParameterSet, layer: number): RouterWeights {
  const prefix = `${layerPrefix(layer)}mlp.gate.`;
  return {
    layer,
    gate: parameterNamed(set, `${prefix}weight`),
    bias: parameterNamed(set, `${prefix}e_score_correction_bias`),
  };
}

/** Where the balance loss of a layer goes, and what multiplies its gradient. */
export interface BalanceTerm {
  /** `[1]`, unscaled */
  readonly loss: F32;
  readonly coefficient: number;
}

export interface Routing {
  readonly x: F32;
  readonly scores_TE: F32;
  readonly ids_TK: I32;
  readonly weights_TK: F32;
  /** Of the balance loss; null where none is taken. */
  readonly dScores_TE: F32 | null;
  readonly offsets: I32;
  readonly slot_R: I32;
  readonly row_TK: I32;
}

export interface RouterDeferred {
  readonly x: F32;
  readonly dLogits: F32;
}

/** @param balance null leaves the balance loss out (serving) */
export function routerForward(
  context: StepContext,
  shared: Shared,
  weights: RouterWeights,
  args: { x: F32; rows: Rows; balance: BalanceTerm | null },
): Routing {
  const { x, rows, balance } = args;
  const { kernels, capture } = context;
  const rule = ruleOf(shared);
  const [T, E, K] = [numRows(x), at(weights.gate.shape, 0), rule.expertsPerToken];
  const logits_TE = linearForward(context, weights.gate, x);
  const scores_TE = allocateF32(context, T, E);
  const ids_TK = allocateI32(context, T, K);
  const weights_TK = allocateF32(context, T, K);
  kernels.routeTopK({
    scores_TE,
    ids_TK,
    weights_TK,
    counts_E: countsOfLayer(context.counts, weights.layer),
    logits_TE,
    bias_E: f32Values(weights.bias),
    rule,
  });
  const name = `router.${weights.layer}`;
  capture?.(`${name}.logits`, logits_TE);
  capture?.(`${name}.scores`, scores_TE);
  capture?.(`${name}.indices`, ids_TK);
  capture?.(`${name}.weights`, weights_TK);
  const dScores_TE =
    balance && balanceGradient(context, rule, { scores_TE, ids_TK, rows, balance });
  const offsets = allocateI32(context, E + 1);
  const slot_R = allocateI32(context, T * K);
  const row_TK = allocateI32(context, T, K);
  kernels.sortByExpert({ offsets, slot_R, row_TK, ids_TK });
  return { x, scores_TE, ids_TK, weights_TK, dScores_TE, offsets, slot_R, row_TK };
}

function balanceGradient(
  context: StepContext,
  rule: RoutingRule,
  args: { scores_TE: F32; ids_TK: I32; rows: Rows; balance: BalanceTerm },
): F32 {
  const { scores_TE, ids_TK, rows, balance } = args;
  const dScores_TE = allocateF32(context, ...scores_TE.shape);
  context.kernels.balanceLoss({
    loss: balance.loss,
    dScores_TE,
    scores_TE,
    ids_TK,
    sequences: rows.sequences,
    form: context.options.balanceForm,
    scoring: rule.scoring,
    coefficient: balance.coefficient,
  });
  return dScores_TE;
}

/** Adds to `dX` what flows back through the weights and the balance loss. */
export function routerBackwardInput(
  context: StepContext,
  shared: Shared,
  weights: RouterWeights,
  args: { routing: Routing; dWeights_TK: F32; dX: F32 },
): RouterDeferred {
  const { routing, dWeights_TK, dX } = args;
  const dLogits_TE = allocateF32(context, ...routing.scores_TE.shape);
  context.kernels.routeTopKBackward({
    dLogits_TE,
    dWeights_TK,
    ...(routing.dScores_TE === null ? {} : { dScores_TE: routing.dScores_TE }),
    scores_TE: routing.scores_TE,
    ids_TK: routing.ids_TK,
    rule: ruleOf(shared),
  });
  linearAddBackwardInput(context, weights.gate, { dX, dOut: dLogits_TE });
  return { x: routing.x, dLogits: dLogits_TE };
}

export function routerBackwardWeight(
  context: StepContext,
  weights: RouterWeights,
  deferred: RouterDeferred,
): void {
  linearBackwardWeight(context, weights.gate, { x: deferred.x, dOut: deferred.dLogits });
}

export function ruleOf(shared: Shared): RoutingRule {
  assert(shared.rule !== null, 'a MoE layer in a model without a routing rule');
  return shared.rule;
}
