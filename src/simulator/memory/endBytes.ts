/**
 * What the ends of the model keep: a norm and the shared head with its loss, and before an MTP
 * module's block the joined embedding and state. The head takes its loss's gradient in forward, so
 * of the logits nothing waits; they are work space while the head runs.
 */
import type { PlannedModel } from '../../config/gqaModelConfig.ts';
import { bytesOfRow, type MemoryRecipe, type StoredFormat } from './memoryRecipe.ts';

export interface EndBytesInput {
  readonly model: PlannedModel;
  readonly recipe: MemoryRecipe;
  /** Divided by tp. */
  readonly tokens: number;
}

interface Waiting {
  /** From forward until backward. */
  readonly kept: number;
  /** From the input half until the weight half. */
  readonly deferred: number;
}

/** Norm input, its factor, and the gradient from the end's own loss: read by both halves. */
export function endBytes({ model, recipe, tokens }: EndBytesInput): Waiting {
  const { formats } = recipe;
  const D = model.hiddenSize;
  const row =
    bytesOfRow(formats.residual, D) +
    bytesOfRow(formats.statistic, 1) +
    bytesOfRow(formats.gradient, D);
  return { kept: row * tokens, deferred: row * tokens };
}

/** Embedding and state before their norms, the norms' factors, both normed side by side. */
export function joinBytes(
  { model, recipe, tokens }: EndBytesInput,
  remade: { readonly norm: boolean },
): Waiting {
  const { formats, deferredGradient } = recipe;
  const D = model.hiddenSize;
  const row = (format: StoredFormat, width: number): number => bytesOfRow(format, width) * tokens;
  const inputs = 2 * row(formats.residual, D) + 2 * row(formats.statistic, 1);
  const joined = row(formats.linearInput, 2 * D);
  // Gradients of the projection's output, of the joined norms, of the embedding.
  const gradients = row(deferredGradient, D) + 3 * row(formats.gradient, D);
  return {
    kept: inputs + (remade.norm ? 0 : joined),
    deferred: inputs + joined + gradients,
  };
}

/**
 * In BF16 as the product gives them, and in FP32 where loss and gradient are taken. All tokens on
 * a share of the vocabulary are as many as a share of the tokens on all of it.
 */
export function logitBytes({ model, recipe, tokens }: EndBytesInput, tp: number): number {
  const rows = recipe.logitRows === null ? tokens : Math.min(tokens, recipe.logitRows / tp);
  return rows * model.vocabSize * (2 + 4);
}
