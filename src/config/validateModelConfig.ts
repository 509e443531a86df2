/**
 * What the numbers of a model must satisfy among themselves, whoever wrote them: a `config.json`, a
 * preset, a recipe. One rule per line below; the first one broken is reported with its values.
 */
import { MoebiusError } from '../base/errors.ts';
import type { ModelConfig } from './modelConfig.ts';

interface Rule {
  readonly isMet: (config: ModelConfig) => boolean;
  readonly says: string;
  readonly keys: readonly (keyof ModelConfig)[];
  readonly hint: string;
}

/** Far above any published model: a hostile file must not make us count tensors for ever. */
const LARGEST_DIM = 2 ** 24;
const MOST_EXPERTS_IN_ALL = 2 ** 20;

const POSITIVE: readonly (keyof ModelConfig)[] = [
  'vocabSize',
  'hiddenSize',
  'intermediateSize',
  'numHiddenLayers',
  'moeLayerFreq',
  'numAttentionHeads',
  'kvLoraRank',
  'qkNopeHeadDim',
  'qkRopeHeadDim',
  'vHeadDim',
  'nGroup',
  'topkGroup',
  'maxPositionEmbeddings',
];
const NOT_NEGATIVE: readonly (keyof ModelConfig)[] = [
  'moeIntermediateSize',
  'numNextnPredictLayers',
  'firstKDenseReplace',
  'nRoutedExperts',
  'nSharedExperts',
  'numExpertsPerTok',
];
const POSITIVE_NUMBERS: readonly (keyof ModelConfig)[] = ['rmsNormEps', 'routedScalingFactor'];

const hasExperts = (config: ModelConfig): boolean => config.nRoutedExperts > 0;
const isGrouped = (config: ModelConfig): boolean =>
  hasExperts(config) && config.topkMethod !== 'greedy';
const expertsPerGroup = (config: ModelConfig): number => config.nRoutedExperts / config.nGroup;

const RULES: readonly Rule[] = [
  {
    isMet: (c) => c.qLoraRank === null || isCount(c.qLoraRank, 1),
    says: 'qLoraRank is neither null nor a positive integer',
    keys: ['qLoraRank'],
    hint: 'Give the rank, or null for a query projected in one step.',
  },
  {
    isMet: (c) => c.qkRopeHeadDim % 2 === 0,
    says: 'qkRopeHeadDim is odd, but RoPE rotates pairs',
    keys: ['qkRopeHeadDim'],
    hint: 'Make qkRopeHeadDim even.',
  },
  {
    isMet: (c) => c.numHiddenLayers <= 10_000 && c.numNextnPredictLayers <= 100,
    says: 'the model has more layers than make sense',
    keys: ['numHiddenLayers', 'numNextnPredictLayers'],
    hint: 'Keep to 10,000 layers and 100 MTP layers.',
  },
  {
    isMet: (c) => c.firstKDenseReplace <= c.numHiddenLayers || !hasExperts(c),
    says: 'firstKDenseReplace is larger than numHiddenLayers',
    keys: ['firstKDenseReplace', 'numHiddenLayers'],
    hint: 'Lower firstKDenseReplace; equal to numHiddenLayers every main layer is dense.',
  },
  {
    isMet: (c) => c.nRoutedExperts * (c.numHiddenLayers + 1) <= MOST_EXPERTS_IN_ALL,
    says: 'the model has more experts than make sense',
    keys: ['nRoutedExperts', 'numHiddenLayers'],
    hint: `Keep experts × layers to ${MOST_EXPERTS_IN_ALL}.`,
  },
  {
    isMet: (c) => !hasExperts(c) || c.moeIntermediateSize > 0,
    says: 'routed experts have no width',
    keys: ['nRoutedExperts', 'moeIntermediateSize'],
    hint: 'Give moeIntermediateSize, or set nRoutedExperts to 0 for a dense model.',
  },
  {
    isMet: (c) =>
      !hasExperts(c) || (c.numExpertsPerTok >= 1 && c.numExpertsPerTok <= c.nRoutedExperts),
    says: 'numExpertsPerTok is outside 1 … nRoutedExperts',
    keys: ['numExpertsPerTok', 'nRoutedExperts'],
    hint: 'Choose at least one expert per token and at most as many as there are.',
  },
  {
    isMet: (c) => hasExperts(c) || (c.numExpertsPerTok === 0 && c.nSharedExperts === 0),
    says: 'a dense model (no routed experts) cannot choose or share experts',
    keys: ['nRoutedExperts', 'numExpertsPerTok', 'nSharedExperts'],
    hint: 'Set numExpertsPerTok and nSharedExperts to 0, or give nRoutedExperts.',
  },
  {
    isMet: (c) => !isGrouped(c) || Number.isInteger(expertsPerGroup(c)),
    says: 'nRoutedExperts is not a multiple of nGroup',
    keys: ['nRoutedExperts', 'nGroup'],
    hint: 'Make nRoutedExperts a multiple of nGroup: groups are of one size.',
  },
  {
    isMet: (c) => !isGrouped(c) || c.topkGroup <= c.nGroup,
    says: 'topkGroup is larger than nGroup',
    keys: ['topkGroup', 'nGroup'],
    hint: 'Keep at most as many groups as there are.',
  },
  {
    isMet: (c) => !isGrouped(c) || c.numExpertsPerTok <= c.topkGroup * expertsPerGroup(c),
    says: 'the groups that are kept have fewer experts than a token needs',
    keys: ['numExpertsPerTok', 'topkGroup', 'nGroup', 'nRoutedExperts'],
    hint: 'Raise topkGroup, or lower numExpertsPerTok.',
  },
  {
    isMet: (c) =>
      !isGrouped(c) || c.topkMethod !== 'noaux_tc' || c.nGroup === 1 || expertsPerGroup(c) >= 2,
    says: 'noaux_tc scores a group by its two best experts, but groups have one',
    keys: ['nRoutedExperts', 'nGroup'],
    hint: 'Give each group two experts or more, or set nGroup to 1.',
  },
  {
    isMet: (c) => Number.isFinite(c.ropeTheta) && c.ropeTheta > 1,
    says: 'ropeTheta is not a number above 1',
    keys: ['ropeTheta'],
    hint: 'Set ropeTheta to 10000, or to what the weights were trained with.',
  },
  {
    isMet: (c) => Number.isFinite(c.initializerRange) && c.initializerRange >= 0,
    says: 'initializerRange is not a number of 0 or more',
    keys: ['initializerRange'],
    hint: 'Set initializerRange to a standard deviation, such as 0.006.',
  },
  {
    isMet: ({ ropeScaling: yarn }) =>
      yarn === null ||
      (Number.isFinite(yarn.factor) &&
        yarn.factor >= 1 &&
        isCount(yarn.originalMaxPositionEmbeddings, 1) &&
        Number.isFinite(yarn.betaFast) &&
        yarn.betaSlow > 0 &&
        yarn.betaFast >= yarn.betaSlow &&
        Number.isFinite(yarn.mscale) &&
        Number.isFinite(yarn.mscaleAllDim)),
    says: 'ropeScaling is not a valid YaRN setting',
    keys: ['ropeScaling'],
    hint: 'Use factor ≥ 1, betaFast ≥ betaSlow > 0 and the original context length.',
  },
  {
    isMet: (c) => c.fp8WeightBlock === null || c.fp8WeightBlock.every((side) => isCount(side, 1)),
    says: 'fp8WeightBlock is not a pair of positive integers',
    keys: ['fp8WeightBlock'],
    hint: 'Set it to [128, 128], or to null when no weight is FP8.',
  },
  {
    isMet: (c) => tokenIds(c).every((id) => isCount(id, 0) && id < c.vocabSize),
    says: 'a special token id is outside the vocabulary',
    keys: ['bosTokenId', 'eosTokenId', 'vocabSize'],
    hint: 'Use ids below vocabSize, or null where there is no such token.',
  },
];

