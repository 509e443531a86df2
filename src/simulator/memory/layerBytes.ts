/**
 * Bytes of one layer for one micro-batch on one rank, under a recompute policy: what waits for
 * backward, what waits for a weight half that was put off, and what is there only while the layer
 * itself runs. And the FLOPs that making it again costs.
 *
 * Every tensor is split over the tensor-parallel ranks: by heads or width inside the parallel
 * products, by sequence around them (sequence parallelism).
 */
import { isGqa, type PlannedModel } from '../../config/gqaModelConfig.ts';
import type { RecomputeItems } from '../../config/parallelPlan.ts';
import { type LayerKind, type LayerTensor, layerTensors } from './layerTensors.ts';
import { bytesOfRow, type MemoryRecipe } from './memoryRecipe.ts';

/** Rows of one micro-batch on one rank. */
export interface RowCounts {
  /** Tokens divided by the tensor-parallel size. */
  readonly tokens: number;
  /** Rows that dispatch brings to this rank's experts: tokens × K × imbalance. */
  readonly routed: number;
  /** Tokens of a sequence: each attends to half of them and half a token, in the mean. */
  readonly context: number;
}

export interface LayerBytes {
  /** From forward until backward. */
  readonly kept: number;
  /** From the input half of backward until the weight half, when they are apart. */
  readonly deferred: number;
  /** While the layer's forward runs, beyond what it keeps. */
  readonly forwardWork: number;
  /** While its backward runs, beyond what was kept: remade tensors and gradients. */
  readonly backwardWork: number;
  /** FLOPs of making again what was not kept, one micro-batch. */
  readonly remadeFlops: number;
}

export interface LayerBytesInput {
  readonly model: PlannedModel;
  readonly recipe: MemoryRecipe;
  readonly rows: RowCounts;
}

/** Every bundle of items there is: what `auto` chooses from. */
export const everyRecompute: readonly RecomputeItems[] = [
  ...[0, 1, 2, 3, 4, 5, 6, 7].map((bits) => ({
    norm: (bits & 1) > 0,
    mlaUpProjection: (bits & 2) > 0,
    swiglu: (bits & 4) > 0,
    block: false,
  })),
  { norm: false, mlaUpProjection: false, swiglu: false, block: true },
];

export function layerBytes(
  input: LayerBytesInput,
  kind: LayerKind,
  items: RecomputeItems,
): LayerBytes {
  const { model, recipe, rows } = input;
  const { saved, gradients } = layerTensors(model, kind);
  const count = (per: LayerTensor['per']): number => (per === 'token' ? rows.tokens : rows.routed);
  let kept = 0;
  let remade = 0;
  let deferred = 0;
  let forwardWork = 0;
  for (const [index, tensor] of saved.entries()) {
    const bytes = bytesOfRow(recipe.formats[tensor.role], tensor.width) * count(tensor.per);
    if (tensor.role === 'returned' && recipe.returnedRows === 'none') {
      // Reduced on the way back: one row a token arrives.
      forwardWork += bytesOfRow(recipe.formats.returned, model.hiddenSize) * rows.tokens;
      continue;
    }
    if (tensor.readBy !== 'input') deferred += bytes;
    if (isKept(tensor, items, index)) kept += bytes;
    else remade += bytes;
  }
  let backwardWork = 0;
  for (const { role, width, per, isDeferred } of gradients) {
    backwardWork += bytesOfRow(recipe.formats[role], width) * count(per);
    const waiting = role === 'linearGradient' ? recipe.deferredGradient : recipe.formats[role];
    if (isDeferred) deferred += bytesOfRow(waiting, width) * count(per);
  }
  if (kind === 'moe') {
    forwardWork += bytesOfRow(recipe.formats.router, model.nRoutedExperts) * rows.tokens;
    forwardWork += bytesOfRow(recipe.formats.gradient, model.hiddenSize) * rows.routed;
  }
  return {
    kept,
    deferred,
    forwardWork: forwardWork + remade,
    backwardWork: backwardWork + remade,
    remadeFlops: remadeFlops(input, kind, items),
  };
}

function isKept(tensor: LayerTensor, items: RecomputeItems, index: number): boolean {
  if (items.block) return index === 0;
  return tensor.remadeBy === null || !items[tensor.remadeBy];
}

/**
 * What backward computes a second time. Products count two FLOPs per weight and row, attention the
 * causal half; elementwise work what its formula has: a norm four a value, SwiGLU five a value.
 */
function remadeFlops(input: LayerBytesInput, kind: LayerKind, items: RecomputeItems): number {
  const { model, rows } = input;
  const { tokens, routed, context } = rows;
  const moe = kind === 'moe';
  const D = model.hiddenSize;
  const I = moe ? model.nSharedExperts * model.moeIntermediateSize : model.intermediateSize;
  const F = moe ? model.moeIntermediateSize : 0;
  const { latents, up, other, attended } = attentionWidths(model);
  let flops = 0;
  if (items.norm || items.block) flops += 4 * (2 * D + latents) * tokens;
  if (items.mlaUpProjection || items.block) flops += 2 * up * tokens;
  if (items.swiglu || items.block) flops += 5 * (I * tokens + F * routed);
  if (items.block) {
    const mlp = 3 * D * I + (moe ? D * model.nRoutedExperts : 0);
    flops +=
      2 * (other + mlp) * tokens + 2 * 3 * D * F * routed + attended * (context + 1) * tokens;
  }
  return flops;
}

/** Widths and weights of the attention's parts; `attended`: FLOPs per token and token before it. */
function attentionWidths(model: PlannedModel): {
  latents: number;
  up: number;
  other: number;
  attended: number;
} {
  const { hiddenSize: D, numAttentionHeads: H } = model;
  if (isGqa(model)) {
    const kv = 2 * model.numKeyValueHeads * model.headDim;
    const other = 2 * D * H * model.headDim + D * kv;
    return { latents: 0, up: 0, other, attended: 2 * H * model.headDim };
  }
  const { qLoraRank: Q, kvLoraRank: C, qkNopeHeadDim: N, qkRopeHeadDim: P, vHeadDim: V } = model;
  const query = H * (N + P);
  return {
    latents: C + (Q ?? 0),
    up: C * H * (N + V) + (Q === null ? 0 : Q * query),
    other: D * (C + P) + H * V * D + D * (Q ?? query),
    attended: H * (N + P + V),
  };
}
