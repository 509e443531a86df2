/**
 * A model for which MTP speculation is worth the most: deep and narrow, so that the one layer that
 * drafts is a small part of all of them, with a small vocabulary, so that the head is, too, and
 * with most of a layer's width in its shared expert, so that two tokens hardly read more experts
 * than one.
 *
 *     a token reads 12 layers of 1.4 M weights, a draft one layer, a join and the head: about 1/8
 *
 * It reads 65 MB a token in float32, so that memory decides how fast it decodes. It is trained for
 * a fixed number of FLOPs on few tokens: enough for drafts to be accepted, not for a good model.
 */

import type { ModelConfig } from '../modelConfig.ts';
import { flopsPerToken } from '../modelCounts.ts';
import { v3Mini } from '../presets/small.ts';
import { TRAIN_DEFAULTS, type TrainConfig } from '../trainConfig.ts';
import type { Derivation, Dials, Recipe } from './recipe.ts';

export const DEEP_BUDGET_FLOPS = 1.3e13;

const DEFAULT_DEPTH = 12;
const SEQUENCES = 4;
const PEAK = 1.5e-3;
/** As `start`: hundreds of steps to spread the load. */
const BIAS_SPEED = 0.01;

export const deepRecipe: Recipe = {
  name: 'deep',
  summary: 'deep and narrow, for speculation: three minutes on two cores',
  defaultDepth: DEFAULT_DEPTH,
  derive,
};

function derive(dials: Dials): Derivation {
  const { depth = DEFAULT_DEPTH, length = 256, vocabSize = 512 } = dials;
  const model = deepModel({ depth, length, vocabSize });
  const flops = flopsPerToken(model, { context: length, causal: true, mtp: true, training: true });
  const tokensPerStep = SEQUENCES * length;
  const steps = dials.steps ?? Math.max(20, Math.round(DEEP_BUDGET_FLOPS / flops / tokensPerStep));
  const warmupSteps = Math.max(1, Math.min(20, Math.round(steps / 10)));
  const { numExpertsPerTok, nRoutedExperts, nSharedExperts } = model;
  const experts = `${numExpertsPerTok} of ${nRoutedExperts}, ${nSharedExperts}`;
  const every = Math.max(10, Math.round(steps / 2));
  const config: TrainConfig = {
    ...TRAIN_DEFAULTS,
    name: 'deep',
    seed: dials.seed ?? TRAIN_DEFAULTS.seed,
    steps,
    model,
    tokenizer: { path: null, trainingBytes: 2 ** 20 },
    data: {
      ...TRAIN_DEFAULTS.data,
      sources: [{ path: 'corpus:sotu', weight: null }],
      validation: { path: null, share: 0.02, maxBytes: 2 ** 18 },
    },
    batch: { ...TRAIN_DEFAULTS.batch, sequences: SEQUENCES, microBatch: SEQUENCES, length },
    learningRate: { ...TRAIN_DEFAULTS.learningRate, peak: PEAK, warmupSteps },
    balance: { ...TRAIN_DEFAULTS.balance, biasSpeed: BIAS_SPEED },
    evaluation: { ...TRAIN_DEFAULTS.evaluation, every },
    sample: { ...TRAIN_DEFAULTS.sample, every, prompts: ['The people of the United States'] },
  };
  return {
    config,
    derived: [
      { name: 'layers', value: depth, reason: 'the dial' },
      { name: 'hidden size', value: model.hiddenSize, reason: 'narrow: a draft is one layer' },
      {
        name: 'experts',
        value: `${experts} shared`,
        reason: 'two tokens share most of what they read',
      },
      {
        name: 'vocabulary',
        value: vocabSize,
        reason: 'byte-level BPE; a draft reads the head, too',
      },
      { name: 'tokens', value: steps * tokensPerStep, reason: 'by the budget of FLOPs' },
      { name: 'steps', value: steps, reason: `of ${SEQUENCES} sequences of ${length} tokens` },
      {
        name: 'FLOPs',
        value: flops * steps * tokensPerStep,
        reason: 'forward and backward, MTP too',
      },
      { name: 'learning rate', value: PEAK, reason: 'high, for a run of minutes' },
      { name: 'warm-up steps', value: warmupSteps, reason: 'a tenth of the run, at most 20' },
    ],
  };
}

function deepModel(shape: { depth: number; length: number; vocabSize: number }): ModelConfig {
  const moeIntermediateSize = 96;
  const [nSharedExperts, numExpertsPerTok] = [8, 2];
  return {
    ...v3Mini,
    vocabSize: shape.vocabSize,
    hiddenSize: 384,
    numHiddenLayers: shape.depth,
    moeIntermediateSize,
    nRoutedExperts: 8,
    numExpertsPerTok,
    nSharedExperts,
    // As wide as the experts a token meets, as in V3.
    intermediateSize: (numExpertsPerTok + nSharedExperts) * moeIntermediateSize,
    maxPositionEmbeddings: Math.max(1024, 4 * shape.length),
    initializerRange: 0.03,
  };
}
