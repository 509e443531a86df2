/**
 * What `npm start` trains: a whole V3-architecture model on real English text, in about two
 * minutes of two ordinary cores.
 *
 * The budget is FLOPs: 9·10¹², two minutes at 75 GFLOP/s. Steps follow from it at the default
 * depth and stay in proportion to the active parameters at others, so that a deeper model sees
 * enough text to be worth it.
 */
import { activeParameters, flopsPerToken } from '../modelCounts.ts';
import { TRAIN_DEFAULTS, type TrainConfig } from '../trainConfig.ts';
import type { Derivation, Dials, Recipe } from './recipe.ts';
import { shapeModel } from './shape.ts';

export const START_BUDGET_FLOPS = 9e12;

const DEFAULT_DEPTH = 4;
const LENGTH = 256;
const SEQUENCES = 8;
const VOCAB_SIZE = 2048;
const PEAK = 3e-3;
/** Ten times V3's: biases have hundreds of steps to spread the load, not 235 thousand. */
const BIAS_SPEED = 0.01;
/**
 * Standard deviation of fresh weights at width 128; the one that suits a width falls with its root,
 * and at V3's 7168 this law gives 0.0067 where the report took 0.006.
 */
const INITIALIZER_RANGE = 0.05;

export const startRecipe: Recipe = {
  name: 'start',
  summary: 'a first model in minutes: English text on two cores',
  defaultDepth: DEFAULT_DEPTH,
  derive,
};

function derive(dials: Dials): Derivation {
  const { depth = DEFAULT_DEPTH, length = LENGTH, vocabSize = VOCAB_SIZE } = dials;
  const { model: shaped, derived } = shapeModel({ depth, vocabSize, length });
  const deviation = INITIALIZER_RANGE * Math.sqrt(128 / shaped.hiddenSize);
  const model = { ...shaped, initializerRange: Number(deviation.toPrecision(3)) };
  const flops = flopsPerToken(model, { context: length, causal: true, mtp: true, training: true });
  const tokensPerStep = SEQUENCES * length;
  const tokensPerParameter = startTokensPerParameter();
  const active = activeParameters(model).withHead;
  const wanted = Math.round((tokensPerParameter * active) / tokensPerStep);
  const steps = dials.steps ?? Math.max(20, Math.round(wanted / 10) * 10);
  // Width is what limits the rate: the update of a weight meets `hidden` inputs (muP's 1/width).
  const peak = PEAK * (128 / model.hiddenSize);
  const warmupSteps = Math.max(1, Math.min(60, Math.round(steps / 20)));
  const every = Math.max(10, Math.round(steps / 3 / 10) * 10);
  const config: TrainConfig = {
    ...TRAIN_DEFAULTS,
    name: depth === DEFAULT_DEPTH ? 'start' : `start-${depth}`,
    seed: dials.seed ?? TRAIN_DEFAULTS.seed,
    steps,
    model,
    batch: { ...TRAIN_DEFAULTS.batch, sequences: SEQUENCES, microBatch: SEQUENCES, length },
    learningRate: { ...TRAIN_DEFAULTS.learningRate, peak, warmupSteps },
    balance: { ...TRAIN_DEFAULTS.balance, biasSpeed: BIAS_SPEED },
    evaluation: { ...TRAIN_DEFAULTS.evaluation, every },
    sample: {
      ...TRAIN_DEFAULTS.sample,
      every,
      prompts: ['The people of the United States', 'Call me Ishmael.'],
    },
  };
  return {
    config,
    derived: [
      ...derived,
      {
        name: 'tokens',
        value: steps * tokensPerStep,
        reason: `${tokensPerParameter.toFixed(2)} per active parameter, by the budget`,
      },
      { name: 'steps', value: steps, reason: `of ${SEQUENCES} sequences of ${length} tokens` },
      {
        name: 'FLOPs',
        value: flops * steps * tokensPerStep,
        reason: 'forward and backward, MTP too',
      },
      { name: 'learning rate', value: peak, reason: `${PEAK} at width 128, falling as 1/width` },
      {
        name: 'bias speed',
        value: BIAS_SPEED,
        reason: '10 times V3, for a run of hundreds of steps',
      },
      {
        name: 'initial weights',
        value: model.initializerRange,
        reason: `deviation; ${INITIALIZER_RANGE} at width 128, falling as 1/√width`,
      },
      { name: 'warm-up steps', value: warmupSteps, reason: 'a twentieth of the run, at most 60' },
    ],
  };
}

/** Tokens per active parameter that use up the budget at the default dials. */
function startTokensPerParameter(): number {
  const shape = { depth: DEFAULT_DEPTH, vocabSize: VOCAB_SIZE, length: LENGTH };
  const { model } = shapeModel(shape);
  const flops = flopsPerToken(model, { context: LENGTH, causal: true, mtp: true, training: true });
  return START_BUDGET_FLOPS / flops / activeParameters(model).withHead;
}
