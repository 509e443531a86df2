/** Moonshot AI's models of the DeepSeek-V3 architecture. */
import type { ModelConfig } from '../modelConfig.ts';
import { deepseekV3 } from './deepseekV3.ts';

export const moonlight16bA3b: ModelConfig = {
  ...deepseekV3,
  vocabSize: 163840,
  hiddenSize: 2048,
  intermediateSize: 11264,
  moeIntermediateSize: 1408,
  numHiddenLayers: 27,
  numNextnPredictLayers: 0,
  firstKDenseReplace: 1,
  numAttentionHeads: 16,
  qLoraRank: null,
  nRoutedExperts: 64,
  nSharedExperts: 2,
  numExpertsPerTok: 6,
  nGroup: 1,
  topkGroup: 1,
  routedScalingFactor: 2.446,
  rmsNormEps: 1e-5,
  ropeTheta: 50000,
  ropeScaling: null,
  maxPositionEmbeddings: 8192,
  bosTokenId: 163584,
  eosTokenId: 163586,
  fp8WeightBlock: null,
};

/** Published as model_type kimi_k2, which is V3's architecture under its maker's name. */
export const kimiK2: ModelConfig = {
  ...deepseekV3,
  vocabSize: 163840,
  numNextnPredictLayers: 0,
  firstKDenseReplace: 1,
  numAttentionHeads: 64,
  nRoutedExperts: 384,
  nGroup: 1,
  topkGroup: 1,
  routedScalingFactor: 2.827,
  ropeTheta: 50000,
  ropeScaling: {
    type: 'yarn',
    factor: 32,
    originalMaxPositionEmbeddings: 4096,
    betaFast: 1,
    betaSlow: 1,
    mscale: 1,
    mscaleAllDim: 1,
  },
  maxPositionEmbeddings: 131072,
  bosTokenId: 163584,
  eosTokenId: 163585,
};
