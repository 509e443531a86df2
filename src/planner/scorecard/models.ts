/**
 * Models of published runs that have no preset. GPT and Nemotron-4 have two matrices of width w in
 * their MLP where a gated MLP has three; described as a gated MLP of width 2w/3 they have the same
 * weights and products, and a third more activations.
 */
import type { GqaModelConfig } from '../../config/gqaModelConfig.ts';
import type { ModelConfig } from '../../config/modelConfig.ts';
import { deepseekV2 } from '../../config/presets/deepseekV2.ts';
import { llama2_70b, qwen25_72b } from '../../config/presets/dense.ts';

/** A GPT of Megatron: as many keys and values as heads, an MLP of four times the width. */
function gpt(
  hiddenSize: number,
  numHiddenLayers: number,
  numAttentionHeads: number,
): GqaModelConfig {
  return {
    modelType: 'gqa',
    vocabSize: 51200,
    hiddenSize,
    // In eighths, so that eight ranks can share it; off by less than 0.01 %.
    intermediateSize: Math.round((hiddenSize * 8) / 3 / 8) * 8,
    numHiddenLayers,
    numAttentionHeads,
    numKeyValueHeads: numAttentionHeads,
    headDim: hiddenSize / numAttentionHeads,
    nRoutedExperts: 0,
    nSharedExperts: 0,
    numExpertsPerTok: 0,
    moeIntermediateSize: 0,
    firstKDenseReplace: 0,
    tieWordEmbeddings: true,
    maxPositionEmbeddings: 4096,
  };
}

export const gpt22b: GqaModelConfig = gpt(6144, 48, 64);
export const gpt175b: GqaModelConfig = gpt(12288, 96, 96);
export const gpt530b: GqaModelConfig = gpt(20480, 105, 128);
export const gpt1t: GqaModelConfig = gpt(25600, 128, 160);

/** Nemotron-4 340B (arXiv 2406.11704, table 1): squared ReLU. */
export const nemotron4_340b: GqaModelConfig = {
  ...gpt(18432, 96, 96),
  vocabSize: 256000,
  numKeyValueHeads: 8,
  tieWordEmbeddings: false,
};

/** Nemotron-4 15B (arXiv 2402.16819, table 1). */
export const nemotron4_15b: GqaModelConfig = {
  ...gpt(6144, 32, 48),
  vocabSize: 256000,
  numKeyValueHeads: 8,
  tieWordEmbeddings: false,
};

export const llama2_34b: GqaModelConfig = {
  ...llama2_70b,
  intermediateSize: 22016,
  numHiddenLayers: 48,
};

export const llama2_13b: GqaModelConfig = {
  ...llama2_70b,
  hiddenSize: 5120,
  intermediateSize: 13824,
  numHiddenLayers: 40,
  numAttentionHeads: 40,
  numKeyValueHeads: 40,
};

/** Every head has its own keys and values. */
export const qwen15_72b: GqaModelConfig = {
  ...qwen25_72b,
  intermediateSize: 24576,
  numKeyValueHeads: 64,
};

/** DeepSeek-V2 with 16 of its 60 layers, as MindSpeed-LLM runs it on four nodes. */
export const deepseekV2_60b: ModelConfig = { ...deepseekV2, numHiddenLayers: 16 };

/** InternLM 7B: LLaMA 7B with a larger vocabulary. */
export const internlm7b: GqaModelConfig = {
  ...llama2_13b,
  vocabSize: 103168,
  hiddenSize: 4096,
  intermediateSize: 11008,
  numHiddenLayers: 32,
  numAttentionHeads: 32,
  numKeyValueHeads: 32,
};
