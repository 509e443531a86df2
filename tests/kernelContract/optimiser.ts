/** The contract of AdamW and of FP8. */
import fc from 'fast-check';
import { at } from '../../src/base/assert.ts';
import type { Weight } from '../../src/kernels/kernels.ts';
import { FP8_BLOCK, smallFloatTable } from '../../src/tensor/fp8.ts';
import { decode, encode } from './codes.ts';
import { type KernelCase, kernelCase, size, sizeOrNone } from './kernelCase.ts';
import { type Expectation, each, exactly, sums } from './oracle.ts';
import type { Operand, Workbench } from './workbench.ts';

const tiles = fc.constantFrom('1x128' as const, '128x128' as const);

export const optimiserCases: readonly KernelCase[] = [
  kernelCase({
    name: 'adamw: decay, corrected moments and clipping in one step, moments f32 or bf16',
    shapes: fc.record({
      rows: sizeOrNone(9),
      width: size(140),
      first: fc.constantFrom('f32' as const, 'bf16' as const),
      second: fc.constantFrom('f32' as const, 'bf16' as const),
      step: fc.constantFrom(1, 2, 3, 1000),
      weightDecay: fc.constantFrom(0, 0.1),
    }),
    runs: 40,
    always: [
      { rows: 157, width: 131, first: 'f32', second: 'f32', step: 3, weightDecay: 0.1 },
      { rows: 157, width: 131, first: 'bf16', second: 'bf16', step: 3, weightDecay: 0.1 },
    ],
    lay: (bench, { rows, width, first, second, step, weightDecay }) => {
      const shape = [rows, width];
      const parameter = bench.changed('f32', shape);
      const gradient = bench.floats(shape);
      const m = bench.changed(first, shape, encode(first, bench.normal(shape)));
      const v = bench.changed(
        second,
        shape,
        encode(
          second,
          bench.normal(shape).map((x) => x * x),
        ),
      );
      const [learningRate, beta1, beta2, epsilon] = [1e-2, 0.9, 0.95, 1e-8];
      const gradientScale = 0.7;
      bench.kernels.adamw({
        parameter: parameter.tensor,
        gradient: gradient.tensor,
        firstMoment: m.tensor,
        secondMoment: v.tensor,
        learningRate,
        beta1,
        beta2,
        epsilon,
        weightDecay,
        step,
        gradientScale,
      });
      const [mBefore, vBefore] = [decode(first, m.values), decode(second, v.values)];
      const scaled = (i: number): number => gradientScale * at(gradient.values, i);
      const mAfter = (i: number): number => beta1 * at(mBefore, i) + (1 - beta1) * scaled(i);
      const vAfter = (i: number): number => beta2 * at(vBefore, i) + (1 - beta2) * scaled(i) ** 2;
      const mSize = (i: number): number => Math.abs(at(mBefore, i)) + Math.abs(scaled(i));
      const count = rows * width;
      const step1 = (i: number): number => Math.sqrt(vAfter(i) / (1 - beta2 ** step)) + epsilon;
      // bf16 keeps 8 bits: the nearest one is at most half of its last place away.
      const stored = (dtype: string): number => (dtype === 'bf16' ? 2 ** 16 + 8 : 8);
      bench.expect(m.tensor, () =>
        each({ count, roundings: stored(first), value: mAfter, magnitude: mSize }),
      );
      bench.expect(v.tensor, () => each({ count, roundings: stored(second), value: vAfter }));
      bench.expect(parameter.tensor, () =>
        each({
          count,
          roundings: 16,
          value: (i) => {
            const direction = mAfter(i) / (1 - beta1 ** step) / step1(i);
            return (
              at(parameter.values, i) * (1 - learningRate * weightDecay) - learningRate * direction
            );
          },
          magnitude: (i) => {
            const direction = mSize(i) / (1 - beta1 ** step) / step1(i);
            return Math.abs(at(parameter.values, i)) + learningRate * direction;
          },
        }),
      );
    },
  }),
  kernelCase({
    name: 'quantizeFp8: scales of each tile’s largest value, codes to nearest even, exactly',
    shapes: fc.record({
      rows: size(140),
      width: size(300),
      tile: tiles,
      scaleFormat: fc.constantFrom('f32' as const, 'ue8m0' as const),
      spread: fc.constantFrom(0, 1e-7, 1, 1e4),
    }),
    runs: 30,
    lay: (bench, { rows, width, tile, scaleFormat, spread }) => {
      const x = bench.floats(
        [rows, width],
        bench.normal([rows, width]).map((v) => v * spread),
      );
      const codes = bench.outputCodes('f8e4m3', [rows, width]);
      const tileRows = tile === '1x128' ? 1 : FP8_BLOCK;
      const [down, across] = [Math.ceil(rows / tileRows), Math.ceil(width / FP8_BLOCK)];
      const scales = bench.output([down, across]);
      bench.kernels.quantizeFp8({ codes, scales, x: x.tensor, tile, scaleFormat });
      const tileOf = (i: number): number => {
        const [row, column] = [Math.floor(i / width), i % width];
        return Math.floor(row / tileRows) * across + Math.floor(column / FP8_BLOCK);
      };
      const expected = (): Float32Array => {
        const largest = new Float32Array(down * across).fill(1e-4);
        x.values.forEach((value: number, i: number) => {
          largest[tileOf(i)] = Math.max(at(largest, tileOf(i)), Math.abs(value));
        });
        return largest.map((amax) => {
          const scale = Math.fround(amax / 448);
          return scaleFormat === 'f32' ? scale : 2 ** Math.ceil(Math.log2(scale));
        });
      };
      bench.expect(scales, () => exactly(expected()));
      bench.expect(codes, () => {
        const scale = expected();
        return exactly(
          Float64Array.from(x.values, (value, i) =>
            nearestE4m3(Math.fround(value / at(scale, tileOf(i)))),
          ),
        );
      });
    },
  }),
  kernelCase({
    name: 'dequantizeFp8: code · scale of its tile, rounded once',
    shapes: fc.record({ rows: sizeOrNone(140), width: size(300), tile: tiles }),
    always: [{ rows: 200, width: 300, tile: '1x128' }],
    lay: (bench, { rows, width, tile }) => {
      const { codes, scales, values } = layCodes(bench, { rows, width, tile });
      const out = bench.output([rows, width]);
      bench.kernels.dequantizeFp8({ out, codes: codes.tensor, scales: scales.tensor, tile });
      bench.expect(out, () => exactly(Float32Array.from(values)));
    },
  }),
  kernelCase({
    name: 'findSpecialCodes: subnormals and NaNs in the order of rows, -1 where they are too many',
    shapes: fc.record({
      rows: sizeOrNone(70),
      width: size(150),
      share: fc.constantFrom(0, 0.01, 0.5),
      room: fc.constantFrom(0, 0.9, 1, 2),
    }),
    always: [{ rows: 300, width: 300, share: 0.01, room: 1 }],
    lay: (bench, { rows, width, share, room }) => {
      const isSpecial = (code: number): boolean =>
        (code & 0x7f) === 0x7f || ((code & 0x78) === 0 && (code & 7) !== 0);
      const raw = Uint8Array.from({ length: rows * width }, () => {
        const special = [1, 7, 0x7f][bench.random.integer(3)] ?? 0;
        const code = bench.random.uniform() < share ? special : bench.random.integer(0x77) + 8;
        return bench.random.uniform() < 0.1 ? 0 : code | (bench.random.integer(2) << 7);
      });
      const found = [...raw].flatMap((code, i) => (isSpecial(code) ? [[i, code] as const] : []));
      const most = Math.ceil(found.length * room);
      const codes = bench.raw('f8e4m3', [rows, width], raw);
      const begins = bench.changed('i32', [rows + 1], new Int32Array(rows + 1));
      const entries = bench.changed('i32', [most], new Int32Array(most));
      bench.kernels.findSpecialCodes({
        codes: codes.tensor,
        begins: begins.tensor,
        entries: entries.tensor,
      });
      const fits = found.length <= most;
      bench.expect(begins.tensor, () => {
        const firsts = new Float32Array(rows + 1);
        for (const [i] of found) {
          const end = Math.floor(i / width) + 1;
          firsts[end] = at(firsts, end) + 1;
        }
        for (let row = 0; row < rows; row++) {
          firsts[row + 1] = at(firsts, row) + at(firsts, row + 1);
        }
        if (!fits) firsts[0] = -1;
        return exactly(firsts);
      });
      const listed = found.map(([i, code]) => (i % width) * 256 + code);
      const written = Float32Array.from({ length: most }, (_, i) => (fits ? (listed[i] ?? 0) : 0));
      bench.expect(entries.tensor, () => exactly(written));
    },
  }),
  kernelCase({
    name: 'matmul of a few rows: any code counts the same, listed as special or not',
    shapes: fc.record({
      m: fc.integer({ min: 1, max: 16 }),
      n: size(150),
      k: size(300),
      isListed: fc.boolean(),
    }),
    always: [
      { m: 1, n: 130, k: 4500, isListed: true },
      { m: 5, n: 40, k: 260, isListed: true },
    ],
    lay: (bench, { m, n, k, isListed }) => {
      const a = bench.floats([m, k]);
      const b = layCodes(bench, { rows: n, width: k, tile: '128x128' });
      const out = bench.output([m, n]);
      const weight: Weight = { values: b.codes.tensor, scales: b.scales.tensor };
      if (isListed) weight.specialCodes = bench.specialCodes(b.codes.tensor);
      bench.kernels.matmul({ out, a: a.tensor, b: weight, layout: 'nt' });
      bench.expect(out, () => productOf(a.values, b.values, { m, n, k }));
    },
  }),
  kernelCase({
    name: 'fp8Matmul: Σ a · b of what the codes stand for',
    shapes: fc.record({ m: sizeOrNone(40), n: size(140), k: size(300) }),
    always: [{ m: 1, n: 5, k: 128 }],
    lay: (bench, { m, n, k }) => {
      const a = layCodes(bench, { rows: m, width: k, tile: '1x128' });
      const b = layCodes(bench, { rows: n, width: k, tile: '128x128' });
      const out = bench.output([m, n]);
      bench.kernels.fp8Matmul({
        out,
        a: a.codes.tensor,
        aScales: a.scales.tensor,
        b: b.codes.tensor,
        bScales: b.scales.tensor,
      });
      bench.expect(out, () => productOf(a.values, b.values, { m, n, k }));
    },
  }),
];

