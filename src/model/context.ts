/**
 * What a pass through the model is given: kernels, memory, collectives, and the knobs of the step.
 *
 * Memory: everything a part allocates comes from `arena` and lives until the caller releases it to
 * a mark of its own, which is after the backward pass of the same micro-batch. A part first
 * allocates what outlives it, marks, and gives back the rest. Micro-batches that are interleaved
 * have an arena each.
 */
import { assert } from '../base/assert.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import type { Collectives } from '../kernels/collectives.ts';
import type { F32, I32, Kernels, RoutingRule } from '../kernels/kernels.ts';
import type { Arena } from '../tensor/arena.ts';
import { entry, type Tensor } from '../tensor/tensor.ts';

export interface LossOptions {
  /** λ of the MTP loss (report, 2.2): 0.3, later 0.1. */
  readonly mtpWeight: number;
  /** α of the sequence-wise balance loss (report, 2.1.2): 1e-4. */
  readonly balanceCoefficient: number;
  /** `paper`: load of the raw top K (V3); `selected`: of the experts really used (V2). */
  readonly balanceForm: 'paper' | 'selected';
  /** Which hidden state an MTP module continues: the one after the norm before it, or before. */
  readonly mtpHidden: 'postNorm' | 'preNorm';
}

/**
 * Sees intermediate tensors under the names of `tests/golden/README.md`. They keep their contents
 * until the arena is released, so they may be read after the pass.
 */
export type Capture = (name: string, tensor: Tensor) => void;

export interface StepContext {
  readonly kernels: Kernels;
  readonly arena: Arena;
  readonly collectives: Collectives;
  readonly options: LossOptions;
  /** Where routers count the tokens each expert got: the caller's, zeroed once per step. */
  readonly counts: RoutingCounts;
  readonly capture?: Capture;
}

/** What all layers of one model share. */
export interface Shared {
  readonly config: ModelConfig;
  /** `[positions, P/2, 2]` */
  readonly ropeTable: F32;
  readonly softmaxScale: number;
  /** null in a dense-only model. */
  readonly rule: RoutingRule | null;
}

/** The rows of a pass: tokens of several sequences, one after another. */
export interface Rows {
  readonly count: number;
  readonly positions: I32;
  /** Row offsets, first 0, last `count`; no sequence is empty. */
  readonly sequences: readonly number[];
}

/** Loads of a stage's MoE layers, in one tensor so that they are read at once. */
export interface RoutingCounts {
  /** Layer index of each row of `all`. */
  readonly layers: readonly number[];
  /** `[MoE layers, E]`; without MoE layers null. */
  readonly all: I32 | null;
}

const countsByLayer = new WeakMap<RoutingCounts, Map<number, I32>>();

/** The same object every time: kernels know it again. */
export function countsOfLayer(counts: RoutingCounts, layer: number): I32 {
  let known = countsByLayer.get(counts);
  if (known === undefined) {
    known = new Map();
    countsByLayer.set(counts, known);
  }
  let own = known.get(layer);
  if (own === undefined) {
    const index = counts.layers.indexOf(layer);
    assert(index >= 0 && counts.all !== null, `no counts for layer ${layer}`);
    own = entry(counts.all, index);
    known.set(layer, own);
  }
  return own;
}

export function allocateF32(context: StepContext, ...shape: number[]): F32 {
  return context.arena.allocate('f32', shape);
}

export function allocateI32(context: StepContext, ...shape: number[]): I32 {
  return context.arena.allocate('i32', shape);
}

/** Runs `work` and gives back everything it allocated. */
export function withScratch(context: StepContext, work: () => void): void {
  const mark = context.arena.mark();
  work();
  context.arena.release(mark);
}

/** Shows a tensor that will be overwritten: as a copy, made only when somebody looks. */
export function captureCopy(context: StepContext, name: string, tensor: F32): void {
  if (context.capture === undefined) return;
  const copy = allocateF32(context, ...tensor.shape);
  context.kernels.copy({ out: copy, x: tensor });
  context.capture(name, copy);
}
