/** Seconds, not minutes: every part of a V3 model, small enough for a test to train. */
import { TRAIN_DEFAULTS, type TrainConfig } from '../trainConfig.ts';
import type { Derivation, Dials, Recipe } from './recipe.ts';
import { shapeModel } from './shape.ts';

const SEQUENCES = 4;

export const tinyRecipe: Recipe = {
  name: 'tiny',
  summary: 'seconds: for tests and for trying a setting',
  defaultDepth: 2,
  derive,
};

function derive(dials: Dials): Derivation {
  const { depth = 2, length = 64, vocabSize = 512, steps = 20 } = dials;
  const { model, derived } = shapeModel({ depth, vocabSize, length });
  const config: TrainConfig = {
    ...TRAIN_DEFAULTS,
    name: 'tiny',
    seed: dials.seed ?? TRAIN_DEFAULTS.seed,
    steps,
    model,
    tokenizer: { path: null, trainingBytes: 2 ** 17 },
    data: {
      ...TRAIN_DEFAULTS.data,
      sources: [{ path: 'corpus:moby-dick', weight: null }],
      validation: { path: null, share: 0.02, maxBytes: 2 ** 14 },
    },
    batch: { ...TRAIN_DEFAULTS.batch, sequences: SEQUENCES, microBatch: SEQUENCES / 2, length },
    learningRate: { ...TRAIN_DEFAULTS.learningRate, peak: 3e-3, warmupSteps: 4 },
    sample: { ...TRAIN_DEFAULTS.sample, prompts: ['Call me'], tokens: 16 },
  };
  return {
    config,
    derived: [
      ...derived,
      { name: 'tokens', value: steps * SEQUENCES * length, reason: 'enough to see the loss fall' },
      { name: 'steps', value: steps, reason: `of ${SEQUENCES} sequences of ${length} tokens` },
      { name: 'learning rate', value: 3e-3, reason: 'high, for a run of seconds' },
    ],
  };
}
