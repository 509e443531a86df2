/** The contract of the embedding and of the head with its loss. */
import fc from 'fast-check';
import { at } from '../../src/base/assert.ts';
import type { F32 } from '../../src/kernels/kernels.ts';
import { type KernelCase, kernelCase, size, sizeOrNone, weightDTypes } from './kernelCase.ts';
import { type Expectation, exactly, gradient, once, withinLargest } from './oracle.ts';
import type { Operand, WeightDType, WeightOperand, Workbench } from './workbench.ts';

export const endCases: readonly KernelCase[] = [
  kernelCase({
    name: 'embedding: the row of each id, in every weight dtype',
    shapes: fc.record({
      tokens: sizeOrNone(20),
      vocabulary: size(140),
      width: size(140),
      dtype: weightDTypes,
    }),
    runs: 40,
    always: [
      { tokens: 150, vocabulary: 300, width: 131, dtype: 'f32' },
      { tokens: 150, vocabulary: 300, width: 131, dtype: 'f8e4m3' },
    ],
    lay: (bench, { tokens, vocabulary, width, dtype }) => {
      const table = bench.weight(dtype, [vocabulary, width]);
      const ids = Array.from({ length: tokens }, () => bench.random.integer(vocabulary));
      const out = bench.output([tokens, width]);
      const idTensor = bench.ints([tokens], ids).tensor;
      bench.kernels.embedding({ out_TD: out, table_VD: table.weight, ids_T: idTensor });
      bench.expect(out, () =>
        exactly(
          // A code times its scale is rounded once; other dtypes are exact in float32.
          Float32Array.from({ length: tokens * width }, (_, i) =>
            at(table.values, at(ids, Math.floor(i / width)) * width + (i % width)),
          ),
        ),
      );
    },
  }),
  kernelCase({
    name: 'embeddingBackward: adds each row in token order, to the last bit',
    shapes: fc.record({ tokens: sizeOrNone(64), vocabulary: size(20), width: size(140) }),
    always: [{ tokens: 400, vocabulary: 50, width: 131 }],
    lay: (bench, { tokens, vocabulary, width }) => {
      const dTable = bench.changed('f32', [vocabulary, width]);
      const dOut = bench.floats([tokens, width]);
      const ids = Array.from({ length: tokens }, () => bench.random.integer(vocabulary));
      bench.kernels.embeddingBackward({
        dTable_VD: dTable.tensor,
        dOut_TD: dOut.tensor,
        ids_T: bench.ints([tokens], ids).tensor,
      });
      bench.expect(dTable.tensor, () => {
        const sum = Float32Array.from(dTable.values);
        ids.forEach((id, t) => {
          for (let i = 0; i < width; i++) {
            sum[id * width + i] = at(sum, id * width + i) + at(dOut.values, t * width + i);
          }
        });
        return exactly(sum);
      });
    },
  }),
  kernelCase({
    name: 'headCrossEntropy: −log p of each target in every head dtype, 0 where ignored',
    shapes: fc.record({
      tokens: sizeOrNone(30),
      vocabulary: size(200),
      width: size(70),
      dtype: weightDTypes,
    }),
    always: [{ tokens: 150, vocabulary: 1100, width: 20, dtype: 'f32' }],
    lay: (bench, shape) => {
      const { losses, h, head, targets } = layHead(bench, shape);
      bench.kernels.headCrossEntropy({
        losses_T: losses,
        h_TD: h.tensor,
        head_VD: head.weight,
        targets_T: targets.tensor,
      });
      bench.expect(losses, () => lossesOf({ h, head, targets }, shape));
    },
  }),
  kernelCase({
    name: 'headCrossEntropy: logits of thousands give a finite loss',
    shapes: fc.record({ tokens: size(5), vocabulary: size(70), width: size(9) }),
    runs: 8,
    lay: (bench, { tokens, vocabulary, width }) => {
      const h = bench.floats(
        [tokens, width],
        bench.normal([tokens, width]).map((x) => 1000 * x),
      );
      const head = bench.weight('f32', [vocabulary, width]);
      const targets = Int32Array.from({ length: tokens }, () => bench.random.integer(vocabulary));
      const losses = bench.output([tokens]);
      bench.kernels.headCrossEntropy({
        losses_T: losses,
        h_TD: h.tensor,
        head_VD: head.weight,
        targets_T: bench.ints([tokens], targets).tensor,
      });
      bench.expect(losses, () => ({
        values: Float64Array.from(targets, (target, t) =>
          lossOf(logitsOf(h.values, head.values, { t, vocabulary, width }), target),
        ),
        // Logits around 5,000 have an error of 5,000 · width · 2⁻²⁴.
        bounds: 0.02,
      }));
    },
  }),
  kernelCase({
    name: 'headCrossEntropy: both gradients by finite differences, the head’s added',
    shapes: fc.record({
      tokens: sizeOrNone(4),
      vocabulary: size(17),
      width: size(9),
      dtype: weightDTypes,
    }),
    runs: 30,
    lay: layHeadGradients,
  }),
  kernelCase({
    name: 'headCrossEntropy: gradients over many rows and words',
    shapes: fc.constant({ tokens: 140, vocabulary: 300, width: 40, dtype: 'f32' as const }),
    runs: 2,
    lay: (bench, shape) => {
      const { tokens, vocabulary, width } = shape;
      const { losses, h, head, targets } = layHead(bench, shape);
      const dH = bench.output([tokens, width]);
      const dHead = bench.changed('f32', [vocabulary, width]);
      bench.kernels.headCrossEntropy({
        losses_T: losses,
        h_TD: h.tensor,
        head_VD: head.weight,
        targets_T: targets.tensor,
        gradients: { dH_TD: dH, dHead_VD: dHead.tensor, gradientScale: 0.25 },
      });
      const expected = once(() => headGradients({ h, head, targets, gradientScale: 0.25 }, shape));
      bench.expect(dH, () => withinLargest(expected().dH, 1e-5));
      bench.expect(dHead.tensor, () => {
        const added = expected().dHead.map((value, i) => value + at(dHead.values, i));
        return withinLargest(added, 1e-5);
      });
    },
  }),
];

