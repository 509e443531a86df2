/**
 * What one layer keeps between forward and backward, tensor by tensor, and what its backward makes
 * on the way. The list is that of the model's own code (`MlaSaved`, `FeedForwardSaved`, …), and a
 * test holds it, in float32, to the tensors that the code's backward really reads on the meta
 * kernels. Layers of grouped-query models follow the same plan.
 *
 * Letters: D hidden, H heads, N nope dim, P rope dim, V value dim, C latent, Q query latent, E
 * experts, K experts per token, F expert width, I width of a dense MLP or of the shared experts.
 */
import { type GqaModelConfig, isGqa, type PlannedModel } from '../../config/gqaModelConfig.ts';
import { isMoeLayer, type ModelConfig } from '../../config/modelConfig.ts';
import type { RecomputeItems } from '../../config/parallelPlan.ts';
import type { TensorRole } from './memoryRecipe.ts';

export interface LayerTensor {
  readonly name: string;
  readonly role: TensorRole;
  /** Rows: one for each token, or one for each row that came to this rank's experts. */
  readonly per: 'token' | 'routedRow';
  /** Values in a row. */
  readonly width: number;
  /** What makes it again in backward, when that is chosen; null: only `block` does. */
  readonly remadeBy: Exclude<keyof RecomputeItems, 'block'> | null;
  /** The half of backward that reads it; what the weight half reads waits as long as that does. */
  readonly readBy: 'input' | 'weight' | 'both';
}

/** A gradient inside of one layer's backward. */
export interface GradientTensor {
  readonly name: string;
  readonly role: 'gradient' | 'linearGradient' | 'dispatched' | 'router';
  readonly per: 'token' | 'routedRow';
  readonly width: number;
  /** Whether the weight half reads it. */
  readonly isDeferred: boolean;
}

export interface LayerTensors {
  /** In order of forward; the first is the block's input. */
  readonly saved: readonly LayerTensor[];
  readonly gradients: readonly GradientTensor[];
}

export type LayerKind = 'dense' | 'moe';

export function layerKind(model: PlannedModel, layer: number): LayerKind {
  if (!isGqa(model)) return isMoeLayer(model, layer) ? 'moe' : 'dense';
  return model.nRoutedExperts > 0 && layer >= model.firstKDenseReplace ? 'moe' : 'dense';
}

export function layerTensors(model: PlannedModel, kind: LayerKind): LayerTensors {
  const attention = isGqa(model) ? gqaTensors(model) : mlaTensors(model);
  const feedForward = feedForwardTensors(model, kind);
  return {
    saved: [...attention.saved, ...feedForward.saved],
    gradients: [...attention.gradients, ...feedForward.gradients],
  };
}

type Item = LayerTensor['remadeBy'];
type ReadBy = LayerTensor['readBy'];

function keep(
  name: string,
  role: TensorRole,
  width: number,
  about: { readBy: ReadBy; remadeBy?: Item; per?: LayerTensor['per'] },
): LayerTensor {
  const { readBy, remadeBy = null, per = 'token' } = about;
  return { name, role, width, per, remadeBy, readBy };
}

function gradient(
  name: string,
  width: number,
  about: {
    role?: GradientTensor['role'];
    per?: LayerTensor['per'];
    until: 'input' | 'weight';
  },
): GradientTensor {
  const { role = 'gradient', per = 'token', until } = about;
  return { name, role, per, width, isDeferred: until === 'weight' };
}

function mlaTensors(model: ModelConfig): LayerTensors {
  const { hiddenSize: D, numAttentionHeads: H, kvLoraRank: C, qLoraRank: Q } = model;
  const { qkNopeHeadDim: N, qkRopeHeadDim: P, vHeadDim: V } = model;
  const norm = { readBy: 'weight', remadeBy: 'norm' } as const;
  const up = { readBy: 'input', remadeBy: 'mlaUpProjection' } as const;
  const query =
    Q === null
      ? []
      : [
          keep('query latent', 'latent', Q, { readBy: 'both' }),
          keep('query latent, normed', 'linearInput', Q, norm),
          keep('query latent, factor', 'statistic', 1, { readBy: 'both' }),
        ];
  const dQuery =
    Q === null
      ? []
      : [
          gradient('of normed query latent', Q, { until: 'weight' }),
          gradient('of query latent', Q, { role: 'linearGradient', until: 'weight' }),
        ];
  // Without a query latent the query comes from the normed input in one large product: not remade.
  const queryUp = Q === null ? ({ readBy: 'input' } as const) : up;
  return {
    saved: [
      keep('attention input', 'residual', D, { readBy: 'both' }),
      keep('attention input, normed', 'linearInput', D, norm),
      keep('attention input, factor', 'statistic', 1, { readBy: 'both' }),
      ...query,
      keep('queries', 'attentionCore', H * (N + P), queryUp),
      keep('latent and rope key', 'latent', C + P, { readBy: 'both' }),
      keep('latent, normed', 'linearInput', C, norm),
      keep('latent, factor', 'statistic', 1, { readBy: 'both' }),
      keep('keys and values', 'attentionCore', H * (N + V), up),
      keep('attention output', 'attentionOut', H * V, { readBy: 'both' }),
      keep('log-sum-exp', 'statistic', H, { readBy: 'input' }),
    ],
    gradients: [
      gradient('of attention input', D, { until: 'input' }),
      gradient('of attention output', H * V, { until: 'input' }),
      gradient('of queries', H * (N + P), { role: 'linearGradient', until: 'weight' }),
      gradient('of keys and values', H * (N + V), { role: 'linearGradient', until: 'weight' }),
      gradient('of latent and rope key', C + P, { role: 'linearGradient', until: 'weight' }),
      gradient('of normed latent', C, { until: 'weight' }),
      ...dQuery,
      gradient('of normed attention input', D, { until: 'weight' }),
    ],
  };
}

