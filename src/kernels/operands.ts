/** What operations work on: tensors by type, weights with their scales, rules as data. */
import type { Tensor } from '../tensor/tensor.ts';

export type F32 = Tensor<'f32'>;
export type I32 = Tensor<'i32'>;

/** A matrix of weights: f32, or bf16 / f16, or f8e4m3 with one f32 scale per 128 × 128 block. */
export interface Weight {
  readonly values: Tensor<'f32' | 'bf16' | 'f16' | 'f8e4m3'>;
  /** `[…, ceil(rows/128), ceil(columns/128)]`, multiplied in; present exactly for f8e4m3. */
  readonly scales?: F32;
  /** Makes products of few rows with f8e4m3 faster; set once the codes stay as they are. */
  specialCodes?: SpecialCodes;
}

/** Where the subnormal and NaN codes of an f8e4m3 matrix are, as `findSpecialCodes` wrote it. */
export interface SpecialCodes {
  /** `[rows + 1]`: row r has the entries from `begins[r]` to `begins[r + 1]`. */
  readonly begins: I32;
  /** `[n]`: column · 256 + code, in the order of rows. */
  readonly entries: I32;
}

/**
 * `[blocks, blockSize, a token's columns]`: C latents and P rotated key columns of each, as
 * `latentCache.ts` lays them out for the type.
 */
export type LatentCache = Tensor<'f32' | 'bf16' | 'f8e4m3'>;

/** The gate's rule as data; made by `policy/routing/gate.ts`. */
export interface RoutingRule {
  readonly scoring: 'sigmoid' | 'softmax';
  readonly numGroups: number;
  readonly groupsKept: number;
  /** What a group is worth: the sum of its two best choice values (V3), or its best (V2). */
  readonly groupScore: 'sumOfTopTwo' | 'max';
  readonly expertsPerToken: number;
  readonly isNormalised: boolean;
  readonly scale: number;
}

/** How a token is drawn from its logits; the shape of `Sampling` in `program/instruction.ts`. */
export interface SamplingRule {
  /** 0 is greedy. */
  readonly temperature: number;
  /** The most likely tokens that are kept; 0 keeps all. */
  readonly topK: number;
  /** The mass that is kept of them, in (0, 1], by as few tokens as hold it. */
  readonly topP: number;
  /** The least weight that is kept, relative to the most likely token's. */
  readonly minP: number;
  readonly seed: number;
}