interface HeadShape {
  readonly tokens: number;
  readonly vocabulary: number;
  readonly width: number;
}

interface HeadOperands {
  readonly h: Operand<'f32'>;
  readonly head: WeightOperand;
  readonly targets: Operand<'i32'>;
}

/** A third of the rows is ignored. */
function layHead(
  bench: Workbench,
  { tokens, vocabulary, width, dtype }: HeadShape & { readonly dtype: WeightDType },
): HeadOperands & { readonly losses: F32 } {
  const targets = Array.from({ length: tokens }, () =>
    bench.random.integer(3) === 0 ? -1 : bench.random.integer(vocabulary),
  );
  return {
    losses: bench.output([tokens]),
    h: bench.floats([tokens, width]),
    head: bench.weight(dtype, [vocabulary, width]),
    targets: bench.ints([tokens], targets),
  };
}

function layHeadGradients(
  bench: Workbench,
  shape: HeadShape & { readonly dtype: WeightDType },
): void {
  const { tokens, vocabulary, width } = shape;
  const { losses, h, head, targets } = layHead(bench, shape);
  const gradientScale = 0.37;
  const dH = bench.output([tokens, width]);
  const dHead = bench.changed('f32', [vocabulary, width]);
  bench.kernels.headCrossEntropy({
    losses_T: losses,
    h_TD: h.tensor,
    head_VD: head.weight,
    targets_T: targets.tensor,
    gradients: { dH_TD: dH, dHead_VD: dHead.tensor, gradientScale },
  });
  const total = (hidden: ArrayLike<number>, weights: ArrayLike<number>): number => {
    let sum = 0;
    for (let t = 0; t < tokens; t++) {
      sum +=
        gradientScale * lossOf(logitsOf(hidden, weights, { t, ...shape }), at(targets.values, t));
    }
    return sum;
  };
  bench.expect(losses, () => lossesOf({ h, head, targets }, shape));
  bench.expect(dH, () =>
    withinLargest(
      gradient((x) => total(x, head.values), h.values),
      1e-5,
      gradientScale,
    ),
  );
  bench.expect(dHead.tensor, () => {
    const slope = gradient((x) => total(h.values, x), head.values);
    return withinLargest(
      slope.map((value, i) => value + at(dHead.values, i)),
      1e-5,
      gradientScale,
    );
  });
}

function logitsOf(
  h: ArrayLike<number>,
  head: ArrayLike<number>,
  {
    t,
    vocabulary,
    width,
  }: { readonly t: number; readonly vocabulary: number; readonly width: number },
): Float64Array {
  const logits = new Float64Array(vocabulary);
  for (let v = 0; v < vocabulary; v++) {
    let sum = 0;
    for (let i = 0; i < width; i++) sum += at(h, t * width + i) * at(head, v * width + i);
    logits[v] = sum;
  }
  return logits;
}

function logSumExp(logits: Float64Array): number {
  const most = Math.max(...logits);
  return most + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0));
}

function lossOf(logits: Float64Array, target: number): number {
  return target < 0 ? 0 : logSumExp(logits) - at(logits, target);
}

/** 1e-5 is what the goldens ask of losses; it is asked of each row's here. */
function lossesOf({ h, head, targets }: HeadOperands, shape: HeadShape): Expectation {
  const values = Float64Array.from(targets.values, (target, t) =>
    lossOf(logitsOf(h.values, head.values, { t, ...shape }), target),
  );
  const bounds = values.map((value, t) => (targets.values[t] === -1 ? 0 : 1e-5 * (1 + value)));
  return { values, bounds };
}

/** By dz = softmax(z) − onehot(target). */
function headGradients(
  { h, head, targets, gradientScale }: HeadOperands & { readonly gradientScale: number },
  { tokens, vocabulary, width }: HeadShape,
): { dH: Float64Array; dHead: Float64Array } {
  const dH = new Float64Array(tokens * width);
  const dHead = new Float64Array(vocabulary * width);
  for (let t = 0; t < tokens; t++) {
    const target = at(targets.values, t);
    if (target < 0) continue;
    const logits = logitsOf(h.values, head.values, { t, vocabulary, width });
    const total = logSumExp(logits);
    for (let v = 0; v < vocabulary; v++) {
      const dLogit = gradientScale * (Math.exp(at(logits, v) - total) - (v === target ? 1 : 0));
      for (let i = 0; i < width; i++) {
        dH[t * width + i] = at(dH, t * width + i) + dLogit * at(head.values, v * width + i);
        dHead[v * width + i] = at(dHead, v * width + i) + dLogit * at(h.values, t * width + i);
      }
    }
  }
  return { dH, dHead };
}
