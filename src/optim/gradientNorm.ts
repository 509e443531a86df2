/**
 * The norm over all gradients: what clipping needs, and the detector of faults. One small tensor of
 * sums of squares, one per gradient, is read once; a NaN or an infinity anywhere shows in its sum,
 * and which sum it is names the tensor.
 */
import type { F32, Kernels } from '../kernels/kernels.ts';
import type { Arena } from '../tensor/arena.ts';
import { elements } from '../tensor/tensor.ts';

export interface NamedTensor {
  readonly name: string;
  readonly value: F32;
}

export interface GradientNorm {
  /** Euclidean, over all tensors. */
  readonly norm: number;
  readonly fault: { readonly tensor: string; readonly what: 'nan' | 'infinity' } | null;
}

/**
 * The Euclidean norm over all tensors, and the first that is not finite. A sum of squares beyond
 * float32 counts as an infinity: values of 1e19 are no gradients.
 */
export async function tensorNorm(args: {
  kernels: Kernels;
  arena: Arena;
  tensors: readonly NamedTensor[];
}): Promise<GradientNorm> {
  const { kernels, arena, tensors } = args;
  if (tensors.length === 0) return { norm: 0, fault: null };
  const mark = arena.mark();
  const squares = arena.allocate('f32', [tensors.length]);
  for (const [index, { value }] of tensors.entries()) {
    kernels.sumOfSquares({ out: elements(squares, index, index + 1), x: value });
  }
  const sums = await kernels.read(squares);
  arena.release(mark);
  const first = sums.findIndex((sum) => !Number.isFinite(sum));
  const norm = Math.sqrt(sums.reduce((total, sum) => total + sum, 0));
  if (first < 0) return { norm, fault: null };
  const what = Number.isNaN(sums[first]) ? 'nan' : 'infinity';
  return { norm, fault: { tensor: tensors[first]?.name ?? '', what } };
}

export function gradientNorm(args: {
  kernels: Kernels;
  arena: Arena;
  parameters: readonly { readonly name: string; readonly gradient: F32 }[];
}): Promise<GradientNorm> {
  const { kernels, arena, parameters } = args;
  const tensors = parameters.map(({ name, gradient }) => ({ name, value: gradient }));
  return tensorNorm({ kernels, arena, tensors });
}

/** What gradients are multiplied by so that their norm is at most `maxNorm`. */
export function clipScale(norm: number, maxNorm: number): number {
  return Math.min(1, maxNorm / (norm + 1e-6));
}
