/**
 * Numbers as raw elements of a dtype and back, and equality to the bit. Tables and plain loops: a
 * run of the contract over six backends passes some hundred million elements through here.
 */
import { at } from '../../src/base/assert.ts';
import { Random } from '../../src/base/random.ts';
import type { DType, HostArray, HostArrays } from '../../src/tensor/dtype.ts';
import { encodeSmallFloat, smallFloatTable } from '../../src/tensor/fp8.ts';
import { decodeBf16, decodeF16, encodeBf16, encodeF16 } from '../../src/tensor/halfFloat.ts';

const bf16Values = Float32Array.from({ length: 65_536 }, (_, code) => decodeBf16(code));
const f16Values = Float32Array.from({ length: 65_536 }, (_, code) => decodeF16(code));

/** Raw elements nearest to the values. */
export function encode<D extends DType>(dtype: D, values: Float32Array): HostArrays[D] {
  return encodeAny(dtype, values) as HostArrays[D];
}

function encodeAny(dtype: DType, values: Float32Array): HostArray {
  switch (dtype) {
    case 'f32':
      return values.slice();
    case 'i32':
      return new Int32Array(values);
    case 'bf16':
      return encoded(new Uint16Array(values.length), values, encodeBf16);
    case 'f16':
      return encoded(new Uint16Array(values.length), values, encodeF16);
    case 'f8e4m3': {
      const code = (value: number): number => encodeSmallFloat('e4m3', value);
      return encoded(new Uint8Array(values.length), values, code);
    }
    default:
      return dtype satisfies never;
  }
}

function encoded<T extends Uint8Array | Uint16Array>(
  codes: T,
  values: Float32Array,
  encodeOne: (value: number) => number,
): T {
  for (let i = 0; i < values.length; i++) codes[i] = encodeOne(at(values, i));
  return codes;
}

/** The numbers that raw elements stand for. */
export function decode(dtype: DType, codes: HostArray): Float64Array {
  switch (dtype) {
    case 'bf16':
      return decoded(codes, bf16Values);
    case 'f16':
      return decoded(codes, f16Values);
    case 'f8e4m3':
      return decoded(codes, smallFloatTable('e4m3'));
    case 'f32':
    case 'i32':
      return new Float64Array(codes);
    default:
      return dtype satisfies never;
  }
}

function decoded(codes: HostArray, table: Float32Array): Float64Array {
  const values = new Float64Array(codes.length);
  for (let i = 0; i < codes.length; i++) values[i] = at(table, at(codes, i));
  return values;
}

/** To the bit, so that −0 is not 0; any NaN is any other. */
export function isSame(a: HostArray, b: HostArray): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) {
    if (!Object.is(a[i], b[i])) return false;
  }
  return true;
}

/** Standard normal numbers, a prime many, drawn once. */
const pool = ((): Float32Array => {
  const random = new Random(1, 'contract');
  return Float32Array.from({ length: 65_521 }, () => random.normal());
})();

/** A run of the pool from a random place on: normal numbers at the price of a copy. */
export function normalNumbers(random: Random, count: number): Float32Array {
  const numbers = new Float32Array(count);
  let from = random.integer(pool.length);
  for (let filled = 0; filled < count; from = 0) {
    const part = pool.subarray(from, from + count - filled);
    numbers.set(part, filled);
    filled += part.length;
  }
  return numbers;
}
