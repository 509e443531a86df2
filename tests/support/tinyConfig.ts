/**
 * The smallest models that still have every kind of part, for properties that need no golden
 * numbers. Weights are wide (deviation 0.2), so that gradients stand well above rounding.
 */
import type { ModelConfig } from '../../src/config/modelConfig.ts';

/** V3: one dense and one MoE layer, two MTP modules. */
export const tinyV3: ModelConfig = {
  modelType: 'deepseek_v3',
  vocabSize: 40,
  hiddenSize: 16,
  intermediateSize: 24,
  moeIntermediateSize: 8,
  numHiddenLayers: 2,
  numNextnPredictLayers: 2,
  firstKDenseReplace: 1,
  moeLayerFreq: 1,
  numAttentionHeads: 2,
  qLoraRank: 12,
  kvLoraRank: 8,
  qkNopeHeadDim: 8,
  qkRopeHeadDim: 4,
  vHeadDim: 6,
  nRoutedExperts: 8,
  nSharedExperts: 1,
  numExpertsPerTok: 3,
  nGroup: 4,
  topkGroup: 2,
  topkMethod: 'noaux_tc',
  scoringFunc: 'sigmoid',
  normTopkProb: true,
  routedScalingFactor: 2.5,
  rmsNormEps: 1e-6,
  ropeTheta: 10000,
  ropeScaling: null,
  maxPositionEmbeddings: 32,
  tieWordEmbeddings: false,
  bosTokenId: null,
  eosTokenId: null,
  initializerRange: 0.2,
  torchDtype: 'float32',
  fp8WeightBlock: null,
};

/** V2-Lite's rules: softmax, no groups, weights not normalised, query in one step. */
export const tinyV2: ModelConfig = {
  ...tinyV3,
  modelType: 'deepseek_v2',
  numNextnPredictLayers: 0,
  qLoraRank: null,
  nGroup: 1,
  topkGroup: 1,
  nSharedExperts: 2,
  topkMethod: 'greedy',
  scoringFunc: 'softmax',
  normTopkProb: false,
  routedScalingFactor: 1,
};

/** One config per way in which models of this architecture differ. */
export const tinyVariants: Readonly<Record<string, ModelConfig>> = {
  'V3 with two MTP modules': tinyV3,
  'V3 with tied embeddings': { ...tinyV3, tieWordEmbeddings: true },
  'V3 with YaRN whose mscales differ': {
    ...tinyV3,
    ropeScaling: {
      type: 'yarn',
      factor: 4,
      originalMaxPositionEmbeddings: 8,
      betaFast: 4,
      betaSlow: 1,
      mscale: 1,
      mscaleAllDim: 0.5,
    },
  },
  'V2-Lite': tinyV2,
  'V2 with groups': {
    ...tinyV2,
    qLoraRank: 12,
    nGroup: 4,
    topkGroup: 2,
    topkMethod: 'group_limited_greedy',
    routedScalingFactor: 4,
  },
  'all layers MoE, no shared expert': { ...tinyV3, firstKDenseReplace: 0, nSharedExperts: 0 },
  'dense only': { ...tinyV3, nRoutedExperts: 0, numNextnPredictLayers: 1 },
};

/** Sequences of tokens drawn by a small congruential rule, the same at every run. */
export function tinyIds(args: {
  sequences: number;
  length: number;
  vocabSize: number;
  seed?: number;
}): number[][] {
  let state = (args.seed ?? 1) >>> 0;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * args.vocabSize);
  };
  return Array.from({ length: args.sequences }, () => Array.from({ length: args.length }, next));
}
