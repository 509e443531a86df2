/**
 * From whatever a YAML or JSON file held to a `TrainConfig`: defaults filled in, every key known,
 * every value of its type, and the values consistent with one another. The first thing that is
 * wrong is reported with its path, its value and what to do.
 */
import { z } from 'zod';
import { MoebiusError, nearestName } from '../base/errors.ts';
import type { ModelConfig } from './modelConfig.ts';
import { TRAIN_DEFAULTS, type TrainConfig } from './trainConfig.ts';
import { validateModelConfig } from './validateModelConfig.ts';

const count = z.int().positive();
const natural = z.int().nonnegative();
const positive = z.number().positive();
const notNegative = z.number().nonnegative();
const share = z.number().min(0).max(1);
const below1 = z.number().min(0).lt(1);

const MODEL: z.ZodType<ModelConfig> = z.strictObject({
  modelType: z.enum(['deepseek_v3', 'deepseek_v2']),
  vocabSize: count,
  hiddenSize: count,
  intermediateSize: count,
  moeIntermediateSize: natural,
  numHiddenLayers: count,
  numNextnPredictLayers: natural,
  firstKDenseReplace: natural,
  moeLayerFreq: count,
  numAttentionHeads: count,
  qLoraRank: count.nullable(),
  kvLoraRank: count,
  qkNopeHeadDim: count,
  qkRopeHeadDim: count,
  vHeadDim: count,
  nRoutedExperts: natural,
  nSharedExperts: natural,
  numExpertsPerTok: natural,
  nGroup: count,
  topkGroup: count,
  topkMethod: z.enum(['noaux_tc', 'group_limited_greedy', 'greedy']),
  scoringFunc: z.enum(['sigmoid', 'softmax']),
  normTopkProb: z.boolean(),
  routedScalingFactor: positive,
  rmsNormEps: positive,
  ropeTheta: positive,
  ropeScaling: z
    .strictObject({
      type: z.literal('yarn'),
      factor: positive,
      originalMaxPositionEmbeddings: count,
      betaFast: positive,
      betaSlow: positive,
      mscale: notNegative,
      mscaleAllDim: notNegative,
    })
    .nullable(),
  maxPositionEmbeddings: count,
  tieWordEmbeddings: z.boolean(),
  bosTokenId: natural.nullable(),
  eosTokenId: z.union([natural, z.array(natural)]).nullable(),
  initializerRange: notNegative,
  torchDtype: z.enum(['float32', 'bfloat16', 'float16']),
  fp8WeightBlock: z.tuple([count, count]).nullable(),
  fp8ScaleFormat: z.literal('ue8m0').exactOptional(),
});

const TRAIN: z.ZodType<TrainConfig> = z.strictObject({
  name: z.string().regex(/^[\w.-]+$/, 'letters, digits, dot, dash and underscore only'),
  directory: z.string().min(1).nullable(),
  seed: natural,
  steps: count,
  model: MODEL,
  tokenizer: z.strictObject({
    path: z.string().min(1).nullable(),
    trainingBytes: count.nullable(),
  }),
  data: z.strictObject({
    sources: z
      .array(z.strictObject({ path: z.string().min(1), weight: positive.nullable() }))
      .min(1),
    validation: z.strictObject({
      path: z.string().min(1).nullable(),
      share: z.number().gt(0).lt(1),
      maxBytes: count,
    }),
    fimRate: share,
  }),
  batch: z.strictObject({
    sequences: count,
    microBatch: count,
    length: count,
    rampFrom: count.nullable(),
    rampTokens: natural,
  }),
  optimizer: z.strictObject({
    beta1: below1,
    beta2: below1,
    epsilon: positive,
    weightDecay: notNegative,
    maxGradientNorm: positive,
  }),
  learningRate: z.strictObject({
    peak: positive,
    warmupSteps: natural,
    constantShare: share,
    cosineShare: share,
    endRatio: share,
    tails: z.array(z.strictObject({ share, ratio: share })),
  }),
  mtp: z.strictObject({ weight: notNegative, finalWeight: notNegative, switchShare: share }),
  balance: z.strictObject({
    coefficient: notNegative,
    form: z.enum(['paper', 'selected']),
    biasSpeed: notNegative,
    freezeShare: share,
  }),
  average: z.strictObject({ decay: below1.nullable() }),
  evaluation: z.strictObject({
    every: count.nullable(),
    weights: z.enum(['current', 'average']),
  }),
  sample: z.strictObject({
    every: count.nullable(),
    prompts: z.array(z.string()),
    tokens: count,
    temperature: notNegative,
    topK: natural,
    topP: z.number().gt(0).max(1),
  }),
  checkpoint: z.strictObject({ every: count.nullable(), keepLast: count }),
  guard: z.strictObject({
    onFault: z.enum(['stop', 'skip', 'rollback']),
    onSpike: z.enum(['stop', 'skip', 'rollback', 'ignore']),
    window: z.int().min(2),
    spikeDeviations: positive,
    spikeNormFactor: positive,
    maxInterventions: natural,
    snapshotEvery: count.nullable(),
  }),
  metrics: z.strictObject({
    tier: z.enum(['brief', 'detailed']),
    maxKeys: count,
    tensorBoard: z.boolean(),
  }),
  machine: z.strictObject({
    kernels: z.enum(['native', 'wasm', 'reference']),
    threads: count.nullable(),
  }),
});

