/** Small floats against their definition (every code, every tie) and against the golden casts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { goldenTensor, goldenTensors, maxError } from '../../tests/support/golden.ts';
import {
  decodeE4m3,
  dequantizeBlocks,
  encodeE4m3,
  encodeSmallFloat,
  largestValue,
  quantizeBlock128x128,
  quantizeTile1x128,
  type SmallFloat,
  smallFloatTable,
} from './fp8.ts';

const FORMATS: readonly SmallFloat[] = ['e4m3', 'e5m2', 'e5m6'];

/** The finite codes of a format, with their values. */
function finiteCodes(format: SmallFloat): { code: number; value: number }[] {
  return [...smallFloatTable(format)]
    .map((value, code) => ({ code, value }))
    .filter(({ value }) => Number.isFinite(value));
}

test('Small floats: the published extremes hold', () => {
  assert.deepEqual(FORMATS.map(largestValue), [448, 57344, 65024]);
  assert.deepEqual(
    FORMATS.map((format) => smallFloatTable(format)[1]),
    [2 ** -9, 2 ** -16, 2 ** -20],
  );
  assert.deepEqual(
    FORMATS.map((format) => smallFloatTable(format).length),
    [256, 256, 4096],
  );
});

test('Small floats: E4M3 has two NaN codes and no infinity, E5 kinds have both', () => {
  const notFinite = FORMATS.map((format) => {
    const table = [...smallFloatTable(format)];
    const nan = table.filter(Number.isNaN).length;
    return [nan, table.length - nan - finiteCodes(format).length];
  });
  assert.deepEqual(notFinite, [
    [2, 0],
    [6, 2],
    [126, 2],
  ]);
});

test('Small floats: every finite code survives decoding and encoding', () => {
  for (const format of FORMATS) {
    for (const { code, value } of finiteCodes(format)) {
      assert.equal(encodeSmallFloat(format, value), code, `${format} ${code}`);
    }
  }
});

test('Small floats: encoding takes the nearest value and the even code on a tie', () => {
  for (const format of FORMATS) {
    const positive = finiteCodes(format).filter(({ value }) => value >= 0 && !Object.is(value, -0));
    for (let i = 0; i + 1 < positive.length; i++) {
      const [low, high] = [positive[i], positive[i + 1]];
      assert(low !== undefined && high !== undefined);
      const middle = (low.value + high.value) / 2;
      const even = low.code % 2 === 0 ? low.code : high.code;
      assert.equal(encodeSmallFloat(format, middle), even, `${format}: the tie at ${middle}`);
      const step = middle * 2 ** -20;
      assert.equal(encodeSmallFloat(format, middle - step), low.code);
      assert.equal(encodeSmallFloat(format, middle + step), high.code);
    }
  }
});

test('Small floats: overflow and infinities saturate, NaN and the sign of zero stay', () => {
  for (const format of FORMATS) {
    const decode = (code: number): number => smallFloatTable(format)[code] ?? 0;
    const largest = largestValue(format);
    for (const value of [largest * 1.01, 1e30, Number.POSITIVE_INFINITY]) {
      assert.equal(decode(encodeSmallFloat(format, value)), largest);
      assert.equal(decode(encodeSmallFloat(format, -value)), -largest);
    }
    assert(Number.isNaN(decode(encodeSmallFloat(format, Number.NaN))));
    assert(Object.is(decode(encodeSmallFloat(format, -0)), -0));
    assert(Object.is(decode(encodeSmallFloat(format, -1e-30)), -0));
  }
});

test('Small floats: encoding is monotonic', () => {
  const value = fc.float({ noNaN: true, noDefaultInfinity: true });
  fc.assert(
    fc.property(value, value, fc.constantFrom(...FORMATS), (a, b, format) => {
      const [low, high] = a <= b ? [a, b] : [b, a];
      const table = smallFloatTable(format);
      const [lowCast, highCast] = [low, high].map((x) => table[encodeSmallFloat(format, x)]);
      assert(lowCast !== undefined && highCast !== undefined && lowCast <= highCast);
    }),
  );
});

test('Quantising: an error is at most half a step of the block’s largest value', () => {
  const matrix = fc.record({
    rows: fc.integer({ min: 1, max: 5 }),
    columns: fc.integer({ min: 1, max: 300 }),
    seed: fc.integer(),
  });
  fc.assert(
    fc.property(matrix, fc.constantFrom('f32', 'ue8m0'), ({ rows, columns, seed }, scale) => {
      const values = Float32Array.from({ length: rows * columns }, (_, i) =>
        Math.sin(seed + i * i),
      );
      for (const [quantize, blockRows] of [
        [quantizeTile1x128, 1],
        [quantizeBlock128x128, 128],
      ] as const) {
        const { codes, scales } = quantize({ values, rows, columns, scale });
        const out = new Float32Array(values.length);
        const shape = { rows, columns, blockRows, blockColumns: 128 };
        dequantizeBlocks({ out, codes, scales, shape });
        // 2⁻⁴ relative for normals; subnormals are off by half of 2⁻⁹ scales at most.
        for (const [i, value] of values.entries()) {
          const error = Math.abs((out[i] ?? 0) - value);
          const block = Math.max(...scales);
          assert(error <= Math.max(Math.abs(value) * 2 ** -4, block * 2 ** -10) * 1.0001);
        }
      }
    }),
    { numRuns: 50 },
  );
});

