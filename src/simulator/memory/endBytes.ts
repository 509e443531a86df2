/**
 * What the ends of the model keep: the final norm, the head with its losses, and what an MTP module
 * has beside its block. The head takes its loss's gradient in forward, so of the logits nothing
 * waits; they are work space while the head runs.
 */
import type { PlannedModel } from '../../config/gqaModelConfig.ts';
import { bytesOfRow, type MemoryRecipe, type StoredFormat } from './memoryRecipe.ts';

export interface EndBytes {
  readonly kept: number;
  readonly deferred: number;
  readonly logits: number;
}

export function endBytes(args: {
  readonly model: PlannedModel;
  readonly recipe: MemoryRecipe;
  /** Divided by tp. */
  readonly tokens: number;
  /** Ranks that share the vocabulary. */
  readonly tp: number;
  readonly numMtp: number;
  readonly remade: { readonly norm: boolean };
}): EndBytes {
  const { model, recipe, tokens, tp, numMtp, remade } = args;
  const { formats } = recipe;
  const D = model.hiddenSize;
  const row = (format: StoredFormat, width: number): number => bytesOfRow(format, width) * tokens;
  // Norm input, its factor, and the gradient from the end's own loss.
  const end = row(formats.residual, D) + row(formats.statistic, 1) + row(formats.gradient, D);
  // Embedding and state before their norms, two factors, both normed side by side.
  const inputs = 2 * row(formats.residual, D) + 2 * row(formats.statistic, 1);
  const joined = row(formats.linearInput, 2 * D);
  const join = inputs + (remade.norm ? 0 : joined);
  // Gradients of the projection's output, of the joined norms, of the embedding.
  const joinGradients = row(recipe.deferredGradient, D) + 3 * row(formats.gradient, D);
  // All of the tokens on a share of the vocabulary are as many as a share of them on all of it.
  const rows = recipe.logitRows === null ? tokens : Math.min(tokens, recipe.logitRows / tp);
  return {
    kept: end + numMtp * (end + join),
    deferred: end + numMtp * (end + inputs + joined + joinGradients),
    logits: logitsOf(model, rows),
  };
}

/** In BF16 as the product gives them, and in FP32 where loss and gradient are taken. */
function logitsOf(model: PlannedModel, rows: number): number {
  return rows * model.vocabSize * (2 + 4);
}