/**
 * @param input an object with at least `name`, `steps` and `model`; a source may be a bare path
 * @param source where it came from, for messages
 * @throws config.type, config.unknownKey, config.missingKey, config.invalid
 */
export function parseTrainConfig(input: unknown, source: string): TrainConfig {
  if (!isRecord(input)) {
    throw new MoebiusError('config.type', `${source}: a training config is an object`, {
      hint: 'Name a recipe, or give a YAML or JSON file with name, steps and model.',
    });
  }
  const merged = withBareSources(merge(TRAIN_DEFAULTS as unknown as Tree, input));
  const result = TRAIN.safeParse(merged);
  if (!result.success) throw explain(result.error.issues, merged, source);
  validateModelConfig(result.data.model, `${source}: model`);
  for (const rule of RULES) {
    const complaint = rule(result.data);
    if (complaint !== null) {
      const { says, hint, values } = complaint;
      throw new MoebiusError('config.invalid', `${source}: ${says}`, { values, hint });
    }
  }
  return result.data;
}

interface Complaint {
  readonly says: string;
  readonly hint: string;
  readonly values: Readonly<Record<string, unknown>>;
}

/** What must hold between values. */
const RULES: readonly ((config: TrainConfig) => Complaint | null)[] = [
  ({ batch }) => {
    const { sequences, microBatch } = batch;
    if (sequences % microBatch === 0) return null;
    return {
      says: `batch.sequences ${sequences} is not a multiple of microBatch ${microBatch}`,
      hint: 'Make a step a whole number of micro-batches.',
      values: { sequences, microBatch },
    };
  },
  ({ batch }) =>
    batch.rampFrom === null ||
    (batch.rampFrom % batch.microBatch === 0 && batch.rampFrom <= batch.sequences)
      ? null
      : {
          says: `batch.rampFrom ${batch.rampFrom} is no start of a ramp to ${batch.sequences}`,
          hint: 'Start at no more, in whole micro-batches, or set rampFrom to null.',
          values: batch as unknown as Tree,
        },
  ({ batch, model }) =>
    batch.length <= model.maxPositionEmbeddings
      ? null
      : {
          says: `batch.length ${batch.length} is above the model's ${model.maxPositionEmbeddings}`,
          hint: 'Shorten batch.length, or raise model.maxPositionEmbeddings.',
          values: { length: batch.length, maxPositionEmbeddings: model.maxPositionEmbeddings },
        },
  ({ batch, model }) =>
    batch.length > model.numNextnPredictLayers
      ? null
      : {
          says: `batch.length ${batch.length} has no room for ${model.numNextnPredictLayers} MTP`,
          hint: 'Lengthen batch.length, or lower model.numNextnPredictLayers.',
          values: { length: batch.length, depth: model.numNextnPredictLayers },
        },
  ({ learningRate }) => {
    const tails = learningRate.tails.reduce((sum, tail) => sum + tail.share, 0);
    const total = learningRate.constantShare + learningRate.cosineShare + tails;
    // Shares such as 10/14.8 do not add up to exactly one in binary.
    if (total <= 1 + 1e-9) return null;
    return {
      says: `the shares of learningRate add up to ${total.toFixed(4)}`,
      hint: 'Keep constantShare, cosineShare and the shares of the tails within 1.',
      values: { total },
    };
  },
  ({ data }) => {
    const weighted = data.sources.filter((source) => source.weight !== null).length;
    if (weighted === 0 || weighted === data.sources.length) return null;
    return {
      says: `${weighted} of ${data.sources.length} data.sources have a weight`,
      hint: 'Give every source a weight, or none to draw by size.',
      values: { sources: data.sources },
    };
  },
  ({ evaluation, average }) =>
    evaluation.weights === 'current' || average.decay !== null
      ? null
      : {
          says: 'evaluation.weights is average, but average.decay is null',
          hint: 'Set average.decay, to 0.999 say, or evaluate the current weights.',
          values: { weights: evaluation.weights, decay: average.decay },
        },
  ({ model }) =>
    model.fp8WeightBlock === null
      ? null
      : {
          says: 'model.fp8WeightBlock is set, but weights are trained in float32',
          hint: 'Set model.fp8WeightBlock to null.',
          values: { fp8WeightBlock: model.fp8WeightBlock },
        },
];

