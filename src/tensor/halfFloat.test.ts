/** The 16-bit floats, over all of their 65,536 codes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decodeBf16,
  decodeBf16Array,
  decodeF16,
  decodeF16Array,
  encodeBf16,
  encodeF16,
} from './halfFloat.ts';

const formats = [
  { name: 'bf16', decode: decodeBf16, encode: encodeBf16, exponentBits: 8, infinity: 0x7f80 },
  { name: 'f16', decode: decodeF16, encode: encodeF16, exponentBits: 5, infinity: 0x7c00 },
];

for (const { name, decode, encode, exponentBits, infinity } of formats) {
  test(`${name}: every code means sign · 2^exponent · mantissa`, () => {
    const mantissaBits = 15 - exponentBits;
    const bias = 2 ** (exponentBits - 1) - 1;
    for (let code = 0; code <= 0xffff; code++) {
      const exponent = (code >>> mantissaBits) & (2 ** exponentBits - 1);
      const fraction = (code % 2 ** mantissaBits) / 2 ** mantissaBits;
      const isSpecial = exponent === 2 ** exponentBits - 1;
      const finite =
        exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias);
      const special = fraction === 0 ? Number.POSITIVE_INFINITY : Number.NaN;
      const magnitude = isSpecial ? special : finite;
      assert(Object.is(decode(code), code >= 0x8000 ? -magnitude : magnitude), `code ${code}`);
    }
  });

  test(`${name}: every code but NaN comes back from its value`, () => {
    for (let code = 0; code <= 0xffff; code++) {
      const value = decode(code);
      if (Number.isNaN(value)) assert(Number.isNaN(decode(encode(value))));
      else assert.equal(encode(value), code);
    }
  });

  test(`${name}: between two neighbours the nearer wins, halfway the even one`, () => {
    for (let code = 0; code < infinity; code++) {
      const [below, above] = [decode(code), decode(code + 1)];
      // Infinity stands where the next finite value would be.
      const step = code + 1 === infinity ? below - decode(code - 1) : above - below;
      const middle = below + step / 2;
      const even = code % 2 === 0 ? code : code + 1;
      for (const sign of [1, -1]) {
        const signBit = sign === 1 ? 0 : 0x8000;
        assert.equal(encode(sign * middle), signBit | even, `middle above ${code}`);
        assert.equal(encode(sign * (below + step * 0.49)), signBit | code);
        assert.equal(encode(sign * (below + step * 0.51)), signBit | (code + 1));
      }
    }
  });

  test(`${name}: NaN stays NaN whatever bits it has`, () => {
    const float = new Float32Array(1);
    const bits = new Uint32Array(float.buffer);
    for (const pattern of [0x7f800001, 0x7fc00000, 0x7fffffff, 0xff800001, 0xffffffff]) {
      bits[0] = pattern;
      assert(Number.isNaN(decode(encode(float[0] ?? 0))), pattern.toString(16));
    }
  });
}

test('bf16, f16: what is beyond the largest becomes infinity, what is too small zero', () => {
  assert.equal(encodeF16(65519.99), 0x7bff);
  assert.equal(encodeF16(65520), 0x7c00);
  assert.equal(encodeF16(-1e30), 0xfc00);
  assert.equal(encodeF16(2 ** -25), 0);
  assert.equal(encodeF16(-(2 ** -26)), 0x8000);
  assert.equal(encodeBf16(3.4e38), 0x7f80);
  assert.equal(encodeBf16(1e300), 0x7f80);
});

test('bf16, f16: arrays decode as their elements do, from any even offset', () => {
  const codes = Uint16Array.from({ length: 1000 }, (_, i) => (i * 61) % 0x7c00).subarray(1);
  const out = new Float32Array(1001);
  decodeBf16Array(out, codes);
  assert.deepEqual(out.subarray(0, 999), Float32Array.from(codes, decodeBf16));
  decodeF16Array(out, codes);
  assert.deepEqual(out.subarray(0, 999), Float32Array.from(codes, decodeF16));
  assert.deepEqual([...out.subarray(999)], [0, 0]);
});