function gqaTensors(model: GqaModelConfig): LayerTensors {
  const { hiddenSize: D, numAttentionHeads: H, numKeyValueHeads, headDim } = model;
  const kv = 2 * numKeyValueHeads * headDim;
  return {
    saved: [
      keep('attention input', 'residual', D, { readBy: 'both' }),
      keep('attention input, normed', 'linearInput', D, { readBy: 'weight', remadeBy: 'norm' }),
      keep('attention input, factor', 'statistic', 1, { readBy: 'both' }),
      keep('queries', 'attentionCore', H * headDim, { readBy: 'input' }),
      keep('keys and values', 'attentionCore', kv, { readBy: 'input' }),
      keep('attention output', 'attentionOut', H * headDim, { readBy: 'both' }),
      keep('log-sum-exp', 'statistic', H, { readBy: 'input' }),
    ],
    gradients: [
      gradient('of attention input', D, { until: 'input' }),
      gradient('of attention output', H * headDim, { until: 'input' }),
      gradient('of queries', H * headDim, { role: 'linearGradient', until: 'weight' }),
      gradient('of keys and values', kv, { role: 'linearGradient', until: 'weight' }),
      gradient('of normed attention input', D, { until: 'weight' }),
    ],
  };
}

function feedForwardTensors(model: PlannedModel, kind: LayerKind): LayerTensors {
  const D = model.hiddenSize;
  const norm = { readBy: 'weight', remadeBy: 'norm' } as const;
  const isMoe = kind === 'moe';
  const mlp = mlpTensors(isMoe ? model.nSharedExperts * model.moeIntermediateSize : width(model));
  const routed = isMoe ? routedTensors(model) : { saved: [], gradients: [] };
  return {
    saved: [
      keep('feed-forward input', 'residual', D, { readBy: 'both' }),
      keep('feed-forward input, normed', isMoe ? 'gateInput' : 'linearInput', D, norm),
      keep('feed-forward input, factor', 'statistic', 1, { readBy: 'both' }),
      ...mlp.saved,
      ...routed.saved,
    ],
    gradients: [
      gradient('of block output', D, {
        role: 'linearGradient',
        until: mlp.saved.length > 0 ? 'weight' : 'input',
      }),
      ...mlp.gradients,
      ...routed.gradients,
      gradient('of normed feed-forward input', D, { until: 'weight' }),
      gradient('of feed-forward input', D, { role: 'linearGradient', until: 'weight' }),
    ],
  };
}

function width(model: PlannedModel): number {
  return model.intermediateSize;
}

/** Empty where a MoE layer has no shared experts. */
function mlpTensors(I: number): LayerTensors {
  if (I === 0) return { saved: [], gradients: [] };
  return {
    saved: [
      keep('gate and up', 'swigluInput', 2 * I, { readBy: 'input' }),
      keep('hidden', 'linearInput', I, { readBy: 'weight', remadeBy: 'swiglu' }),
    ],
    gradients: [gradient('of gate and up', 2 * I, { role: 'linearGradient', until: 'weight' })],
  };
}

function routedTensors(model: PlannedModel): LayerTensors {
  const { hiddenSize: D, nRoutedExperts: E, numExpertsPerTok: K } = model;
  const F = model.moeIntermediateSize;
  const per = 'routedRow';
  return {
    saved: [
      keep('scores', 'router', E, { readBy: 'input' }),
      keep('balance gradient', 'router', E, { readBy: 'input' }),
      keep('routing weights', 'router', K, { readBy: 'input' }),
      keep('experts of tokens', 'index', K, { readBy: 'input' }),
      keep('tokens of rows', 'index', K, { readBy: 'input' }),
      keep('rows of tokens', 'index', K, { readBy: 'input' }),
      keep('dispatched rows', 'dispatched', D, { readBy: 'weight', per }),
      keep('gate and up of experts', 'swigluInput', 2 * F, { readBy: 'input', per }),
      keep('hidden of experts', 'linearInput', F, { readBy: 'weight', remadeBy: 'swiglu', per }),
      keep('returned rows', 'returned', K * D, { readBy: 'input' }),
    ],
    gradients: [
      gradient('of returned rows', D, { role: 'dispatched', per, until: 'weight' }),
      gradient('of routing weights', K, { role: 'router', until: 'input' }),
      gradient('of gate and up of experts', 2 * F, {
        role: 'linearGradient',
        per,
        until: 'weight',
      }),
      gradient('of dispatched rows', D, { per, until: 'input' }),
      gradient('of gate scores', E, { role: 'router', until: 'weight' }),
    ],
  };
}
