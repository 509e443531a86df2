/** DeepSeek-V2 (arXiv 2405.04434): softmax gate, no bias, no MTP, BF16 weights. */
import type { ModelConfig } from '../modelConfig.ts';
import { deepseekV3, yarn40 } from './deepseekV3.ts';

// biome-ignore lint/suspicious/noApproximativeNumericConstant: published as 0.707, not as 1/√2
const MSCALE = 0.707;

export const deepseekV2: ModelConfig = {
  ...deepseekV3,
  modelType: 'deepseek_v2',
  vocabSize: 102400,
  hiddenSize: 5120,
  intermediateSize: 12288,
  moeIntermediateSize: 1536,
  numHiddenLayers: 60,
  numNextnPredictLayers: 0,
  firstKDenseReplace: 1,
  nRoutedExperts: 160,
  nSharedExperts: 2,
  numExpertsPerTok: 6,
  nGroup: 8,
  topkGroup: 3,
  topkMethod: 'group_limited_greedy',
  scoringFunc: 'softmax',
  normTopkProb: false,
  routedScalingFactor: 16,
  ropeScaling: { ...yarn40, mscale: MSCALE, mscaleAllDim: MSCALE },
  bosTokenId: 100000,
  eosTokenId: 100001,
  fp8WeightBlock: null,
};

export const deepseekV2Lite: ModelConfig = {
  ...deepseekV2,
  hiddenSize: 2048,
  intermediateSize: 10944,
  moeIntermediateSize: 1408,
  numHiddenLayers: 27,
  numAttentionHeads: 16,
  qLoraRank: null,
  nRoutedExperts: 64,
  nGroup: 1,
  topkGroup: 1,
  topkMethod: 'greedy',
  routedScalingFactor: 1,
};
