/** The contract of elementwise operations, sums, SwiGLU, and of memory itself. */
import fc from 'fast-check';
import { assert, at } from '../../src/base/assert.ts';
import type { DType } from '../../src/tensor/dtype.ts';
import { columns, type Tensor } from '../../src/tensor/tensor.ts';
import { decode, encode, isSame } from './codes.ts';
import { type KernelCase, kernelCase, size, sizeOrNone, type Workplace } from './kernelCase.ts';
import { each, exactly, gradient, withinLargest } from './oracle.ts';

const matrices = fc.record({ rows: sizeOrNone(20), width: size(130) });

/** Enough elements for more than one thread. */
const MANY = { rows: 157, width: 131 };
const floatDTypes = fc.constantFrom<DType>('f32', 'bf16', 'f16');

/** Halfway cases, both zeros, subnormals, overflow, infinities and NaN of every 16-bit float. */
const AWKWARD = [
  0,
  -0,
  1,
  -1,
  1.00390625,
  1.01171875,
  1.00048828125,
  1.00146484375,
  65504,
  65519.9,
  65520,
  3.4e38,
  -3.4e38,
  2e-24,
  5.9604644775390625e-8,
  2.9802322387695312e-8,
  8.9e-8,
  6.1e-5,
  6.097e-5,
  1e-40,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  Number.NaN,
];

/** exp in float32 may be off by a few units of its last place. */
const EXP_ROUNDINGS = 16;

const silu = (x: number): number => x / (1 + Math.exp(-x));