/** `[m, k]` times `[n, k]` transposed. */
function productOf(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  { m, n, k }: { readonly m: number; readonly n: number; readonly k: number },
): Expectation {
  return sums({
    count: m * n,
    numTerms: k,
    term: (element, s) => {
      const [i, j] = [Math.floor(element / n), element % n];
      return at(a, i * k + s) * at(b, j * k + s);
    },
  });
}

/** Codes drawn evenly, NaN left out, and scales; `values` is what they stand for, in doubles. */
function layCodes(
  bench: Workbench,
  args: { readonly rows: number; readonly width: number; readonly tile: '1x128' | '128x128' },
): {
  readonly codes: Operand<'f8e4m3'>;
  readonly scales: Operand<'f32'>;
  readonly values: Float64Array;
} {
  const { rows, width, tile } = args;
  const tileRows = tile === '1x128' ? 1 : FP8_BLOCK;
  const [down, across] = [Math.ceil(rows / tileRows), Math.ceil(width / FP8_BLOCK)];
  const raw = Uint8Array.from({ length: rows * width }, () => {
    const code = bench.random.integer(254);
    return code < 127 ? code : code + 1;
  });
  const factors = Float32Array.from({ length: down * across }, () => bench.random.uniform());
  const codes = bench.raw('f8e4m3', [rows, width], raw);
  const scales = bench.floats([down, across], factors);
  const values = decode('f8e4m3', raw);
  for (let i = 0; i < values.length; i++) {
    const [row, column] = [Math.floor(i / width), i % width];
    const tileIndex = Math.floor(row / tileRows) * across + Math.floor(column / FP8_BLOCK);
    values[i] = at(values, i) * at(factors, tileIndex);
  }
  return { codes, scales, values };
}

/** By looking at all of them: the nearest, and of two the one with an even code. */
function nearestE4m3(value: number): number {
  const table = smallFloatTable('e4m3');
  const magnitude = Math.min(Math.abs(value), 448);
  let best = 0;
  for (let code = 1; code < 0x7f; code++) {
    const [distance, least] = [
      Math.abs(at(table, code) - magnitude),
      Math.abs(at(table, best) - magnitude),
    ];
    if (distance < least || (distance === least && code % 2 === 0)) best = code;
  }
  return Math.sign(value) * at(table, best);
}
