/** Bytes to float32 and back, wherever the bytes lie. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  decodeTensor,
  encodeFp8,
  encodeTensor,
  float32Array,
  type RawTensor,
  refuseNonFinite,
} from './convert.ts';

/** The same bytes at an odd place, as after a header of odd length in a mapped file. */
function atOddPlace(bytes: Uint8Array): Uint8Array {
  const shifted = new Uint8Array(bytes.byteLength + 1);
  shifted.set(bytes, 1);
  return shifted.subarray(1);
}

function raw(dtype: RawTensor['dtype'], bytes: Uint8Array, shape: readonly number[]): RawTensor {
  return { name: 'w', dtype, shape, bytes, scales: null, block: null };
}

const floats = fc
  .array(fc.float({ noNaN: true, min: -60000, max: 60000 }), { maxLength: 40 })
  .map((values) => Float32Array.from(values));

test('decodeTensor: what was encoded comes back, from odd addresses too', () => {
  fc.assert(
    fc.property(floats, fc.constantFrom('f32', 'bf16', 'f16'), (values, dtype) => {
      const bytes = encodeTensor(values, { name: 'w', dtype });
      const shape = [values.length];
      const [plain, odd] = [new Float32Array(values.length), new Float32Array(values.length)];
      decodeTensor(plain, raw(dtype, bytes, shape));
      decodeTensor(odd, raw(dtype, atOddPlace(bytes), shape));
      assert.deepEqual(odd, plain);
      if (dtype === 'f32') assert.deepEqual(plain, values);
      // Encoding what was decoded changes nothing more.
      assert.deepEqual(new Uint8Array(encodeTensor(plain, { name: 'w', dtype })), bytes.slice());
    }),
  );
});

test('decodeTensor: known codes have their values', () => {
  const out = new Float32Array(3);
  const codes = (...values: number[]): Uint8Array =>
    new Uint8Array(Uint16Array.from(values).buffer);
  decodeTensor(out, raw('bf16', codes(0x3f80, 0xc040, 0x0001), [3]));
  assert.deepEqual([...out], [1, -3, 2 ** -133]);
  decodeTensor(out, raw('f16', codes(0x3c00, 0xc200, 0x0001), [3]));
  assert.deepEqual([...out], [1, -3, 2 ** -24]);
});

test('decodeTensor: FP8 blocks need not be 128 × 128, and edge blocks are partial', () => {
  const bytes = new Uint8Array(15).fill(0x38);
  const out = new Float32Array(15);
  const scales = Float32Array.of(1, 2, 3, 4);
  decodeTensor(out, { name: 'w', dtype: 'f8e4m3', shape: [3, 5], bytes, scales, block: [2, 3] });
  assert.deepEqual([...out], [1, 1, 1, 2, 2, 1, 1, 1, 2, 2, 3, 3, 3, 4, 4]);
});

test('encodeFp8: codes and scales together give the values back', () => {
  const values = Float32Array.from({ length: 130 * 3 }, (_, i) => Math.sin(i));
  const { codes, scales } = encodeFp8(values, { rows: 3, columns: 130 });
  assert.deepEqual([codes.byteLength, scales.byteLength], [390, 8]);
  const out = new Float32Array(390);
  const stored = { ...raw('f8e4m3', codes, [3, 130]), scales: float32Array(scales) };
  decodeTensor(out, { ...stored, block: [128, 128] });
  for (const [i, value] of values.entries()) {
    assert(Math.abs((out[i] ?? 0) - value) <= Math.max(Math.abs(value) * 2 ** -4, 2 ** -18));
  }
});

test('encodeTensor: float16 keeps infinities that were there and refuses new ones', () => {
  const infinite = encodeTensor(Float32Array.of(Number.NEGATIVE_INFINITY, 65519), {
    name: 'w',
    dtype: 'f16',
  });
  assert.deepEqual([...new Uint16Array(infinite.buffer)], [0xfc00, 0x7bff]);
  assert.throws(() => encodeTensor(Float32Array.of(1, -65520), { name: 'w', dtype: 'f16' }), {
    code: 'checkpoint.overflow',
    values: { name: 'w', element: 1, value: -65520 },
  });
});

test('refuseNonFinite: says which element and what it is, and is quiet otherwise', () => {
  refuseNonFinite(Float32Array.of(0, -0, 3e38), 'w', 'nonFinite');
  assert.throws(() => refuseNonFinite(Float32Array.of(1, Number.NaN), 'w', 'nonFinite'), {
    code: 'checkpoint.nonFinite',
    values: { name: 'w', element: 1, value: 'NaN' },
  });
});
