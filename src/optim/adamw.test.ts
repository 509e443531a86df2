/** AdamW against its formula step by step, what decays, and what is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createReferenceKernels } from '../kernels/reference.ts';
import {
  type AdamWStep,
  adamwStep,
  createOptimizerState,
  type MomentDType,
  type OptimisedTensor,
} from './adamw.ts';

const kernels = createReferenceKernels({ poison: true });
const settings: AdamWStep = {
  step: 1,
  learningRate: 0.01,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.1,
  gradientScale: 1,
};

function tensorOf(name: string, shape: readonly number[]): OptimisedTensor {
  const arena = kernels.createArena(name);
  const value = arena.allocate('f32', shape);
  const gradient = arena.allocate('f32', shape);
  kernels.fill({ out: value, value: 1 });
  kernels.fill({ out: gradient, value: 0 });
  return { name, value, gradient, isDecayed: shape.length > 1 };
}

/** The textbook in float64, for one number. */
function textbook(
  start: number,
  gradients: readonly number[],
  decay: number,
  scale: number,
): number {
  let [value, first, second] = [start, 0, 0];
  for (const [index, raw] of gradients.entries()) {
    const gradient = raw * scale;
    first = settings.beta1 * first + (1 - settings.beta1) * gradient;
    second = settings.beta2 * second + (1 - settings.beta2) * gradient ** 2;
    const firstHat = first / (1 - settings.beta1 ** (index + 1));
    const secondHat = second / (1 - settings.beta2 ** (index + 1));
    value -= settings.learningRate * decay * value;
    value -= (settings.learningRate * firstHat) / (Math.sqrt(secondHat) + settings.epsilon);
  }
  return value;
}

for (const [dtype, tolerance] of [
  ['f32', 1e-6],
  // Eight bits of mantissa in the moments: an update of 0.01 is uncertain by about 1 %.
  ['bf16', 5e-4],
] as [MomentDType, number][]) {
  test(`AdamW with ${dtype} moments follows its formula, and decays matrices only`, async () => {
    const parameters = [tensorOf('matrix', [1, 2]), tensorOf('gain', [2])];
    const arena = kernels.createArena('moments');
    const state = createOptimizerState({ kernels, arena, parameters, dtype });
    const gradients = [
      [0.5, -2],
      [0.1, 3],
      [-0.7, 0.2],
    ];
    for (const [index, values] of gradients.entries()) {
      for (const { gradient } of parameters) kernels.write(gradient, Float32Array.from(values));
      const step = { ...settings, step: index + 1, gradientScale: 0.5 };
      adamwStep({ kernels, parameters, state, settings: step });
    }
    for (const { value, isDecayed, name } of parameters) {
      for (const [i, actual] of (await kernels.read(value)).entries()) {
        const series = gradients.map((values) => values[i] ?? 0);
        const expected = textbook(1, series, isDecayed ? 0.1 : 0, 0.5);
        assert.ok(Math.abs(actual - expected) <= tolerance, `${name}: ${actual}, ${expected}`);
      }
    }
  });
}

test('Settings outside their range are refused before anything moves', async () => {
  const parameters = [tensorOf('matrix', [1, 2])];
  const arena = kernels.createArena('moments');
  const state = createOptimizerState({ kernels, arena, parameters, dtype: 'f32' });
  const wrong: readonly Partial<AdamWStep>[] = [
    { step: 0 },
    { step: 1.5 },
    { learningRate: Number.NaN },
    { learningRate: -1 },
    { beta1: 1 },
    { beta2: -0.1 },
    { epsilon: -1e-8 },
    { weightDecay: Number.POSITIVE_INFINITY },
    { gradientScale: Number.NaN },
  ];
  for (const change of wrong) {
    assert.throws(
      () => adamwStep({ kernels, parameters, state, settings: { ...settings, ...change } }),
      { code: 'optimizer.settings' },
      JSON.stringify(change),
    );
  }
  const [first] = parameters;
  assert(first !== undefined);
  assert.deepEqual([...(await kernels.read(first.value))], [1, 1]);
});
