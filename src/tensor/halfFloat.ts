/**
 * The two 16-bit floats, as codes, by bit maths (`Float16Array` is younger than our oldest Node).
 *
 *     bf16  s eeeeeeee mmmmmmm       float32 cut after 7 bits of mantissa
 *     f16   s eeeee mmmmmmmmmm       range ±65504, subnormals in steps of 2⁻²⁴
 *
 * Encoding rounds to nearest, ties to even, and takes a float32: a wider number is rounded to
 * float32 first. NaN stays NaN (made quiet), overflow becomes infinity, zeros keep their sign.
 */

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

function bitsOf(value: number): number {
  float[0] = value;
  return bits[0] as number;
}

function floatOf(code: number): number {
  bits[0] = code;
  return float[0] as number;
}

export function decodeBf16(code: number): number {
  return floatOf((code << 16) >>> 0);
}

export function encodeBf16(value: number): number {
  const code = bitsOf(value);
  if ((code & 0x7fffffff) > 0x7f800000) return (code >>> 16) | 0x0040;
  // Half of the dropped step, less one, plus the last kept bit: a tie moves only an odd code.
  return ((code + 0x7fff + ((code >>> 16) & 1)) >>> 16) & 0xffff;
}

export function decodeF16(code: number): number {
  const sign = code & 0x8000 ? -1 : 1;
  const exponent = (code >>> 10) & 0x1f;
  const mantissa = code & 0x3ff;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return floatOf((((code & 0x8000) << 16) | ((exponent + 112) << 23) | (mantissa << 13)) >>> 0);
}

export function encodeF16(value: number): number {
  const code = bitsOf(value);
  const sign = (code >>> 16) & 0x8000;
  const magnitude = code & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  // From 65520 on (half a step above the largest) everything rounds to infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) {
    const rebased = magnitude - (112 << 23);
    return sign | ((rebased + 0x0fff + ((rebased >>> 13) & 1)) >>> 13);
  }
  return sign | roundHalfToEven(floatOf(magnitude) * 2 ** 24);
}

/** Of a number from 0 to 1024, exact in binary. */
function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return below + (rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? 1 : 0);
}

/** Decodes as many codes as there are; `out` may be longer. */
export function decodeBf16Array(out: Float32Array, codes: Uint16Array): void {
  const target = new Uint32Array(out.buffer, out.byteOffset, codes.length);
  for (let i = 0; i < codes.length; i++) target[i] = ((codes[i] as number) << 16) >>> 0;
}

export function decodeF16Array(out: Float32Array, codes: Uint16Array): void {
  for (let i = 0; i < codes.length; i++) out[i] = decodeF16(codes[i] as number);
}
