/**
 * From a `ModelConfig` to a `config.json` that Transformers, vLLM and `parseModelConfig` accept.
 * Keys in the order of the published files, which is alphabetical.
 */
import type { ModelConfig } from './modelConfig.ts';

const ARCHITECTURES: Readonly<Record<ModelConfig['modelType'], string>> = {
  deepseek_v3: 'DeepseekV3ForCausalLM',
  deepseek_v2: 'DeepseekV2ForCausalLM',
};

export function serializeModelConfig(config: ModelConfig): Record<string, unknown> {
  const yarn = config.ropeScaling;
  const hasExperts = config.nRoutedExperts > 0;
  return {
    architectures: [ARCHITECTURES[config.modelType]],
    attention_bias: false,
    attention_dropout: 0,
    bos_token_id: config.bosTokenId,
    eos_token_id: config.eosTokenId,
    first_k_dense_replace: config.firstKDenseReplace,
    hidden_act: 'silu',
    hidden_size: config.hiddenSize,
    initializer_range: config.initializerRange,
    intermediate_size: config.intermediateSize,
    kv_lora_rank: config.kvLoraRank,
    max_position_embeddings: config.maxPositionEmbeddings,
    model_type: config.modelType,
    moe_intermediate_size: config.moeIntermediateSize,
    moe_layer_freq: config.moeLayerFreq,
    n_group: config.nGroup,
    // Modelling code asks whether these are null, not whether they are 0.
    n_routed_experts: hasExperts ? config.nRoutedExperts : null,
    n_shared_experts: config.nSharedExperts > 0 ? config.nSharedExperts : null,
    norm_topk_prob: config.normTopkProb,
    num_attention_heads: config.numAttentionHeads,
    num_experts_per_tok: hasExperts ? config.numExpertsPerTok : null,
    num_hidden_layers: config.numHiddenLayers,
    num_key_value_heads: config.numAttentionHeads,
    num_nextn_predict_layers: config.numNextnPredictLayers,
    q_lora_rank: config.qLoraRank,
    qk_nope_head_dim: config.qkNopeHeadDim,
    qk_rope_head_dim: config.qkRopeHeadDim,
    ...quantization(config),
    rms_norm_eps: config.rmsNormEps,
    rope_scaling:
      yarn === null
        ? null
        : {
            beta_fast: yarn.betaFast,
            beta_slow: yarn.betaSlow,
            factor: yarn.factor,
            mscale: yarn.mscale,
            mscale_all_dim: yarn.mscaleAllDim,
            original_max_position_embeddings: yarn.originalMaxPositionEmbeddings,
            type: 'yarn',
          },
    rope_theta: config.ropeTheta,
    routed_scaling_factor: config.routedScalingFactor,
    scoring_func: config.scoringFunc,
    tie_word_embeddings: config.tieWordEmbeddings,
    topk_group: config.topkGroup,
    topk_method: config.topkMethod,
    torch_dtype: config.torchDtype,
    use_cache: true,
    v_head_dim: config.vHeadDim,
    vocab_size: config.vocabSize,
  };
}

function quantization(config: ModelConfig): Record<string, unknown> {
  if (config.fp8WeightBlock === null) return {};
  return {
    quantization_config: {
      activation_scheme: 'dynamic',
      fmt: 'e4m3',
      quant_method: 'fp8',
      ...(config.fp8ScaleFormat === undefined ? {} : { scale_fmt: config.fp8ScaleFormat }),
      weight_block_size: [...config.fp8WeightBlock],
    },
  };
}
