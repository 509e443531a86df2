/**
 * The model the benchmarks compare on: 33.7 M parameters with its MTP module, steps of 8 × 512
 * tokens, 400 GFLOP each. Its sizes are fixed; only length, steps, vocabulary and depth can move.
 */
import { flopsPerToken } from '../modelCounts.ts';
import { v3Mini } from '../presets/small.ts';
import { TRAIN_DEFAULTS, type TrainConfig } from '../trainConfig.ts';
import type { Derivation, Dials, Recipe } from './recipe.ts';

const SEQUENCES = 8;
const PEAK = 1e-3;

export const v3MiniRecipe: Recipe = {
  name: 'v3-mini',
  summary: 'the benchmark model, 33.7 M parameters: hours on two cores',
  defaultDepth: v3Mini.numHiddenLayers,
  derive,
};

function derive(dials: Dials): Derivation {
  const { depth = v3Mini.numHiddenLayers, length = 512, vocabSize = v3Mini.vocabSize } = dials;
  const steps = dials.steps ?? 2000;
  const model = { ...v3Mini, numHiddenLayers: depth, vocabSize };
  const flops = flopsPerToken(model, { context: length, causal: true, mtp: true, training: true });
  const tokensPerStep = SEQUENCES * length;
  const warmupSteps = Math.max(1, Math.min(100, Math.round(steps / 20)));
  const every = Math.max(1, Math.round(steps / 8));
  const config: TrainConfig = {
    ...TRAIN_DEFAULTS,
    name: 'v3-mini',
    seed: dials.seed ?? TRAIN_DEFAULTS.seed,
    steps,
    model,
    batch: { ...TRAIN_DEFAULTS.batch, sequences: SEQUENCES, microBatch: SEQUENCES, length },
    learningRate: { ...TRAIN_DEFAULTS.learningRate, peak: PEAK, warmupSteps },
    evaluation: { ...TRAIN_DEFAULTS.evaluation, every },
    sample: { ...TRAIN_DEFAULTS.sample, every, prompts: ['The people of the United States'] },
  };
  return {
    config,
    derived: [
      { name: 'layers', value: depth, reason: 'the dial; 8 in the benchmark' },
      { name: 'hidden size', value: model.hiddenSize, reason: 'fixed by the preset' },
      { name: 'vocabulary', value: vocabSize, reason: 'byte-level BPE, trained on the data' },
      { name: 'tokens', value: steps * tokensPerStep, reason: 'steps times batch' },
      { name: 'steps', value: steps, reason: `of ${SEQUENCES} sequences of ${length} tokens` },
      {
        name: 'FLOPs',
        value: flops * steps * tokensPerStep,
        reason: 'forward and backward, MTP too',
      },
      { name: 'learning rate', value: PEAK, reason: 'usual at this size with AdamW' },
      { name: 'warm-up steps', value: warmupSteps, reason: 'a twentieth of the run, at most 100' },
    ],
  };
}
