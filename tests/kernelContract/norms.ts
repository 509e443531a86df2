/** The contract of RMSNorm and RoPE. */
import fc from 'fast-check';
import { at } from '../../src/base/assert.ts';
import { type KernelCase, kernelCase, size, sizeOrNone } from './kernelCase.ts';
import { each, gradient, sums, UNIT } from './oracle.ts';

const EPS = 1e-6;
const matrices = fc.record({ rows: sizeOrNone(12), width: size(140) });

/** Enough elements for more than one thread. */
const MANY = { rows: 157, width: 131 };

/** 1 / sqrt(mean(x²) + eps) of one row, and its float32 error: half that of the sum of squares. */
function reciprocalRms(
  x: ArrayLike<number>,
  { row, width, eps = EPS }: { row: number; width: number; eps?: number },
): number {
  let squares = 0;
  for (let i = 0; i < width; i++) squares += at(x, row * width + i) ** 2;
  return 1 / Math.sqrt(squares / width + eps);
}

export const normCases: readonly KernelCase[] = [
  kernelCase({
    name: 'rmsNorm: x · rsqrt(mean(x²) + eps) · gain, the factor kept if asked',
    shapes: fc.record({
      rows: sizeOrNone(12),
      width: size(140),
      isKept: fc.boolean(),
      eps: fc.constantFrom(EPS, 0.3),
    }),
    always: [
      { rows: 2, width: 1100, isKept: true, eps: EPS },
      { ...MANY, isKept: true, eps: EPS },
    ],
    lay: (bench, { rows, width, isKept, eps }) => {
      const x = bench.floats([rows, width]);
      const gain = bench.floats([width]);
      const out = bench.output([rows, width]);
      const kept = isKept ? { reciprocalRms_T: bench.output([rows]) } : {};
      bench.kernels.rmsNorm({ out, x: x.tensor, gain: gain.tensor, eps, ...kept });
      bench.expect(out, () =>
        each({
          count: rows * width,
          roundings: width / 2 + 16,
          value: (i) => {
            const scaled = at(x.values, i) * at(gain.values, i % width);
            return scaled * reciprocalRms(x.values, { row: Math.floor(i / width), width, eps });
          },
        }),
      );
      const tensor = kept.reciprocalRms_T;
      if (tensor) {
        const value = (row: number): number => reciprocalRms(x.values, { row, width, eps });
        bench.expect(tensor, () => each({ count: rows, roundings: width / 2 + 8, value }));
      }
    },
  }),
  kernelCase({
    name: 'rmsNorm: a row of zeros stays zeros',
    shapes: fc.record({ rows: size(4), width: size(70) }),
    runs: 5,
    lay: (bench, { rows, width }) => {
      const x = bench.floats([rows, width], new Float32Array(rows * width));
      const out = bench.output([rows, width]);
      const gain = bench.floats([width]).tensor;
      bench.kernels.rmsNorm({ out, x: x.tensor, gain, eps: EPS });
      bench.expect(out, () => each({ count: rows * width, roundings: 0, value: () => 0 }));
    },
  }),
  kernelCase({
    name: 'rmsNormBackwardInput: the gradient of rmsNorm by finite differences, added if asked',
    shapes: fc.record({ rows: sizeOrNone(3), width: size(70), accumulate: fc.boolean() }),
    always: [{ ...MANY, accumulate: true }],
    lay: (bench, { rows, width, accumulate }) => {
      const x = bench.floats([rows, width]);
      const gain = bench.floats([width]);
      const dOut = bench.floats([rows, width]);
      const rms = Float32Array.from({ length: rows }, (_, row) =>
        reciprocalRms(x.values, { row, width }),
      );
      const before = accumulate ? bench.changed('f32', [rows, width]) : undefined;
      const dX = before?.tensor ?? bench.output([rows, width]);
      bench.kernels.rmsNormBackwardInput({
        dX,
        dOut: dOut.tensor,
        x: x.tensor,
        gain: gain.tensor,
        reciprocalRms_T: bench.floats([rows], rms).tensor,
        accumulate,
      });
      bench.expect(dX, () => {
        const values = new Float64Array(rows * width);
        for (let row = 0; row < rows; row++) {
          const loss = (inputs: Float64Array): number => {
            const factor = reciprocalRms(inputs, { row: 0, width });
            let total = 0;
            for (let i = 0; i < width; i++) {
              const gradientOfOut = at(dOut.values, row * width + i);
              total += gradientOfOut * at(inputs, i) * factor * at(gain.values, i);
            }
            return total;
          };
          const inputs = Float64Array.from(x.values.subarray(row * width, (row + 1) * width));
          // A narrow row may be nearly zero, where the norm bends within any fixed step.
          const h = 1e-3 / reciprocalRms(inputs, { row: 0, width });
          values.set(gradient(loss, inputs, h), row * width);
        }
        // dX = r (g dy − x r² mean(x g dy)): the two parts cancel, their sizes do not.
        const bounds = values.map((_, i) => {
          const row = Math.floor(i / width);
          const scaled = (j: number): number =>
            Math.abs(at(dOut.values, j) * at(gain.values, j % width));
          let mean = 0;
          for (let j = row * width; j < (row + 1) * width; j++) {
            mean += (Math.abs(at(x.values, j)) * scaled(j)) / width;
          }
          const shared = Math.abs(at(x.values, i)) * at(rms, row) ** 2 * mean;
          const kept = before ? Math.abs(at(before.values, i)) : 0;
          return (width + 16) * UNIT * (at(rms, row) * (scaled(i) + shared) + kept) + 1e-9;
        });
        return {
          values: values.map((value, i) => value + (before ? at(before.values, i) : 0)),
          bounds,
        };
      });
    },
  }),
  kernelCase({
    name: 'rmsNormBackwardWeight: adds Σ dOut · x / rms over rows',
    shapes: matrices,
    always: [{ rows: 300, width: 20 }, MANY],
    lay: (bench, { rows, width }) => {
      const [x, dOut] = [bench.floats([rows, width]), bench.floats([rows, width])];
      const rms = bench.floats([rows], bench.normal([rows]).map(Math.abs));
      const dGain = bench.changed('f32', [width]);
      const args = { dOut: dOut.tensor, x: x.tensor, reciprocalRms_T: rms.tensor };
      bench.kernels.rmsNormBackwardWeight({ dGain: dGain.tensor, ...args });
      bench.expect(dGain.tensor, () =>
        sums({
          count: width,
          numTerms: rows,
          before: dGain.values,
          term: (i, row) => {
            const scaled = at(x.values, row * width + i) * at(rms.values, row);
            return at(dOut.values, row * width + i) * scaled;
          },
        }),
      );
    },
  }),
  kernelCase({
    name: 'rope: turns pairs (2i, 2i+1) by the angle of the row’s position, or back',
    shapes: fc.record({
      tokens: sizeOrNone(9),
      heads: fc.oneof(fc.constant(0), size(5)),
      pairs: size(40),
      direction: fc.constantFrom('forward' as const, 'inverse' as const),
    }),
    always: [{ tokens: 70, heads: 4, pairs: 32, direction: 'forward' }],
    lay: (bench, { tokens, heads, pairs, direction }) => {
      const numPositions = 11;
      // No head dim at all: the key that heads share.
      const shape = heads === 0 ? [tokens, 2 * pairs] : [tokens, heads, 2 * pairs];
      const x = bench.changed('f32', shape);
      const angle = (position: number, pair: number): number => position * 0.7 ** pair;
      const table = Float32Array.from({ length: numPositions * pairs * 2 }, (_, i) => {
        const [pair, position] = [Math.floor(i / 2) % pairs, Math.floor(i / 2 / pairs)];
        return i % 2 === 0 ? Math.cos(angle(position, pair)) : Math.sin(angle(position, pair));
      });
      const positions = Array.from({ length: tokens }, () => bench.random.integer(numPositions));
      bench.kernels.rope({
        x_THP: x.tensor,
        positions_T: bench.ints([tokens], positions).tensor,
        table: bench.floats([numPositions, pairs, 2], table).tensor,
        direction,
      });
      bench.expect(x.tensor, () =>
        each({
          count: x.values.length,
          roundings: 8,
          value: (i) => {
            const token = Math.floor(i / (2 * pairs * Math.max(1, heads)));
            const pair = Math.floor((i % (2 * pairs)) / 2);
            const turn = angle(at(positions, token), pair) * (direction === 'forward' ? 1 : -1);
            const [even, odd] = [at(x.values, i - (i % 2)), at(x.values, i - (i % 2) + 1)];
            return i % 2 === 0
              ? even * Math.cos(turn) - odd * Math.sin(turn)
              : even * Math.sin(turn) + odd * Math.cos(turn);
          },
          magnitude: (i) =>
            Math.abs(at(x.values, i - (i % 2))) + Math.abs(at(x.values, i - (i % 2) + 1)),
        }),
      );
    },
  }),
];
