/** Tokens of a paged cache of latents, to and from floats (`../latentCache.ts` has the layout). */
import { at } from '../../base/assert.ts';
import { FP8_BLOCK, quantizeTile1x128, smallFloatTable } from '../../tensor/fp8.ts';
import { decodeBf16Array, encodeBf16 } from '../../tensor/halfFloat.ts';
import { hostArray, type Tensor } from '../../tensor/tensor.ts';
import type { LatentCache } from '../kernels.ts';
import type { LatentWidths } from '../latentCache.ts';

/** A token's `[latent | kPe]` into a slot, rounded as the cache's type does. */
export function writeLatent(
  cache: LatentCache,
  slot: number,
  token: Float32Array,
  widths: LatentWidths,
): void {
  const begin = slot * cache.rowStride;
  if (cache.dtype === 'f32') {
    hostArray(cache as Tensor<'f32'>).set(token, begin);
    return;
  }
  if (cache.dtype === 'bf16') {
    const codes = hostArray(cache as Tensor<'bf16'>);
    token.forEach((value, i) => {
      codes[begin + i] = encodeBf16(value);
    });
    return;
  }
  const { latent, rope } = widths;
  const row = rowOf(cache as Tensor<'f8e4m3'>, begin, widths);
  const { codes, scales } = quantizeTile1x128({
    values: token.subarray(0, latent),
    rows: 1,
    columns: latent,
    scale: 'f32',
  });
  const keys = token.subarray(latent).map(encodeBf16);
  for (const [i, code] of codes.entries()) row.setUint8(i, code);
  for (const [i, scale] of scales.entries()) row.setFloat32(latent + 4 * i, scale, true);
  for (const [i, key] of keys.entries()) row.setUint16(row.byteLength - 2 * (rope - i), key, true);
}

/** A slot's `[latent | kPe]`. */
export function readLatent(cache: LatentCache, slot: number, widths: LatentWidths): Float32Array {
  const begin = slot * cache.rowStride;
  const { latent, rope } = widths;
  if (cache.dtype === 'f32') {
    return hostArray(cache as Tensor<'f32'>).subarray(begin, begin + latent + rope);
  }
  const token = new Float32Array(latent + rope);
  if (cache.dtype === 'bf16') {
    const codes = hostArray(cache as Tensor<'bf16'>);
    decodeBf16Array(token, codes.subarray(begin, begin + latent + rope));
    return token;
  }
  const row = rowOf(cache as Tensor<'f8e4m3'>, begin, widths);
  const table = smallFloatTable('e4m3');
  for (let i = 0; i < latent; i++) {
    const scale = row.getFloat32(latent + 4 * Math.floor(i / FP8_BLOCK), true);
    token[i] = at(table, row.getUint8(i)) * scale;
  }
  const keys = Uint16Array.from({ length: rope }, (_, i) =>
    row.getUint16(row.byteLength - 2 * (rope - i), true),
  );
  decodeBf16Array(token.subarray(latent), keys);
  return token;
}

function rowOf(
  cache: Tensor<'f8e4m3'>,
  begin: number,
  { latent, rope }: LatentWidths,
): DataView<ArrayBufferLike> {
  const bytes = hostArray(cache);
  const length = latent + 4 * Math.ceil(latent / FP8_BLOCK) + 2 * rope;
  return new DataView(bytes.buffer, bytes.byteOffset + begin, length);
}
