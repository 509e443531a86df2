/**
 * Small floats and their block scales: E4M3 and E5M2 (8 bits), E5M6 (12 bits).
 *
 *     code = sign | exponent | mantissa      value = ± 2^(exponent − bias) · 1.mantissa
 *
 * E4M3 is the "fn" kind: no infinities, largest value 448, NaN only where all bits are set. The two
 * E5 kinds keep IEEE's top exponent for infinities and NaN. Casts round to nearest even and
 * saturate (DeepSeek-V3 report 3.3): overflow and infinities become the largest finite value.
 *
 * A block shares one float32 scale that *multiplies* on the way back (`weight_scale_inv`, despite
 * its name): activations in tiles of 1 × 128, weights in blocks of 128 × 128. UE8M0 scales are
 * rounded up to a power of two, so that scaling is exact and tiles can be turned 1×128 → 128×1.
 */
import { assert, at } from '../base/assert.ts';

export type SmallFloat = 'e4m3' | 'e5m2' | 'e5m6';

/** Channels that share a scale, and the side of a weight block (report 3.3.2). */
export const FP8_BLOCK = 128;

/** Tiles of zeros must not divide by zero: amax is at least this (official kernels). */
const SMALLEST_AMAX = 1e-4;

interface Layout {
  readonly mantissaBits: number;
  /** Exponent of the smallest normal value; subnormals share it. */
  readonly minExponent: number;
  /** Magnitude codes: the largest finite one, and NaN. */
  readonly maxCode: number;
  readonly nanCode: number;
  readonly signBit: number;
}

const LAYOUTS: Readonly<Record<SmallFloat, Layout>> = {
  e4m3: { mantissaBits: 3, minExponent: -6, maxCode: 0x7e, nanCode: 0x7f, signBit: 0x80 },
  e5m2: { mantissaBits: 2, minExponent: -14, maxCode: 0x7b, nanCode: 0x7e, signBit: 0x80 },
  e5m6: { mantissaBits: 6, minExponent: -14, maxCode: 0x7bf, nanCode: 0x7e0, signBit: 0x800 },
};

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

/** The code of a value taken as float32: nearest, ties to even, saturating; NaN stays NaN. */
export function encodeSmallFloat(format: SmallFloat, value: number): number {
  const { mantissaBits, minExponent, maxCode, nanCode, signBit } = LAYOUTS[format];
  scratch[0] = value;
  const bits = at(scratchBits, 0);
  const sign = bits >>> 31 === 1 ? signBit : 0;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | nanCode;
  if (magnitude === 0x7f800000) return sign | maxCode;
  const exponent = Math.max((magnitude >>> 23) - 127, minExponent);
  // In units of the last place: below 2^mantissaBits is subnormal, 2^(mantissaBits+1) has carried.
  // Either way adding to the exponent's share gives the code.
  const units = roundHalfToEven(Math.abs(at(scratch, 0)) * 2 ** (mantissaBits - exponent));
  const code = (exponent - minExponent) * 2 ** mantissaBits + units;
  return sign | Math.min(code, maxCode);
}

const tables = new Map<SmallFloat, Float32Array>();

/** Every code's value, by code: 256 entries, or 4,096 for E5M6. Shared: not to be written to. */
export function smallFloatTable(format: SmallFloat): Float32Array {
  let table = tables.get(format);
  if (table === undefined) {
    const { signBit } = LAYOUTS[format];
    table = Float32Array.from({ length: 2 * signBit }, (_, code) => decode(format, code));
    tables.set(format, table);
  }
  return table;
}

/** The two casts of FP8 weights and activations, by their usual names. */
export function encodeE4m3(value: number): number {
  return encodeSmallFloat('e4m3', value);
}

export function decodeE4m3(code: number): number {
  return at(smallFloatTable('e4m3'), code);
}

export function largestValue(format: SmallFloat): number {
  return decode(format, LAYOUTS[format].maxCode);
}

export interface BlockShape {
  readonly rows: number;
  readonly columns: number;
  readonly blockRows: number;
  readonly blockColumns: number;
}

/** Blocks down and across; the last ones may be partial. */
export function blockGrid(shape: BlockShape): readonly [down: number, across: number] {
  return [Math.ceil(shape.rows / shape.blockRows), Math.ceil(shape.columns / shape.blockColumns)];
}

export interface QuantizeArgs {
  /** `[rows, columns]`, contiguous. */
  readonly values: Float32Array;
  readonly rows: number;
  readonly columns: number;
  /** `e4m3` unless told; activations kept for the output projection are `e5m6` (report 3.3.3). */
  readonly format?: SmallFloat;
  /** `ue8m0`: scales rounded up to powers of two. */
  readonly scale?: 'f32' | 'ue8m0';
}