export const elementwiseCases: readonly KernelCase[] = [
  {
    name: 'write and read: every element of every dtype, strided or not',
    verify: writesAndReads,
  },
  {
    name: 'arena: tensors do not overlap, and what lies below a mark survives a release',
    verify: keepsTensorsApart,
  },
  kernelCase({
    name: 'fill: the value everywhere, in every dtype',
    shapes: fc.record({
      rows: sizeOrNone(20),
      width: size(130),
      dtype: fc.constantFrom<DType>('f32', 'bf16', 'f16', 'i32', 'f8e4m3'),
      value: fc.constantFrom(0, -3, 44, 0.3),
    }),
    always: [{ ...MANY, dtype: 'bf16', value: 0.3 }],
    lay: (bench, { rows, width, dtype, value }) => {
      const isInt = dtype === 'i32';
      const out = isInt ? bench.outputInts([rows, width]) : bench.outputCodes(dtype, [rows, width]);
      const whole = isInt ? Math.trunc(value) : value;
      bench.kernels.fill({ out, value: whole });
      bench.expect(out, () =>
        exactly(decode(dtype, encode(dtype, new Float32Array(rows * width).fill(whole)))),
      );
    },
  }),
  kernelCase({
    name: 'copy: between f32, bf16 and f16 to nearest even, NaN and infinities kept',
    shapes: fc.record({
      rows: sizeOrNone(20),
      width: size(130),
      from: floatDTypes,
      to: floatDTypes,
    }),
    runs: 50,
    always: [{ ...MANY, from: 'f32', to: 'bf16' }],
    lay: (bench, { rows, width, from, to }) => {
      const values = bench.normal([rows, width]);
      for (let i = 0; i < values.length; i += 2) {
        values[i] = at(AWKWARD, bench.random.integer(AWKWARD.length));
      }
      const x = bench.codes(from, [rows, width], values);
      const out = bench.outputCodes(to, [rows, width]);
      bench.kernels.copy({ out, x: x.tensor });
      bench.expect(out, () => {
        const exact = Float32Array.from(decode(from, x.values));
        return exactly(decode(to, encode(to, exact)));
      });
    },
  }),
  kernelCase({
    name: 'copy: codes and integers of one dtype unchanged',
    shapes: fc.record({
      rows: size(9),
      width: size(70),
      dtype: fc.constantFrom<DType>('i32', 'f8e4m3'),
    }),
    lay: (bench, { rows, width, dtype }) => {
      const x = bench.codes(
        dtype,
        [rows, width],
        bench.normal([rows, width]).map((v) => v * 100),
      );
      const out =
        dtype === 'i32' ? bench.outputInts([rows, width]) : bench.outputCodes(dtype, [rows, width]);
      bench.kernels.copy({ out, x: x.tensor });
      bench.expect(out, () => exactly(decode(dtype, x.values)));
    },
  }),
  kernelCase({
    name: 'add: a + b rounded once, also in place',
    shapes: fc.record({ rows: sizeOrNone(20), width: size(130), isInPlace: fc.boolean() }),
    always: [{ ...MANY, isInPlace: true }],
    lay: (bench, { rows, width, isInPlace }) => {
      const b = bench.floats([rows, width]);
      const a = isInPlace ? bench.changed('f32', [rows, width]) : bench.floats([rows, width]);
      const out = isInPlace ? a.tensor : bench.output([rows, width]);
      bench.kernels.add({ out, a: a.tensor, b: b.tensor });
      bench.expect(out, () =>
        exactly(Float32Array.from(a.values, (value, i) => value + at(b.values, i))),
      );
    },
  }),
  kernelCase({
    name: 'scale: factor · x in place',
    shapes: matrices,
    always: [MANY],
    lay: (bench, { rows, width }) => {
      const x = bench.changed('f32', [rows, width]);
      bench.kernels.scale({ x: x.tensor, factor: -0.3 });
      bench.expect(x.tensor, () =>
        each({ count: rows * width, roundings: 2, value: (i) => -0.3 * at(x.values, i) }),
      );
    },
  }),
  kernelCase({
    name: 'lerp: moves out toward x by the weight',
    shapes: matrices,
    always: [MANY],
    lay: (bench, { rows, width }) => {
      const out = bench.changed('f32', [rows, width]);
      const x = bench.floats([rows, width]);
      bench.kernels.lerp({ out: out.tensor, x: x.tensor, weight: 0.01 });
      bench.expect(out.tensor, () =>
        each({
          count: rows * width,
          roundings: 4,
          value: (i) => at(out.values, i) + 0.01 * (at(x.values, i) - at(out.values, i)),
          magnitude: (i) => Math.abs(at(out.values, i)) + Math.abs(at(x.values, i)),
        }),
      );
    },
  }),
  kernelCase({
    name: 'sumOfSquares: Σ x², in float32 or better however long',
    shapes: matrices,
    always: [
      { rows: 1, width: 40_000 },
      { rows: 300, width: 129 },
    ],
    lay: (bench, { rows, width }) => {
      const x = bench.floats([rows, width]);
      const out = bench.output([1]);
      bench.kernels.sumOfSquares({ out, x: x.tensor });
      // Tighter than a plain float32 loop over 40,000 elements can be: long sums need blocks.
      bench.expect(out, () =>
        each({
          count: 1,
          roundings: 32,
          value: () => x.values.reduce((sum: number, value: number) => sum + value ** 2, 0),
        }),
      );
    },
  }),
  kernelCase({
    name: 'sumOfSquares: NaN and infinities come through',
    shapes: fc.record({
      rows: size(9),
      width: size(70),
      fault: fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
    }),
    lay: (bench, { rows, width, fault }) => {
      const values = bench.normal([rows, width]);
      values[bench.random.integer(values.length)] = fault;
      const out = bench.output([1]);
      bench.kernels.sumOfSquares({ out, x: bench.floats([rows, width], values).tensor });
      bench.expect(out, () => exactly([Number.isNaN(fault) ? fault : Number.POSITIVE_INFINITY]));
    },
  }),
  kernelCase({
    name: 'swiglu: silu(gate) · up, finite for gates of ±100',
    shapes: matrices,
    always: [MANY],
    lay: (bench, { rows, width }) => {
      const values = bench.normal([rows, 2 * width]).map((v) => v * 4);
      if (values.length > 2) [values[0], values[1]] = [-100, 100];
      const gateUp = bench.floats([rows, 2 * width], values);
      const out = bench.output([rows, width]);
      bench.kernels.swiglu({ out_TF: out, gateUp_T2F: gateUp.tensor });
      bench.expect(out, () =>
        each({
          count: rows * width,
          roundings: EXP_ROUNDINGS,
          value: (i) => {
            const gate = Math.floor(i / width) * 2 * width + (i % width);
            return silu(at(values, gate)) * at(values, gate + width);
          },
        }),
      );
    },
  }),
  kernelCase({
    name: 'swigluBackward: the gradient of swiglu by finite differences',
    shapes: fc.record({ rows: sizeOrNone(4), width: size(70) }),
    always: [MANY],
    lay: (bench, { rows, width }) => {
      const gateUp = bench.floats([rows, 2 * width]);
      const dOut = bench.floats([rows, width]);
      const dGateUp = bench.output([rows, 2 * width]);
      const args = { dOut_TF: dOut.tensor, gateUp_T2F: gateUp.tensor };
      bench.kernels.swigluBackward({ dGateUp_T2F: dGateUp, ...args });
      bench.expect(dGateUp, () => {
        const values = new Float64Array(rows * 2 * width);
        for (let i = 0; i < rows * width; i++) {
          const gate = Math.floor(i / width) * 2 * width + (i % width);
          const inputs = [at(gateUp.values, gate), at(gateUp.values, gate + width)];
          const loss = (x: Float64Array): number => at(dOut.values, i) * silu(at(x, 0)) * at(x, 1);
          const slope = gradient(loss, inputs);
          values[gate] = at(slope, 0);
          values[gate + width] = at(slope, 1);
        }
        return withinLargest(values, 2e-6);
      });
    },
  }),
];

