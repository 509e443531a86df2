/** DeepSeek-V3 (report 4.2) and its descendants with the same architecture. */
import type { ModelConfig, YarnScaling } from '../modelConfig.ts';

/** From 4,096 to 163,840 tokens (report 4.3). */
export const yarn40: YarnScaling = {
  type: 'yarn',
  factor: 40,
  originalMaxPositionEmbeddings: 4096,
  betaFast: 32,
  betaSlow: 1,
  mscale: 1,
  mscaleAllDim: 1,
};

export const deepseekV3: ModelConfig = {
  modelType: 'deepseek_v3',
  vocabSize: 129280,
  hiddenSize: 7168,
  intermediateSize: 18432,
  moeIntermediateSize: 2048,
  numHiddenLayers: 61,
  numNextnPredictLayers: 1,
  firstKDenseReplace: 3,
  moeLayerFreq: 1,
  numAttentionHeads: 128,
  qLoraRank: 1536,
  kvLoraRank: 512,
  qkNopeHeadDim: 128,
  qkRopeHeadDim: 64,
  vHeadDim: 128,
  nRoutedExperts: 256,
  nSharedExperts: 1,
  numExpertsPerTok: 8,
  nGroup: 8,
  topkGroup: 4,
  topkMethod: 'noaux_tc',
  scoringFunc: 'sigmoid',
  normTopkProb: true,
  routedScalingFactor: 2.5,
  rmsNormEps: 1e-6,
  ropeTheta: 10000,
  ropeScaling: yarn40,
  maxPositionEmbeddings: 163840,
  tieWordEmbeddings: false,
  bosTokenId: 0,
  eosTokenId: 1,
  // The published file says 0.02; the report trained with 0.006, which recipes take.
  initializerRange: 0.02,
  torchDtype: 'bfloat16',
  fp8WeightBlock: [128, 128],
};

export const deepseekR1: ModelConfig = { ...deepseekV3 };

/** Continued with power-of-two activation scales. */
export const deepseekV31: ModelConfig = { ...deepseekV3, fp8ScaleFormat: 'ue8m0' };
