/**
 * What a DeepSeek-V3-architecture model is made of. Keys are those of the published `config.json`,
 * camel-cased; `parseModelConfig` reads that file and refuses what it does not understand.
 */

export interface YarnScaling {
  readonly type: 'yarn';
  readonly factor: number;
  readonly originalMaxPositionEmbeddings: number;
  readonly betaFast: number;
  readonly betaSlow: number;
  readonly mscale: number;
  readonly mscaleAllDim: number;
}

export interface ModelConfig {
  readonly modelType: 'deepseek_v3' | 'deepseek_v2';
  readonly vocabSize: number;
  readonly hiddenSize: number;
  /** Width of the dense MLP in the first `firstKDenseReplace` layers. */
  readonly intermediateSize: number;
  /** Width of one routed expert; the shared MLP is `nSharedExperts` times as wide. */
  readonly moeIntermediateSize: number;
  /** Main layers; MTP layers come on top (`numNextnPredictLayers`). */
  readonly numHiddenLayers: number;
  readonly numNextnPredictLayers: number;
  readonly firstKDenseReplace: number;
  readonly moeLayerFreq: number;
  readonly numAttentionHeads: number;
  /** null: the query is projected in one step (V2-Lite, Moonlight). */
  readonly qLoraRank: number | null;
  readonly kvLoraRank: number;
  readonly qkNopeHeadDim: number;
  readonly qkRopeHeadDim: number;
  readonly vHeadDim: number;
  /** 0 in a dense-only model. */
  readonly nRoutedExperts: number;
  readonly nSharedExperts: number;
  readonly numExpertsPerTok: number;
  readonly nGroup: number;
  readonly topkGroup: number;
  readonly topkMethod: 'noaux_tc' | 'group_limited_greedy' | 'greedy';
  readonly scoringFunc: 'sigmoid' | 'softmax';
  readonly normTopkProb: boolean;
  readonly routedScalingFactor: number;
  readonly rmsNormEps: number;
  readonly ropeTheta: number;
  readonly ropeScaling: YarnScaling | null;
  readonly maxPositionEmbeddings: number;
  readonly tieWordEmbeddings: boolean;
  readonly bosTokenId: number | null;
  readonly eosTokenId: number | readonly number[] | null;
  readonly initializerRange: number;
  /** Dtype of the stored weights as the file names it. */
  readonly torchDtype: 'float32' | 'bfloat16' | 'float16';
  /** Block size of FP8 weights, when the checkpoint has them. */
  readonly fp8WeightBlock: readonly [number, number] | null;
  /** `ue8m0`: the model was trained with power-of-two scales (V3.1); absent means float32. */
  readonly fp8ScaleFormat?: 'ue8m0';
}

/**
 * Whether a layer's MLP is a mixture of experts. MTP layers are counted on from
 * `numHiddenLayers` and follow the same rule, hence are MoE in every published model.
 */
export function isMoeLayer(config: ModelConfig, layer: number): boolean {
  return (
    config.nRoutedExperts > 0 &&
    layer >= config.firstKDenseReplace &&
    layer % config.moeLayerFreq === 0
  );
}
