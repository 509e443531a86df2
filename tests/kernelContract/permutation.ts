/** The contract of the way of rows to their experts and back. */
import fc from 'fast-check';
import { at } from '../../src/base/assert.ts';
import { type KernelCase, kernelCase, size, sizeOrNone } from './kernelCase.ts';
import { each, exactly, sums } from './oracle.ts';

/** Enough rows for more than one thread. */
const MANY = { tokens: 90, perToken: 3, width: 131 };

export const permutationCases: readonly KernelCase[] = [
  kernelCase({
    name: 'sortByExpert: rows by expert, tokens in order within one, and the inverse',
    shapes: fc.record({ tokens: sizeOrNone(40), perToken: size(8), numExperts: size(64) }),
    runs: 40,
    always: [{ tokens: 700, perToken: 8, numExperts: 256 }],
    lay: (bench, { tokens, perToken, numExperts }) => {
      const count = tokens * perToken;
      // Half of the experts at most, so that some stay empty.
      const limit = Math.max(1, Math.floor(numExperts / 2));
      const ids = Int32Array.from({ length: count }, () => bench.random.integer(limit));
      const outputs = {
        offsets: bench.outputInts([numExperts + 1]),
        slot_R: bench.outputInts([count]),
        row_TK: bench.outputInts([tokens, perToken]),
      };
      const idsTensor = bench.ints([tokens, perToken], ids).tensor;
      bench.kernels.sortByExpert({ ...outputs, ids_TK: idsTensor });
      const slots = Array.from(ids.keys()).sort((a, b) => at(ids, a) - at(ids, b) || a - b);
      bench.expect(outputs.slot_R, () => exactly(slots));
      bench.expect(outputs.row_TK, () => exactly(Array.from(ids.keys(), (i) => slots.indexOf(i))));
      bench.expect(outputs.offsets, () =>
        exactly(
          Array.from({ length: numExperts + 1 }, (_, e) => ids.filter((id) => id < e).length),
        ),
      );
    },
  }),
  kernelCase({
    name: 'permute: every row is its token’s',
    shapes: fc.record({ tokens: size(20), perToken: size(8), width: size(140) }),
    always: [{ ...MANY, tokens: 200 }],
    lay: (bench, { tokens, perToken, width }) => {
      const x = bench.floats([tokens, width]);
      const all = Int32Array.from({ length: tokens * perToken }, (_, i) => i);
      // Fewer rows than choices: what a rank that holds some of the experts is given.
      const rows = bench.random.integer(all.length + 1);
      const slots = bench.random.shuffle(all).subarray(0, rows);
      const out = bench.output([rows, width]);
      const slotTensor = bench.ints([rows], slots).tensor;
      const args = { out_RD: out, x_TD: x.tensor, slot_R: slotTensor };
      bench.kernels.permute({ ...args, expertsPerToken: perToken });
      const token = (row: number): number => Math.floor(at(slots, row) / perToken);
      bench.expect(out, () =>
        exactly(
          Array.from({ length: rows * width }, (_, i) =>
            at(x.values, token(Math.floor(i / width)) * width + (i % width)),
          ),
        ),
      );
    },
  }),
  kernelCase({
    name: 'unpermute: Σ weight · row over a token’s rows, without weights a sum, added if asked',
    shapes: fc.record({
      tokens: sizeOrNone(20),
      perToken: size(8),
      width: size(140),
      isWeighted: fc.boolean(),
      accumulate: fc.boolean(),
    }),
    runs: 40,
    always: [{ ...MANY, isWeighted: true, accumulate: true }],
    lay: (bench, { tokens, perToken, width, isWeighted, accumulate }) => {
      const count = tokens * perToken;
      const x = bench.floats([count, width]);
      const all = Int32Array.from({ length: count }, (_, i) => i);
      const rows = bench.random.shuffle(all);
      const weights = isWeighted ? bench.floats([tokens, perToken]) : undefined;
      const before = accumulate ? bench.changed('f32', [tokens, width]) : undefined;
      const out = before?.tensor ?? bench.output([tokens, width]);
      bench.kernels.unpermute({
        out_TD: out,
        x_RD: x.tensor,
        row_TK: bench.ints([tokens, perToken], rows).tensor,
        ...(weights ? { weights_TK: weights.tensor } : {}),
        accumulate,
      });
      bench.expect(out, () =>
        sums({
          count: tokens * width,
          numTerms: perToken,
          before: before?.values,
          term: (element, k) => {
            const slot = Math.floor(element / width) * perToken + k;
            const value = at(x.values, at(rows, slot) * width + (element % width));
            return value * (weights ? at(weights.values, slot) : 1);
          },
        }),
      );
    },
  }),
  kernelCase({
    name: 'unpermuteBackward: rows get weight · dOut, weights get dOut · row',
    shapes: fc.record({ tokens: sizeOrNone(20), perToken: size(8), width: size(140) }),
    always: [MANY],
    lay: (bench, { tokens, perToken, width }) => {
      const count = tokens * perToken;
      const slots = bench.random.shuffle(Int32Array.from({ length: count }, (_, i) => i));
      const rows = new Int32Array(count);
      slots.forEach((slot, row) => {
        rows[slot] = row;
      });
      const weights = bench.floats([tokens, perToken]);
      const dOut = bench.floats([tokens, width]);
      const x = bench.floats([count, width]);
      const dX = bench.output([count, width]);
      const dWeights = bench.output([tokens, perToken]);
      bench.kernels.unpermuteBackwardInput({
        dX_RD: dX,
        dOut_TD: dOut.tensor,
        slot_R: bench.ints([count], slots).tensor,
        weights_TK: weights.tensor,
      });
      bench.kernels.unpermuteBackwardWeights({
        dWeights_TK: dWeights,
        dOut_TD: dOut.tensor,
        x_RD: x.tensor,
        row_TK: bench.ints([tokens, perToken], rows).tensor,
      });
      bench.expect(dX, () =>
        each({
          count: count * width,
          roundings: 1,
          value: (i) => {
            const slot = at(slots, Math.floor(i / width));
            const token = Math.floor(slot / perToken);
            return at(weights.values, slot) * at(dOut.values, token * width + (i % width));
          },
        }),
      );
      bench.expect(dWeights, () =>
        sums({
          count,
          numTerms: width,
          term: (slot, i) => {
            const token = Math.floor(slot / perToken);
            return at(dOut.values, token * width + i) * at(x.values, at(rows, slot) * width + i);
          },
        }),
      );
    },
  }),
];