type Tree = Record<string, unknown>;

function isRecord(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `over` on top of `base`; objects merge, everything else replaces. Neither is changed. */
function merge(base: Tree, over: Tree): Tree {
  const merged: Tree = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key];
    merged[key] = isRecord(below) && isRecord(value) ? merge(below, value) : value;
  }
  return merged;
}

/** `sources: [a.txt]` is short for `sources: [{ path: a.txt, weight: null }]`. */
function withBareSources(config: Tree): Tree {
  const data = config.data;
  if (!isRecord(data) || !Array.isArray(data.sources)) return config;
  const sources = data.sources.map((source: unknown) => {
    if (typeof source === 'string') return { path: source, weight: null };
    return isRecord(source) ? { weight: null, ...source } : source;
  });
  return { ...config, data: { ...data, sources } };
}

function explain(issues: readonly z.core.$ZodIssue[], input: Tree, source: string): MoebiusError {
  const unknown = issues.find((issue) => issue.code === 'unrecognized_keys');
  if (unknown !== undefined) return unknownKey(unknown, source);
  const issue = issues[0];
  const path = issue?.path.map(String) ?? [];
  const name = path.join('.');
  const value = valueAt(input, path);
  if (value === undefined) {
    return new MoebiusError('config.missingKey', `${source}: ${name} is missing`, {
      values: { key: name },
      hint: `Add ${name}.`,
    });
  }
  const shown = JSON.stringify(value) ?? String(value);
  return new MoebiusError('config.invalid', `${source}: ${name} is ${shown}: ${issue?.message}`, {
    values: { [name]: value },
    hint: `Set ${name} to a value that fits.`,
  });
}

function unknownKey(
  issue: Extract<z.core.$ZodIssue, { code: 'unrecognized_keys' }>,
  source: string,
): MoebiusError {
  const key = issue.keys[0] ?? '';
  const path = issue.path.map(String);
  const name = [...path, key].join('.');
  const near = nearestName(key, knownKeys(path));
  const suggestion = near === undefined ? undefined : [...path, near].join('.');
  return new MoebiusError('config.unknownKey', `${source}: unknown key ${name}`, {
    values: { key: name, nearest: suggestion },
    hint: suggestion === undefined ? `Remove ${name}.` : `Did you mean ${suggestion}?`,
  });
}

/** The keys that the schema knows at a path; digits step into a list's elements. */
function knownKeys(path: readonly string[]): readonly string[] {
  let schema: unknown = TRAIN;
  for (const step of path) {
    const open = opened(schema);
    schema =
      open instanceof z.ZodArray
        ? open.element
        : open instanceof z.ZodObject
          ? open.shape[step]
          : undefined;
  }
  const last = opened(schema);
  return last instanceof z.ZodObject ? Object.keys(last.shape) : [];
}

function opened(schema: unknown): unknown {
  return schema instanceof z.ZodNullable ? schema.unwrap() : schema;
}

function valueAt(tree: unknown, path: readonly string[]): unknown {
  let value: unknown = tree;
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Tree)[step];
  }
  return value;
}
