/** Frequencies, ramps, scales and tables against golden numbers at the real models' settings. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { goldenJson, maxError } from '../../tests/support/golden.ts';
import { createReferenceKernels } from '../kernels/reference.ts';
import {
  createRopeTable,
  type RopeConfig,
  ropeFrequencies,
  ropeTable,
  rotationMagnitude,
  softmaxScale,
  yarnRamp,
} from './rope.ts';

interface GoldenRope {
  readonly config: {
    readonly qk_rope_head_dim: number;
    readonly qk_nope_head_dim: number;
    readonly rope_theta: number;
    readonly rope_scaling: Readonly<Record<string, number>> | null;
  };
  readonly inv_freq: readonly number[];
  readonly range: { readonly low: number | null; readonly high: number | null };
  readonly softmax_scale: number;
  readonly positions: readonly number[];
  readonly cos: readonly (readonly number[])[];
  readonly sin: readonly (readonly number[])[];
}

const golden = goldenJson('rope.json') as Readonly<Record<string, GoldenRope>>;

function configOf({ config }: GoldenRope): RopeConfig {
  const { rope_scaling: yarn } = config;
  return {
    qkRopeHeadDim: config.qk_rope_head_dim,
    qkNopeHeadDim: config.qk_nope_head_dim,
    ropeTheta: config.rope_theta,
    ropeScaling: yarn && {
      type: 'yarn',
      factor: yarn.factor ?? Number.NaN,
      originalMaxPositionEmbeddings: yarn.original_max_position_embeddings ?? Number.NaN,
      betaFast: yarn.beta_fast ?? Number.NaN,
      betaSlow: yarn.beta_slow ?? Number.NaN,
      mscale: yarn.mscale ?? Number.NaN,
      mscaleAllDim: yarn.mscale_all_dim ?? Number.NaN,
    },
  };
}

for (const [name, expected] of Object.entries(golden)) {
  const config = configOf(expected);

  test(`RoPE ${name}: frequencies, ramp and softmax scale are golden`, () => {
    for (const [i, frequency] of ropeFrequencies(config).entries()) {
      const wanted = expected.inv_freq[i] ?? Number.NaN;
      assert.ok(Math.abs(frequency - wanted) <= 1e-14, `pair ${i}: ${frequency}, ${wanted}`);
    }
    if (config.ropeScaling !== null) {
      assert.deepEqual(yarnRamp(config, config.ropeScaling), expected.range);
    }
    assert.ok(Math.abs(softmaxScale(config) - expected.softmax_scale) < 1e-15);
  });

  test(`RoPE ${name}: cosines and sines are golden at every position, the last too`, () => {
    const width = config.qkRopeHeadDim;
    const table = ropeTable(config, Math.max(...expected.positions) + 1);
    for (const [row, position] of expected.positions.entries()) {
      const pairs = table.subarray(position * width, (position + 1) * width);
      const [cos, sin] = [0, 1].map((part) => pairs.filter((_, i) => i % 2 === part));
      assert.ok(maxError(cos ?? [], expected.cos[row] ?? []) <= 1e-6, `cos at ${position}`);
      assert.ok(maxError(sin ?? [], expected.sin[row] ?? []) <= 1e-6, `sin at ${position}`);
    }
  });
}

test('YaRN: mscales that differ stretch the rotation, equal ones do not', () => {
  const yarn = configOf(golden.v3 as GoldenRope).ropeScaling;
  assert(yarn !== null);
  const magnitude = (mscale: number): number => 0.1 * mscale * Math.log(yarn.factor) + 1;
  assert.equal(rotationMagnitude(null), 1);
  assert.equal(rotationMagnitude(yarn), 1);
  const differing = { ...yarn, mscale: 1, mscaleAllDim: 0.5 };
  assert.ok(Math.abs(rotationMagnitude(differing) - magnitude(1) / magnitude(0.5)) < 1e-15);
  assert.equal(rotationMagnitude({ ...differing, factor: 1 }), 1);
});

test('YaRN: a ramp without width is widened, so that no frequency is divided by zero', () => {
  const config = configOf(golden.v3 as GoldenRope);
  assert(config.ropeScaling !== null);
  const yarn = { ...config.ropeScaling, betaFast: 2000, betaSlow: 700 };
  const { low, high } = yarnRamp(config, yarn);
  assert.ok(high > low);
  const frequencies = ropeFrequencies({ ...config, ropeScaling: yarn });
  assert.ok(frequencies.every(Number.isFinite));
});

test('A rope part without pairs is refused', () => {
  const kernels = createReferenceKernels();
  for (const qkRopeHeadDim of [0, 3]) {
    const config = { ...configOf(golden.plain as GoldenRope), qkRopeHeadDim };
    const arena = kernels.createArena('rope');
    assert.throws(() => createRopeTable({ kernels, arena, config, numPositions: 4 }), {
      code: 'config.invalid',
    });
  }
});
