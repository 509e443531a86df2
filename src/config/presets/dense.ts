/**
 * Models with grouped-query attention that the planner compares with V3: dense, and with plain
 * experts. Numbers are those of the published `config.json` files.
 */
import { MoebiusError, nearestName } from '../../base/errors.ts';
import type { GqaModelConfig, PlannedModel } from '../gqaModelConfig.ts';
import { presets } from './presets.ts';

const dense = {
  modelType: 'gqa',
  nRoutedExperts: 0,
  nSharedExperts: 0,
  numExpertsPerTok: 0,
  moeIntermediateSize: 0,
  firstKDenseReplace: 0,
  tieWordEmbeddings: false,
} as const;

export const llama31_405b: GqaModelConfig = {
  ...dense,
  vocabSize: 128256,
  hiddenSize: 16384,
  intermediateSize: 53248,
  numHiddenLayers: 126,
  numAttentionHeads: 128,
  numKeyValueHeads: 8,
  headDim: 128,
  maxPositionEmbeddings: 131072,
};

export const llama31_70b: GqaModelConfig = {
  ...llama31_405b,
  hiddenSize: 8192,
  intermediateSize: 28672,
  numHiddenLayers: 80,
  numAttentionHeads: 64,
};

export const llama31_8b: GqaModelConfig = {
  ...llama31_405b,
  hiddenSize: 4096,
  intermediateSize: 14336,
  numHiddenLayers: 32,
  numAttentionHeads: 32,
};

export const llama2_70b: GqaModelConfig = {
  ...llama31_70b,
  vocabSize: 32000,
  maxPositionEmbeddings: 4096,
};

/** As many keys and values as heads. */
export const llama1_13b: GqaModelConfig = {
  ...dense,
  vocabSize: 32000,
  hiddenSize: 5120,
  intermediateSize: 13824,
  numHiddenLayers: 40,
  numAttentionHeads: 40,
  numKeyValueHeads: 40,
  headDim: 128,
  maxPositionEmbeddings: 2048,
};

export const qwen25_72b: GqaModelConfig = {
  ...dense,
  vocabSize: 152064,
  hiddenSize: 8192,
  intermediateSize: 29568,
  numHiddenLayers: 80,
  numAttentionHeads: 64,
  numKeyValueHeads: 8,
  headDim: 128,
  maxPositionEmbeddings: 131072,
};

const qwen3Moe = {
  modelType: 'gqa',
  vocabSize: 151936,
  headDim: 128,
  numKeyValueHeads: 4,
  nRoutedExperts: 128,
  nSharedExperts: 0,
  numExpertsPerTok: 8,
  firstKDenseReplace: 0,
  tieWordEmbeddings: false,
  maxPositionEmbeddings: 40960,
  qkNorm: true,
} as const;

export const qwen3_235b_a22b: GqaModelConfig = {
  ...qwen3Moe,
  hiddenSize: 4096,
  intermediateSize: 12288,
  numHiddenLayers: 94,
  numAttentionHeads: 64,
  moeIntermediateSize: 1536,
};

export const qwen3_30b_a3b: GqaModelConfig = {
  ...qwen3Moe,
  hiddenSize: 2048,
  intermediateSize: 6144,
  numHiddenLayers: 48,
  numAttentionHeads: 32,
  moeIntermediateSize: 768,
};

export const mixtral_8x7b: GqaModelConfig = {
  modelType: 'gqa',
  vocabSize: 32000,
  hiddenSize: 4096,
  intermediateSize: 14336,
  numHiddenLayers: 32,
  numAttentionHeads: 32,
  numKeyValueHeads: 8,
  headDim: 128,
  nRoutedExperts: 8,
  nSharedExperts: 0,
  numExpertsPerTok: 2,
  moeIntermediateSize: 14336,
  firstKDenseReplace: 0,
  tieWordEmbeddings: false,
  maxPositionEmbeddings: 32768,
};

export const mixtral_8x22b: GqaModelConfig = {
  ...mixtral_8x7b,
  vocabSize: 32768,
  hiddenSize: 6144,
  intermediateSize: 16384,
  numHiddenLayers: 56,
  numAttentionHeads: 48,
  moeIntermediateSize: 16384,
  maxPositionEmbeddings: 65536,
};

/** First-generation dense model of DeepSeek (2401.02954, table 2). */
export const deepseek_67b: GqaModelConfig = {
  ...dense,
  vocabSize: 102400,
  hiddenSize: 8192,
  intermediateSize: 22016,
  numHiddenLayers: 95,
  numAttentionHeads: 64,
  numKeyValueHeads: 8,
  headDim: 128,
  maxPositionEmbeddings: 4096,
};

/** DeepSeekMoE (2401.06066): the first layer dense, two shared experts. */
export const deepseek_moe_16b: GqaModelConfig = {
  modelType: 'gqa',
  vocabSize: 102400,
  hiddenSize: 2048,
  intermediateSize: 10944,
  numHiddenLayers: 28,
  numAttentionHeads: 16,
  numKeyValueHeads: 16,
  headDim: 128,
  nRoutedExperts: 64,
  nSharedExperts: 2,
  numExpertsPerTok: 6,
  moeIntermediateSize: 1408,
  firstKDenseReplace: 1,
  tieWordEmbeddings: false,
  maxPositionEmbeddings: 4096,
};

export const gqaPresets: ReadonlyMap<string, GqaModelConfig> = new Map([
  ['llama-3.1-405b', llama31_405b],
  ['llama-3.1-70b', llama31_70b],
  ['llama-3.1-8b', llama31_8b],
  ['llama-2-70b', llama2_70b],
  ['llama-13b', llama1_13b],
  ['qwen2.5-72b', qwen25_72b],
  ['qwen3-235b-a22b', qwen3_235b_a22b],
  ['qwen3-30b-a3b', qwen3_30b_a3b],
  ['mixtral-8x7b', mixtral_8x7b],
  ['mixtral-8x22b', mixtral_8x22b],
  ['deepseek-67b', deepseek_67b],
  ['deepseek-moe-16b', deepseek_moe_16b],
]);

export const plannedModelNames: readonly string[] = [...presets.keys(), ...gqaPresets.keys()];

/** @throws config.unknownPreset naming the nearest one */
export function findPlannedModel(name: string): PlannedModel {
  const wanted = name.trim().toLowerCase();
  const found = presets.get(wanted) ?? gqaPresets.get(wanted);
  if (found !== undefined) return found;
  const near = nearestName(wanted, plannedModelNames);
  throw new MoebiusError('config.unknownPreset', `there is no model "${name}"`, {
    values: { name, known: plannedModelNames },
    hint:
      near === undefined
        ? `Use one of ${plannedModelNames.join(', ')}, or a config.json.`
        : `Did you mean "${near}"?`,
  });
}