export interface Quantized {
  /** One code per value; E5M6 takes 12 of each 16 bits. */
  readonly codes: Uint8Array | Uint16Array;
  /** `[ceil(rows / blockRows), ceil(columns / blockColumns)]`. */
  readonly scales: Float32Array;
}

/** Per token, 128 consecutive channels (activations). Scales are `[rows, ceil(columns / 128)]`. */
export function quantizeTile1x128(args: QuantizeArgs): Quantized {
  return quantizeBlocks(args, 1);
}

/** Weights. Edge blocks are partial: the maximum is over what is there. */
export function quantizeBlock128x128(args: QuantizeArgs): Quantized {
  return quantizeBlocks(args, FP8_BLOCK);
}

/** out = value(code) · scale of its block, in float32. */
export function dequantizeBlocks(args: {
  out: Float32Array;
  codes: Uint8Array | Uint16Array;
  scales: Float32Array;
  shape: BlockShape;
  format?: SmallFloat;
}): void {
  const { out, codes, scales, shape } = args;
  const { rows, columns, blockRows, blockColumns } = shape;
  const [down, across] = blockGrid(shape);
  assert(out.length === rows * columns && codes.length === out.length, 'codes fill the matrix');
  assert(scales.length === down * across, `${down} × ${across} scales, not ${scales.length}`);
  const table = smallFloatTable(args.format ?? 'e4m3');
  for (let row = 0; row < rows; row++) {
    const scaleRow = Math.floor(row / blockRows) * across;
    for (let block = 0; block < across; block++) {
      const scale = at(scales, scaleRow + block);
      const end = row * columns + Math.min((block + 1) * blockColumns, columns);
      for (let i = row * columns + block * blockColumns; i < end; i++) {
        out[i] = at(table, at(codes, i)) * scale;
      }
    }
  }
}

function quantizeBlocks(args: QuantizeArgs, blockRows: number): Quantized {
  const { values, rows, columns, format = 'e4m3' } = args;
  assert(values.length === rows * columns, `${values.length} values for ${rows} × ${columns}`);
  const shape = { rows, columns, blockRows, blockColumns: FP8_BLOCK };
  const [down, across] = blockGrid(shape);
  const codes = format === 'e5m6' ? new Uint16Array(values.length) : new Uint8Array(values.length);
  const scales = new Float32Array(down * across);
  const largest = largestValue(format);
  for (let block = 0; block < scales.length; block++) {
    const fromRow = Math.floor(block / across) * blockRows;
    const fromColumn = (block % across) * FP8_BLOCK;
    const toRow = Math.min(fromRow + blockRows, rows);
    const toColumn = Math.min(fromColumn + FP8_BLOCK, columns);
    let amax = SMALLEST_AMAX;
    for (let row = fromRow; row < toRow; row++) {
      for (let i = row * columns + fromColumn; i < row * columns + toColumn; i++) {
        const magnitude = Math.abs(at(values, i));
        if (magnitude > amax) amax = magnitude;
      }
    }
    const exact = Math.fround(Math.fround(amax) / largest);
    const scale = args.scale === 'ue8m0' ? nextPowerOfTwo(exact) : exact;
    scales[block] = scale;
    for (let row = fromRow; row < toRow; row++) {
      for (let i = row * columns + fromColumn; i < row * columns + toColumn; i++) {
        // Divided, not multiplied by a reciprocal: the official kernel's last bit.
        codes[i] = encodeSmallFloat(format, at(values, i) / scale);
      }
    }
  }
  return { codes, scales };
}

function decode(format: SmallFloat, code: number): number {
  const { mantissaBits, minExponent, maxCode, signBit } = LAYOUTS[format];
  const sign = (code & signBit) === 0 ? 1 : -1;
  const magnitude = code & (signBit - 1);
  const one = 2 ** mantissaBits;
  if (magnitude > maxCode) {
    return format !== 'e4m3' && magnitude % one === 0
      ? sign * Number.POSITIVE_INFINITY
      : Number.NaN;
  }
  const exponent = Math.floor(magnitude / one);
  const mantissa = magnitude % one;
  if (exponent === 0) return sign * mantissa * 2 ** (minExponent - mantissaBits);
  return sign * (one + mantissa) * 2 ** (minExponent + exponent - 1 - mantissaBits);
}

function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/** The smallest power of two not below a positive normal float32, from its bits: exact. */
function nextPowerOfTwo(value: number): number {
  scratch[0] = value;
  const bits = at(scratchBits, 0);
  scratchBits[0] = (bits & 0x007fffff) === 0 ? bits : (bits & 0x7f800000) + 0x00800000;
  return at(scratch, 0);
}
