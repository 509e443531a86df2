/**
 * In which formats a training run keeps what it keeps: weights and optimiser state, and every role
 * that a tensor saved for backward can have. Two recipes: DeepSeek-V3's FP8 (report, 3.3) and the
 * usual BF16 mixed precision; what neither publishes is marked *assumed*.
 */
import type { Precision } from '../../config/parallelPlan.ts';

/** `fp8`: one byte and a float32 scale per 128 values; `e5m6`: 12 bits and the same scales. */
export type StoredFormat = 'fp8' | 'e5m6' | 'bf16' | 'f32' | 'i32';

/** What a saved tensor is for; that decides its format. */
export type TensorRole =
  /** The residual stream: input of a norm. */
  | 'residual'
  /** Output of a down-projection, input of a latent norm. */
  | 'latent'
  /** Input of a product that runs in the recipe's precision. */
  | 'linearInput'
  /** The normed input that the gate reads too; the gate is kept out of FP8 (report, 3.3.1). */
  | 'gateInput'
  /** Queries, keys and values: input of the attention core. */
  | 'attentionCore'
  /** Output of the attention core, input of the projection behind it. */
  | 'attentionOut'
  | 'swigluInput'
  /** Rows as they come from dispatch. */
  | 'dispatched'
  /** Rows as combine brings them back. */
  | 'returned'
  /** One number per row or head: log-sum-exp, reciprocal RMS. */
  | 'statistic'
  /** Scores and weights of the gate. */
  | 'router'
  | 'index'
  | 'gradient'
  /** Gradient of a product's output, while one layer's backward runs. */
  | 'linearGradient';

export interface MemoryRecipe {
  readonly formats: Readonly<Record<TensorRole, StoredFormat>>;
  /** In which a product's output gradient waits for a weight half that was put off. */
  readonly deferredGradient: StoredFormat;
  /** Weights of products as they are computed with; all others are BF16. */
  readonly linearWeights: 'fp8' | 'bf16' | 'f32';
  /**
   * Whether FP8 weights lie there transposed too. Hopper's FP8 tensor cores read both factors along
   * the summed dim only, so the input gradient needs the other layout; blocks of 128 × 128 let the
   * scales be shared. Kept rather than made anew for every micro-batch: assumed.
   */
  readonly transposedWeights: 'kept' | 'none';
  readonly masterWeights: 'f32' | 'none';
  readonly gradients: 'f32' | 'bf16';
  readonly moments: 'f32' | 'bf16';
  /**
   * `kept`: combine's input weights take their gradient from the rows that came back, as our own
   * model does it. `none`: the weights are multiplied into the experts' hidden rows, whose gradient
   * needs nothing more; DeepEP's combine adds without weights, so its users do it that way.
   */
  readonly returnedRows: 'kept' | 'none';
  /**
   * Rows of logits that exist at once (BF16, and FP32 for the loss and its gradient); null: all of
   * a micro-batch, as frameworks without a fused head have it.
   */
  readonly logitRows: number | null;
  /** Moving average of the weights in host memory (report, 3.2.3); null: none. */
  readonly average: 'f32' | 'bf16' | null;
  /** `optimizer`: master weights and moments live in host memory. */
  readonly offload: 'nothing' | 'optimizer';
}

const bf16: MemoryRecipe = {
  formats: {
    residual: 'bf16',
    latent: 'bf16',
    linearInput: 'bf16',
    gateInput: 'bf16',
    attentionCore: 'bf16',
    attentionOut: 'bf16',
    swigluInput: 'bf16',
    dispatched: 'bf16',
    returned: 'bf16',
    statistic: 'f32',
    router: 'f32',
    index: 'i32',
    gradient: 'bf16',
    linearGradient: 'bf16',
  },
  deferredGradient: 'bf16',
  linearWeights: 'bf16',
  transposedWeights: 'none',
  masterWeights: 'f32',
  gradients: 'f32',
  moments: 'f32',
  returnedRows: 'none',
  logitRows: null,
  average: 'f32',
  offload: 'nothing',
};

/** FP8 as in DeepSeek-V3's report: formats of 3.3.3, moments in BF16, everything else above. */
const fp8: MemoryRecipe = {
  ...bf16,
  formats: {
    ...bf16.formats,
    linearInput: 'fp8',
    swigluInput: 'fp8',
    dispatched: 'fp8',
    attentionOut: 'e5m6',
  },
  deferredGradient: 'fp8',
  linearWeights: 'fp8',
  transposedWeights: 'kept',
  moments: 'bf16',
};

export const memoryRecipes: Readonly<Record<Precision, MemoryRecipe>> = { bf16, fp8 };

/** Values that share one scale. */
const TILE = 128;

/** Bytes of one row of so many values, its scales included. */
export function bytesOfRow(format: StoredFormat, width: number): number {
  switch (format) {
    case 'fp8':
      return width + 4 * Math.ceil(width / TILE);
    case 'e5m6':
      return 1.5 * width + 4 * Math.ceil(width / TILE);
    case 'bf16':
      return 2 * width;
    case 'f32':
    case 'i32':
      return 4 * width;
    default:
      return format satisfies never;
  }
}

/** Bytes per weight: FP8 codes with a float32 scale per block of 128 × 128. */
export function bytesPerWeight(format: 'fp8' | 'bf16' | 'f32'): number {
  if (format === 'fp8') return 1 + 4 / (TILE * TILE);
  return format === 'bf16' ? 2 : 4;
}
