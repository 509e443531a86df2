/** V3-architecture models that train on two cores: the sizes the benchmarks compare on. */
import type { ModelConfig } from '../modelConfig.ts';
import { deepseekV3 } from './deepseekV3.ts';

/** 30.0 M parameters, and an MTP module of 3.7 M. */
export const v3Mini: ModelConfig = {
  ...deepseekV3,
  vocabSize: 8192,
  hiddenSize: 256,
  intermediateSize: 1024,
  moeIntermediateSize: 256,
  numHiddenLayers: 8,
  firstKDenseReplace: 1,
  numAttentionHeads: 8,
  qLoraRank: 128,
  kvLoraRank: 64,
  qkNopeHeadDim: 32,
  qkRopeHeadDim: 16,
  vHeadDim: 32,
  nRoutedExperts: 16,
  numExpertsPerTok: 4,
  nGroup: 4,
  topkGroup: 2,
  ropeScaling: null,
  maxPositionEmbeddings: 4096,
  torchDtype: 'float32',
  fp8WeightBlock: null,
};

/** 395.8 M parameters, 120.1 M active with the head; without MTP. */
export const v3Small: ModelConfig = {
  ...v3Mini,
  vocabSize: 32768,
  hiddenSize: 1024,
  intermediateSize: 2816,
  numHiddenLayers: 12,
  numNextnPredictLayers: 0,
  numAttentionHeads: 16,
  qLoraRank: 384,
  kvLoraRank: 256,
  qkNopeHeadDim: 64,
  qkRopeHeadDim: 32,
  vHeadDim: 64,
  nRoutedExperts: 32,
  nGroup: 8,
  topkGroup: 4,
};
