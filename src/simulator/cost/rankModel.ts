/**
 * The model as one rank of a stage holds it. Tensor parallelism splits heads, the dense and shared
 * networks and the vocabulary; expert parallelism leaves each rank its share of the routed experts
 * while its router still sees all. A model of another architecture keeps its own attention apart
 * (`gqaAttention.ts`) and takes its feed-forward half from the DeepSeek code.
 */
import { MoebiusError } from '../../base/errors.ts';
import { type GqaModelConfig, isGqa, type PlannedModel } from '../../config/gqaModelConfig.ts';
import type { ModelConfig } from '../../config/modelConfig.ts';

export interface ShardArgs {
  readonly tp: number;
  readonly ep: number;
}

/** @throws plan.layout where heads, widths, vocabulary or experts do not divide */
export function rankModel(model: PlannedModel, shards: ShardArgs): ModelConfig {
  const config = isGqa(model) ? feedForwardOnly(model) : model;
  const { tp, ep } = shards;
  const split = (what: string, size: number, parts: number): number => {
    if (size % parts === 0) return size / parts;
    throw new MoebiusError('plan.layout', `${what} ${size} does not divide over ${parts} ranks`, {
      values: { [what]: size, parts },
      hint: `Choose tp and ep so that ${what} divides.`,
    });
  };
  if (config.nRoutedExperts > 0) split('nRoutedExperts', config.nRoutedExperts, ep);
  else if (ep > 1) {
    throw new MoebiusError('plan.layout', `ep ${ep}, and the model has no experts`, {
      values: { ep, nRoutedExperts: 0 },
      hint: 'Leave ep out, or set it to 1.',
    });
  }
  if (isGqa(model)) split('numAttentionHeads', model.numAttentionHeads, tp);
  return {
    ...config,
    numAttentionHeads: isGqa(model) ? 1 : split('numAttentionHeads', config.numAttentionHeads, tp),
    intermediateSize: split('intermediateSize', config.intermediateSize, tp),
    // Vocabularies are padded to a multiple.
    vocabSize: Math.ceil(config.vocabSize / tp),
    // The shared network is nSharedExperts × moeIntermediateSize wide; the routed ones stay whole.
    nSharedExperts: config.nSharedExperts / tp,
  };
}

/** Its attention is the smallest that the code accepts: nobody prices it. */
function feedForwardOnly(model: GqaModelConfig): ModelConfig {
  return {
    modelType: 'deepseek_v2',
    vocabSize: model.vocabSize,
    hiddenSize: model.hiddenSize,
    intermediateSize: model.intermediateSize,
    moeIntermediateSize: model.moeIntermediateSize,
    numHiddenLayers: model.numHiddenLayers,
    numNextnPredictLayers: 0,
    firstKDenseReplace: model.firstKDenseReplace,
    moeLayerFreq: 1,
    numAttentionHeads: 1,
    qLoraRank: null,
    kvLoraRank: 2,
    qkNopeHeadDim: 2,
    qkRopeHeadDim: 2,
    vHeadDim: 2,
    nRoutedExperts: model.nRoutedExperts,
    nSharedExperts: model.nSharedExperts,
    numExpertsPerTok: model.numExpertsPerTok,
    nGroup: 1,
    topkGroup: 1,
    topkMethod: 'greedy',
    scoringFunc: 'softmax',
    normTopkProb: true,
    routedScalingFactor: 1,
    rmsNormEps: 1e-6,
    ropeTheta: 1e4,
    ropeScaling: null,
    maxPositionEmbeddings: model.maxPositionEmbeddings,
    tieWordEmbeddings: model.tieWordEmbeddings,
    bosTokenId: null,
    eosTokenId: null,
    initializerRange: 0.02,
    torchDtype: 'bfloat16',
    fp8WeightBlock: null,
  };
}
