/**
 * Between stored weights and float32: what a tensor's bytes mean, and which bytes a tensor becomes.
 * Reading is exact; writing rounds to nearest even. Hosts are little-endian, as the files are.
 */
import { assert, at } from '../base/assert.ts';
import { MoebiusError } from '../base/errors.ts';
import { dequantizeBlocks, quantizeBlock128x128 } from '../tensor/fp8.ts';
import { decodeBf16Array, decodeF16Array, encodeBf16, encodeF16 } from '../tensor/halfFloat.ts';
import type { WeightDType } from './parameterNames.ts';

/** A weight as stored. */
export interface RawTensor {
  readonly name: string;
  readonly dtype: WeightDType;
  readonly shape: readonly number[];
  /** The file's own bytes where it is mapped: not to be written to. May be unaligned. */
  readonly bytes: Uint8Array;
  /** With `f8e4m3` only: one factor per block, `[ceil(rows/R), ceil(columns/C)]`. */
  readonly scales: Float32Array | null;
  readonly block: readonly [rows: number, columns: number] | null;
}

/** Writes the values of a stored weight into `out`, which has as many elements. */
export function decodeTensor(out: Float32Array, raw: RawTensor): void {
  const { dtype, bytes } = raw;
  switch (dtype) {
    case 'f32':
      assert(out.byteLength === bytes.byteLength, `the size of "${raw.name}"`);
      new Uint8Array(out.buffer, out.byteOffset, out.byteLength).set(bytes);
      return;
    case 'bf16':
    case 'f16': {
      assert(out.length * 2 === bytes.byteLength, `the size of "${raw.name}"`);
      const codes = uint16Array(bytes);
      if (dtype === 'bf16') decodeBf16Array(out, codes);
      else decodeF16Array(out, codes);
      return;
    }
    case 'f8e4m3': {
      const { scales, block } = raw;
      const [rows, columns] = raw.shape;
      assert(scales !== null && block !== null, `"${raw.name}" has scales`);
      assert(rows !== undefined && columns !== undefined, `"${raw.name}" is a matrix`);
      const [blockRows, blockColumns] = block;
      const shape = { rows, columns, blockRows, blockColumns };
      dequantizeBlocks({ out, codes: bytes, scales, shape });
      return;
    }
    default:
      dtype satisfies never;
  }
}

/**
 * The bytes of values in a dtype, to nearest even.
 *
 * @throws checkpoint.overflow when a finite value has no finite float16
 */
export function encodeTensor(
  values: Float32Array,
  { name, dtype }: { name: string; dtype: 'f32' | 'bf16' | 'f16' },
): Uint8Array {
  switch (dtype) {
    case 'f32':
      return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    case 'bf16': {
      const codes = new Uint16Array(values.length);
      for (let i = 0; i < values.length; i++) codes[i] = encodeBf16(at(values, i));
      return new Uint8Array(codes.buffer);
    }
    case 'f16': {
      const codes = new Uint16Array(values.length);
      for (let i = 0; i < values.length; i++) {
        const value = at(values, i);
        codes[i] = encodeF16(value);
        if ((at(codes, i) & 0x7fff) === 0x7c00 && Number.isFinite(value)) {
          throw overflow(name, i, value);
        }
      }
      return new Uint8Array(codes.buffer);
    }
    default:
      return dtype satisfies never;
  }
}

/** FP8 codes and the bytes of their 128 × 128 scales. */
export function encodeFp8(
  values: Float32Array,
  { rows, columns }: { rows: number; columns: number },
): { codes: Uint8Array; scales: Uint8Array } {
  const { codes, scales } = quantizeBlock128x128({ values, rows, columns });
  assert(codes instanceof Uint8Array, 'E4M3 codes are bytes');
  return { codes, scales: new Uint8Array(scales.buffer) };
}

/** The float32s in a file's bytes: a view, or a copy where they are unaligned. */
export function float32Array(bytes: Uint8Array): Float32Array {
  const whole = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new Float32Array(whole.buffer, whole.byteOffset, whole.byteLength / 4);
}

/**
 * @throws checkpoint.nonFinite naming the tensor, the place and the value
 */
export function refuseNonFinite(values: Float32Array, name: string, code: string): void {
  for (let i = 0; i < values.length; i++) {
    const value = at(values, i);
    if (Number.isFinite(value)) continue;
    throw new MoebiusError(`checkpoint.${code}`, `"${name}" has ${value} at element ${i}`, {
      values: { name, element: i, value: String(value) },
      hint: 'Go back to an earlier checkpoint: this one was saved after training broke.',
    });
  }
}

function uint16Array(bytes: Uint8Array): Uint16Array {
  const whole = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  return new Uint16Array(whole.buffer, whole.byteOffset, whole.byteLength / 2);
}

function overflow(name: string, element: number, value: number): MoebiusError {
  return new MoebiusError(
    'checkpoint.overflow',
    `"${name}" has ${value} at element ${element}, beyond float16's 65504`,
    { values: { name, element, value }, hint: 'Save in bfloat16 or float32.' },
  );
}