/**
 * @param source where the config came from, for the message: a file name, a preset
 * @throws config.invalid with the values that disagree
 */
export function validateModelConfig(config: ModelConfig, source: string): void {
  for (const key of POSITIVE) checkCount(config, key, 1, source);
  for (const key of NOT_NEGATIVE) checkCount(config, key, 0, source);
  for (const key of POSITIVE_NUMBERS) {
    const value = config[key];
    if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0) {
      throw invalid(config, source, {
        says: `${key} is not a positive number`,
        keys: [key],
        hint: `Set ${key} to a number above 0.`,
      });
    }
  }
  for (const rule of RULES) {
    if (!rule.isMet(config)) throw invalid(config, source, rule);
  }
}

function checkCount(
  config: ModelConfig,
  key: keyof ModelConfig,
  least: number,
  source: string,
): void {
  const value = config[key];
  // A context may be long without anything of that size being made.
  const most = key === 'maxPositionEmbeddings' ? Number.MAX_SAFE_INTEGER : LARGEST_DIM;
  if (typeof value === 'number' && isCount(value, least) && value <= most) return;
  throw invalid(config, source, {
    says: `${key} is not an integer from ${least} to ${most}`,
    keys: [key],
    hint: `Set ${key} to a whole number.`,
  });
}

function isCount(value: number, least: number): boolean {
  return Number.isSafeInteger(value) && value >= least;
}

function tokenIds(config: ModelConfig): readonly number[] {
  const { bosTokenId, eosTokenId } = config;
  const eos = eosTokenId === null ? [] : typeof eosTokenId === 'number' ? [eosTokenId] : eosTokenId;
  return bosTokenId === null ? eos : [bosTokenId, ...eos];
}

function invalid(config: ModelConfig, source: string, broken: Omit<Rule, 'isMet'>): MoebiusError {
  const values = Object.fromEntries(broken.keys.map((key) => [key, config[key]]));
  const shown = broken.keys.map((key) => `${key} ${JSON.stringify(config[key])}`).join(', ');
  return new MoebiusError('config.invalid', `${source}: ${broken.says} (${shown})`, {
    values,
    hint: broken.hint,
  });
}
