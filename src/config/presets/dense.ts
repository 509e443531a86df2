/** Dense models with grouped queries, to hold DeepSeek's figures against; planned, not trained. */
import type { GqaModelConfig } from '../gqaModelConfig.ts';

const dense = {
  modelType: 'gqa',
  nRoutedExperts: 0,
  nSharedExperts: 0,
  numExpertsPerTok: 0,
  moeIntermediateSize: 0,
  firstKDenseReplace: 0,
  tieWordEmbeddings: false,
} as const;

/** Sizes of its published config.json. */
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

/** Sizes of its published config.json; its projections' biases are not counted. */
export const qwen25_72b: GqaModelConfig = {
  ...dense,
  vocabSize: 152064,
  hiddenSize: 8192,
  intermediateSize: 29568,
  numHiddenLayers: 80,
  numAttentionHeads: 64,
  numKeyValueHeads: 8,
  headDim: 128,
  maxPositionEmbeddings: 32768,
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
