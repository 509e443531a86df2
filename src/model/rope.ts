/**
 * Rotary position embedding with YaRN, as tables of cosines and sines.
 *
 * Adjacent pairs (2i, 2i+1) of the rope part form one complex number, turned by position ·
 * frequency of pair i. YaRN (Peng et al., 2023) stretches a trained context by `factor`: fast pairs
 * stay, slow ones are divided by it, with a linear ramp in between; the softmax scale grows by m².
 *
 * Angles are taken in float64: in float32 they are off by 1.6e-3 at position 163,839.
 */
import { MoebiusError } from '../base/errors.ts';
import type { ModelConfig, YarnScaling } from '../config/modelConfig.ts';
import type { F32, Kernels } from '../kernels/kernels.ts';
import type { Arena } from '../tensor/arena.ts';

export type RopeConfig = Pick<
  ModelConfig,
  'qkRopeHeadDim' | 'qkNopeHeadDim' | 'ropeTheta' | 'ropeScaling'
>;

/** One angle per position for each pair of the rope part, in radians. */
export function ropeFrequencies(config: RopeConfig): Float64Array {
  const { qkRopeHeadDim: dim, ropeTheta: theta, ropeScaling: yarn } = config;
  const frequencies = Float64Array.from({ length: dim / 2 }, (_, i) => theta ** ((-2 * i) / dim));
  if (yarn === null) return frequencies;
  const { low, high } = yarnRamp(config, yarn);
  return frequencies.map((frequency, i) => {
    const ramp = Math.min(1, Math.max(0, (i - low) / (high - low)));
    return frequency * (1 - ramp) + (frequency / yarn.factor) * ramp;
  });
}

/**
 * Between which pairs the ramp runs: those that turn `betaFast` and `betaSlow` times over the
 * original context. `high` is bounded by the dim, not by the number of pairs, as in the original.
 */
export function yarnRamp(config: RopeConfig, yarn: YarnScaling): { low: number; high: number } {
  const { qkRopeHeadDim: dim, ropeTheta: theta } = config;
  const pairTurning = (rotations: number): number =>
    (dim * Math.log(yarn.originalMaxPositionEmbeddings / (2 * Math.PI * rotations))) /
    (2 * Math.log(theta));
  const low = Math.max(Math.floor(pairTurning(yarn.betaFast)), 0);
  const high = Math.min(Math.ceil(pairTurning(yarn.betaSlow)), dim - 1);
  return { low, high: low === high ? high + 0.001 : high };
}

/** (N + P)^-½, times m² under YaRN, at any position, also below the original context. */
export function softmaxScale(config: RopeConfig): number {
  const { qkNopeHeadDim, qkRopeHeadDim, ropeScaling: yarn } = config;
  const plain = (qkNopeHeadDim + qkRopeHeadDim) ** -0.5;
  return yarn === null ? plain : plain * yarnMagnitude(yarn.factor, yarn.mscaleAllDim) ** 2;
}

/** What multiplies cosines and sines: 1 in every released model, where both mscales agree. */
export function rotationMagnitude(yarn: YarnScaling | null): number {
  if (yarn === null) return 1;
  return yarnMagnitude(yarn.factor, yarn.mscale) / yarnMagnitude(yarn.factor, yarn.mscaleAllDim);
}

/** The table that `rope` reads: `[positions, P/2, 2]`, cosine then sine of each pair. */
export function ropeTable(config: RopeConfig, numPositions: number): Float32Array<ArrayBuffer> {
  const frequencies = ropeFrequencies(config);
  const magnitude = rotationMagnitude(config.ropeScaling);
  const table = new Float32Array(numPositions * frequencies.length * 2);
  let next = 0;
  for (let position = 0; position < numPositions; position++) {
    for (const frequency of frequencies) {
      table[next++] = Math.cos(position * frequency) * magnitude;
      table[next++] = Math.sin(position * frequency) * magnitude;
    }
  }
  return table;
}

/** @throws config.invalid when the rope part has no pairs */
export function createRopeTable(args: {
  kernels: Kernels;
  arena: Arena;
  config: RopeConfig;
  numPositions: number;
}): F32 {
  const { kernels, arena, config, numPositions } = args;
  if (config.qkRopeHeadDim < 2 || config.qkRopeHeadDim % 2 !== 0) {
    throw new MoebiusError('config.invalid', 'the rope part must consist of pairs', {
      values: { qkRopeHeadDim: config.qkRopeHeadDim },
      hint: 'Set qkRopeHeadDim to an even number, 2 or more.',
    });
  }
  const table = arena.allocate('f32', [numPositions, config.qkRopeHeadDim / 2, 2]);
  kernels.write(table, ropeTable(config, numPositions));
  return table;
}

function yarnMagnitude(factor: number, mscale: number): number {
  return factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1;
}
