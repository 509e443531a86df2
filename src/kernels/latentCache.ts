/**
 * How a token lies in a paged cache of latents, all of it in one piece:
 *
 *     f32      [C + P] floats                                4 (C + P) bytes    V3: 2304
 *     bf16     [C + P] bf16                                  2 (C + P)              1152
 *     f8e4m3   [C] e4m3, [⌈C/128⌉] f32 scales, [P] bf16      C + 4 ⌈C/128⌉ + 2 P     656
 *
 * The last is the form of FlashMLA. Its tensor counts bytes: a code is a byte, and scales and keys
 * lie between codes as the bytes of little-endian numbers. A scale is that of `quantizeFp8` with
 * tiles of 1 × 128; keys keep bf16, since their rotation is exact to the last position only as far
 * as they are. `config/modelCounts.ts` counts the same bytes for whole models.
 */
import { bytesPerElement } from '../tensor/dtype.ts';
import { FP8_BLOCK } from '../tensor/fp8.ts';
import type { LatentCache } from './kernels.ts';

export type CacheDType = LatentCache['dtype'];

/** What a token consists of: C latents and P rotated key columns. */
export interface LatentWidths {
  readonly latent: number;
  readonly rope: number;
}

/** The last dim of a cache of this type. */
export function cacheColumns(dtype: CacheDType, { latent, rope }: LatentWidths): number {
  return dtype === 'f8e4m3' ? latent + 4 * Math.ceil(latent / FP8_BLOCK) + 2 * rope : latent + rope;
}

/** Of one token in one layer. */
export function cacheBytesPerToken(dtype: CacheDType, widths: LatentWidths): number {
  return cacheColumns(dtype, widths) * bytesPerElement(dtype);
}
