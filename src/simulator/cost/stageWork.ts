/**
 * What one pipeline stage does for one micro-batch on one rank: passes, in them parts, in them the
 * kernels that a GPU would run and the transfers between ranks. No seconds yet, no hardware: only
 * sizes, FLOPs and bytes. `traceStage.ts` makes it by running the model; `priceParts.ts` reads it.
 */
import type { PartDone } from '../../model/block.ts';

/** Kernels that share an efficiency curve; every row of the report's operations is one of these. */
export const kernelClasses = [
  'fp8Gemm',
  'fp8GroupedGemm',
  'fp8WeightGradient',
  'bf16Gemm',
  'bf16GroupedGemm',
  'bf16WeightGradient',
  'attentionForward',
  'attentionBackward',
  'cast',
  'transposedCast',
  'norm',
  'rope',
  'activation',
  'permute',
  'routing',
  'elementwise',
  'embedding',
  'loss',
] as const;

export type KernelClass = (typeof kernelClasses)[number];

export interface KernelWork {
  readonly class: KernelClass;
  /** The parameter or the tensor it works on: "q_b_proj", "swiglu". */
  readonly what: string;
  /** Of a product: rows, columns and depth of one group, rows summed over groups; else zeros. */
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly groups: number;
  /** As papers count them; bytes-bound kernels count none. */
  readonly flops: number;
  /** FLOPs that make again what could have been kept. */
  readonly recomputedFlops: number;
  readonly bytes: number;
  /** Needs no row of another rank: the shared experts, which may run under a transfer. */
  readonly isShared: boolean;
}

/** Rows to the ranks of their experts, or back. */
export interface ExpertTransferWork {
  readonly kind: 'dispatch' | 'combine';
  readonly tokens: number;
  readonly bytesPerToken: number;
}

/** What tensor parallelism with sequence-parallel norms adds around a sharded product. */
export interface TensorTransferWork {
  readonly kind: 'allGather' | 'reduceScatter' | 'allReduce';
  /** Of the whole tensor. */
  readonly bytes: number;
}

export type PartName = PartDone['part'];
export type PassName = PartDone['pass'];

export interface PartWork {
  readonly pass: PassName;
  readonly part: PartName;
  readonly layer: number | null;
  readonly kernels: readonly KernelWork[];
  /** Starts when the kernels are done; the part that finishes it is the next of its pass. */
  readonly transfer: ExpertTransferWork | null;
  readonly tensorTransfers: readonly TensorTransferWork[];
  /** Whether it runs only because forward did not keep its results (full recompute). */
  readonly isRecomputed: boolean;
}

/** A layer, or one of the ends: its passes, each a list of parts as the model's code has them. */
export interface SliceWork {
  readonly kind: 'embedding' | 'dense' | 'moe' | 'head';
  readonly layer: number | null;
  readonly forward: readonly PartWork[];
  readonly backwardInput: readonly PartWork[];
  readonly backwardWeight: readonly PartWork[];
}

export interface StageWork {
  /** Embedding, layers, head with MTP: what of these the stage has, in forward order. */
  readonly slices: readonly SliceWork[];
  /** Bytes of the hidden state that goes to the next stage, and of its gradient. */
  readonly boundaryBytes: number;
}

export function partsOfPass(work: StageWork, pass: PassName): readonly PartWork[] {
  const slices = pass === 'forward' ? work.slices : [...work.slices].reverse();
  return slices.flatMap((slice) => slice[pass]);
}

export interface WorkSums {
  readonly flops: number;
  readonly recomputedFlops: number;
  readonly bytes: number;
}

export function sumKernels(parts: readonly PartWork[]): WorkSums {
  const kernels = parts.flatMap((part) => part.kernels);
  const sumOf = (of: (kernel: KernelWork) => number): number =>
    kernels.reduce((sum, kernel) => sum + of(kernel), 0);
  return {
    flops: sumOf(({ flops }) => flops),
    recomputedFlops: sumOf(({ recomputedFlops }) => recomputedFlops),
    bytes: sumOf(({ bytes }) => bytes),
  };
}