test('Quantising: power-of-two scales are the exact ones rounded up', () => {
  fc.assert(
    fc.property(fc.float({ min: Math.fround(1e-3), max: 1e6, noNaN: true }), (amax) => {
      const args = { values: Float32Array.of(amax), rows: 1, columns: 1 };
      const exact = quantizeTile1x128(args).scales[0] ?? 0;
      const rounded = quantizeTile1x128({ ...args, scale: 'ue8m0' }).scales[0] ?? 0;
      assert(Number.isInteger(Math.log2(rounded)));
      assert(exact <= rounded && rounded < 2 * exact);
    }),
  );
});

test('Quantising: a block of zeros gives zeros, not NaN', () => {
  const { codes, scales } = quantizeTile1x128({
    values: new Float32Array(130),
    rows: 1,
    columns: 130,
  });
  assert(codes.every((code) => code === 0));
  assert.deepEqual(
    [...scales],
    [Math.fround(Math.fround(1e-4) / 448), Math.fround(Math.fround(1e-4) / 448)],
  );
});

test('Quantising: E5M6 tiles with power-of-two scales keep 6 bits of mantissa', () => {
  const values = Float32Array.from({ length: 256 }, (_, i) => Math.cos(i) * 3);
  const quantized = quantizeTile1x128({
    values,
    rows: 2,
    columns: 128,
    format: 'e5m6',
    scale: 'ue8m0',
  });
  const out = new Float32Array(256);
  const shape = { rows: 2, columns: 128, blockRows: 1, blockColumns: 128 };
  dequantizeBlocks({ out, ...quantized, shape, format: 'e5m6' });
  for (const [i, value] of values.entries()) {
    assert(Math.abs((out[i] ?? 0) - value) <= Math.abs(value) * 2 ** -7);
  }
});

test('E4M3 by its usual names: 0.1 is 0x1d, 0x1d is 0.1015625', () => {
  assert.equal(encodeE4m3(0.1), 0x1d);
  assert.equal(decodeE4m3(0x1d), 0.1015625);
});

const golden = await goldenTensors('fp8/fp8.safetensors');
const floats = (name: string): Float32Array => {
  const { values } = goldenTensor(golden, name);
  assert(values instanceof Float32Array);
  return values;
};
const shapeOf = (name: string): [rows: number, columns: number] => {
  const [rows = 0, columns = 0] = goldenTensor(golden, name).shape;
  return [rows, columns];
};

test('Golden FP8: every cast and every code agree exactly', () => {
  const codes = goldenTensor(golden, 'cast.code').values;
  for (const [i, value] of floats('cast.x').entries()) {
    assert.equal(encodeE4m3(value), codes[i], `the code of ${value}`);
  }
  // As plain arrays: typed ones compare NaN as unequal.
  assert.deepEqual([...smallFloatTable('e4m3')], [...floats('decode.table')]);
});

test('Golden FP8: activation tiles agree exactly, codes and scales', () => {
  for (const name of ['act0', 'act1']) {
    const [rows, columns] = shapeOf(`${name}.x`);
    for (const [scale, suffix] of [
      ['f32', ''],
      ['ue8m0', '_ue8m0'],
    ] as const) {
      const values = floats(`${name}.x`);
      const { codes, scales } = quantizeTile1x128({ values, rows, columns, scale });
      assert.deepEqual(codes, goldenTensor(golden, `${name}.code${suffix}`).values);
      assert.deepEqual(scales, floats(`${name}.scale${suffix}`));
    }
  }
});

test('Golden FP8: weight blocks agree exactly, a partial one among them', () => {
  const [rows, columns] = shapeOf('w.x');
  const [, width] = shapeOf('w.code');
  for (const [scale, suffix] of [
    ['f32', ''],
    ['ue8m0', '_ue8m0'],
  ] as const) {
    const quantized = quantizeBlock128x128({ values: floats('w.x'), rows, columns, scale });
    const codes = goldenTensor(golden, `w.code${suffix}`).values;
    const scales = floats(`w.scale_inv${suffix}`);
    const across = Math.ceil(width / 128);
    for (let row = 0; row < rows; row++) {
      assert.deepEqual(
        quantized.codes.subarray(row * columns, (row + 1) * columns),
        codes.subarray(row * width, row * width + columns),
      );
      const block = Math.floor(row / 128);
      const ours = Math.ceil(columns / 128);
      assert.equal(quantized.scales[block * ours], scales[block * across]);
    }
  }
});

test('Golden FP8: the product of dequantised activations and weights agrees', () => {
  for (const suffix of ['', '_ue8m0']) {
    const dequantized = (name: string, scale: string, blockRows: number): Float32Array => {
      const [rows, columns] = shapeOf(`${name}.code${suffix}`);
      const codes = goldenTensor(golden, `${name}.code${suffix}`).values;
      assert(codes instanceof Uint8Array);
      const out = new Float32Array(rows * columns);
      const shape = { rows, columns, blockRows, blockColumns: 128 };
      dequantizeBlocks({ out, codes, scales: floats(`${name}.${scale}${suffix}`), shape });
      return out;
    };
    const [a, b] = [dequantized('act0', 'scale', 1), dequantized('w', 'scale_inv', 128)];
    const [numRows, width] = shapeOf('act0.code');
    const [numColumns] = shapeOf('w.code');
    const expected = floats(`gemm.out${suffix}`);
    const actual = expected.map((_, i) => {
      const [row, column] = [Math.floor(i / numColumns), i % numColumns];
      let sum = 0;
      for (let k = 0; k < width; k++) {
        sum += (a[row * width + k] ?? 0) * (b[column * width + k] ?? 0);
      }
      return sum;
    });
    assert.equal(expected.length, numRows * numColumns);
    const largest = maxError(expected, new Float32Array(expected.length));
    assert(maxError(actual, expected) <= 1e-6 * largest);
  }
});