async function writesAndReads({ kernels }: Workplace): Promise<void> {
  const arena = kernels.createArena('memory');
  for (const dtype of ['f32', 'bf16', 'f16', 'f8e4m3', 'i32'] as const) {
    for (const [rows, width] of [
      [1, 1],
      [3, 7],
      [5, 64],
      [0, 4],
    ] as const) {
      const count = rows * width;
      const values = encode(
        dtype,
        Float32Array.from({ length: count }, (_, i) => i - count / 2),
      );
      const whole: Tensor = arena.allocate(dtype, [rows, width + 3]);
      for (const tensor of [
        arena.allocate(dtype, [rows, width]) as Tensor,
        columns(whole, 2, width + 2),
      ]) {
        kernels.write(tensor, values);
        assert(isSame(await kernels.read(tensor), values), `${dtype} [${tensor.shape}]`);
      }
      const copy = await kernels.read(whole);
      copy.fill(0);
      const view = columns(whole, 2, width + 2);
      assert(isSame(await kernels.read(view), values), 'what is read is a copy');
    }
  }
}

async function keepsTensorsApart({ kernels }: Workplace): Promise<void> {
  const arena = kernels.createArena('memory');
  const kept = [1, 5, 64, 1000].map((length) => arena.allocate('f32', [length]));
  for (const [value, out] of kept.entries()) kernels.fill({ out, value });
  const [mark, used] = [arena.mark(), arena.usedBytes];
  for (let round = 0; round < 3; round++) {
    for (const length of [7, 300_000, 2])
      kernels.fill({ out: arena.allocate('f32', [length]), value: -1 });
    assert(arena.usedBytes >= used + 4 * 300_009, 'bytes in use are counted');
    arena.release(mark);
    assert(arena.usedBytes === used, 'a release gives them back');
  }
  for (const [i, tensor] of kept.entries()) {
    assert(
      (await kernels.read(tensor)).every((value) => value === i),
      `tensor ${i} was overwritten`,
    );
  }
  assert(arena.peakBytes >= used + 4 * 300_009, 'the peak stays');
  assert(arena.reservedBytes >= arena.peakBytes, 'the peak fits into what was reserved');
}
