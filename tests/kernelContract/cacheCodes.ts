/**
 * Latent caches as raw elements, written down apart from any kernel: bytes by the layout's text,
 * codes by the tables of `codes.ts`.
 */
import { at } from '../../src/base/assert.ts';
import type { CacheDType } from '../../src/kernels/latentCache.ts';
import type { HostArrays } from '../../src/tensor/dtype.ts';
import { encode } from './codes.ts';

/** Tokens `[latent | kPe]` as a cache holds them, and the float32 numbers these stand for. */
export function encodeCache(
  tokens: Float32Array,
  { dtype, latent, rope }: { dtype: CacheDType; latent: number; rope: number },
): { codes: HostArrays[CacheDType]; values: Float32Array } {
  if (dtype === 'f32') return { codes: tokens.slice(), values: tokens.slice() };
  const halves = encode('bf16', tokens);
  const rounded = Float32Array.from(halves, (code) => floatOfBits(code << 16));
  if (dtype === 'bf16') return { codes: halves, values: rounded };
  const width = latent + rope;
  const groups = Math.ceil(latent / 128);
  const rowBytes = latent + 4 * groups + 2 * rope;
  const bytes = new Uint8Array((tokens.length / width) * rowBytes);
  const view = new DataView(bytes.buffer);
  for (let row = 0; row * width < tokens.length; row++) {
    const token = tokens.subarray(row * width, (row + 1) * width);
    for (let group = 0; group < groups; group++) {
      const [from, end] = [128 * group, Math.min(128 * (group + 1), latent)];
      const numbers = token.subarray(from, end);
      const largest = numbers.reduce((most, x) => (Math.abs(x) > most ? Math.abs(x) : most), 1e-4);
      const scale = Math.fround(Math.fround(largest) / 448);
      const codes = encode(
        'f8e4m3',
        numbers.map((x) => x / scale),
      );
      bytes.set(codes, row * rowBytes + from);
      view.setFloat32(row * rowBytes + latent + 4 * group, scale, true);
      for (const [i, code] of codes.entries()) {
        rounded[row * width + from + i] = valueOfF8(code) * scale;
      }
    }
    for (let i = 0; i < rope; i++) {
      const place = row * rowBytes + latent + 4 * groups + 2 * i;
      view.setUint16(place, at(halves, row * width + latent + i), true);
    }
  }
  return { codes: bytes, values: rounded };
}

function floatOfBits(bits: number): number {
  return new Float32Array(Int32Array.of(bits).buffer)[0] as number;
}

/** 1 sign bit, 4 of the exponent with bias 7, 3 of the mantissa; NaN where all are set. */
function valueOfF8(code: number): number {
  const [exponent, mantissa] = [(code >> 3) & 15, code & 7];
  if ((code & 0x7f) === 0x7f) return Number.NaN;
  const size = exponent === 0 ? mantissa * 2 ** -9 : (1 + mantissa / 8) * 2 ** (exponent - 7);
  return code & 0x80 ? -size : size;
}
