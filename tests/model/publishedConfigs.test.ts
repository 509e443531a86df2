/**
 * The `config.json` of published checkpoints, key for key, down to the tensors and bytes that
 * loading expects of them.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadedBytes } from '../../src/checkpoint/loadedSize.ts';
import { checkpointSize, checkpointTensors } from '../../src/checkpoint/parameterNames.ts';
import type { ModelConfig } from '../../src/config/modelConfig.ts';
import { countParameters } from '../../src/config/modelCounts.ts';
import { parseModelConfig } from '../../src/config/parseModelConfig.ts';
import { deepseekV2Lite } from '../../src/config/presets/deepseekV2.ts';
import { deepseekR1, deepseekV3, deepseekV31 } from '../../src/config/presets/deepseekV3.ts';
import { moonlight16bA3b } from '../../src/config/presets/moonshot.ts';
import { serializeModelConfig } from '../../src/config/serializeModelConfig.ts';
import { cacheBytesPerToken } from '../../src/config/servingMemory.ts';

type Json = Record<string, unknown>;

// biome-ignore lint/suspicious/noApproximativeNumericConstant: published as 0.707, not as 1/√2
const MSCALE = 0.707;

/** Keys that all of them have with one value. */
const COMMON: Json = {
  attention_bias: false,
  attention_dropout: 0.0,
  first_k_dense_replace: 1,
  hidden_act: 'silu',
  initializer_range: 0.02,
  kv_lora_rank: 512,
  moe_layer_freq: 1,
  pretraining_tp: 1,
  qk_nope_head_dim: 128,
  qk_rope_head_dim: 64,
  seq_aux: true,
  tie_word_embeddings: false,
  torch_dtype: 'bfloat16',
  use_cache: true,
  v_head_dim: 128,
};

/** moonshotai/Moonlight-16B-A3B-Instruct. */
const MOONLIGHT: Json = {
  ...COMMON,
  architectures: ['DeepseekV3ForCausalLM'],
  auto_map: {
    AutoConfig: 'configuration_deepseek.DeepseekV3Config',
    AutoModel: 'modeling_deepseek.DeepseekV3Model',
    AutoModelForCausalLM: 'modeling_deepseek.DeepseekV3ForCausalLM',
  },
  aux_loss_alpha: 0.001,
  bos_token_id: 163584,
  eos_token_id: 163586,
  hidden_size: 2048,
  intermediate_size: 11264,
  max_position_embeddings: 8192,
  model_type: 'deepseek_v3',
  moe_intermediate_size: 1408,
  n_group: 1,
  n_routed_experts: 64,
  n_shared_experts: 2,
  norm_topk_prob: true,
  num_attention_heads: 16,
  num_experts_per_tok: 6,
  num_hidden_layers: 27,
  num_key_value_heads: 16,
  num_nextn_predict_layers: 0,
  q_lora_rank: null,
  rms_norm_eps: 1e-5,
  rope_scaling: null,
  rope_theta: 50000.0,
  routed_scaling_factor: 2.446,
  scoring_func: 'sigmoid',
  topk_group: 1,
  topk_method: 'noaux_tc',
  transformers_version: '4.48.3',
  vocab_size: 163840,
};

/** deepseek-ai/DeepSeek-V2-Lite. */
const V2_LITE: Json = {
  ...COMMON,
  architectures: ['DeepseekV2ForCausalLM'],
  aux_loss_alpha: 0.001,
  bos_token_id: 100000,
  eos_token_id: 100001,
  hidden_size: 2048,
  intermediate_size: 10944,
  max_position_embeddings: 163840,
  model_type: 'deepseek_v2',
  moe_intermediate_size: 1408,
  n_group: 1,
  n_routed_experts: 64,
  n_shared_experts: 2,
  norm_topk_prob: false,
  num_attention_heads: 16,
  num_experts_per_tok: 6,
  num_hidden_layers: 27,
  num_key_value_heads: 16,
  q_lora_rank: null,
  rms_norm_eps: 1e-6,
  rope_scaling: {
    beta_fast: 32,
    beta_slow: 1,
    factor: 40,
    mscale: MSCALE,
    mscale_all_dim: MSCALE,
    original_max_position_embeddings: 4096,
    type: 'yarn',
  },
  rope_theta: 10000,
  routed_scaling_factor: 1.0,
  scoring_func: 'softmax',
  topk_group: 1,
  topk_method: 'greedy',
  transformers_version: '4.33.1',
  vocab_size: 102400,
};

test('parseModelConfig: Moonlight’s published file is its preset', () => {
  const config = parseModelConfig(MOONLIGHT, 'config.json');
  assert.deepEqual(config, moonlight16bA3b);
  assert.equal(config.qLoraRank, null);
  assert.equal(config.ropeScaling, null);
  assert.equal(config.fp8WeightBlock, null);
});

test('parseModelConfig: Moonlight quantised to FP8 blocks is Moonlight, and half as large', () => {
  const { quantization_config } = serializeModelConfig(deepseekV3);
  const config = parseModelConfig({ ...MOONLIGHT, quantization_config }, 'config.json');
  assert.deepEqual(config, { ...moonlight16bA3b, fp8WeightBlock: [128, 128] });
  // What the Hub counts of the published files: biases included.
  const { total, routerBias } = countParameters(config);
  assert.equal(total + routerBias, 15_960_110_208);
  const [inBf16, inFp8] = [loadedBytes(moonlight16bA3b), loadedBytes(config)];
  assert.ok(inFp8 > 0.5 * inBf16 && inFp8 < 0.53 * inBf16, `${inFp8} of ${inBf16}`);
  assert.equal(cacheBytesPerToken(config, 'f8e4m3'), 27 * 656);
});

test('parseModelConfig: V2-Lite’s published file is its preset', () => {
  assert.deepEqual(parseModelConfig(V2_LITE, 'config.json'), deepseekV2Lite);
});

test('parseModelConfig: R1 and V3.1 are V3, and keep what their files say of FP8', () => {
  for (const preset of [deepseekV3, deepseekR1, deepseekV31]) {
    const json = serializeModelConfig(preset);
    const config = parseModelConfig({ ...json, transformers_version: '4.46.3' }, 'config.json');
    assert.deepEqual(config, preset);
    assert.deepEqual(config.fp8WeightBlock, [128, 128]);
    assert.equal(checkpointSize(config).tensors, 91_991);
  }
  assert.equal(deepseekV31.fp8ScaleFormat, 'ue8m0');
});

test('checkpointTensors: MTP layers follow the config’s own layers, however many there are', () => {
  const withMtp: ModelConfig = { ...moonlight16bA3b, numNextnPredictLayers: 2 };
  const names = [...checkpointTensors(withMtp)].map(({ name }) => name);
  const layersOf = (suffix: string): string[] =>
    names.filter((name) => name.endsWith(suffix)).map((name) => name.split('.')[2] ?? '');
  assert.deepEqual(layersOf('eh_proj.weight'), ['27', '28']);
  assert.deepEqual(layersOf('shared_head.norm.weight'), ['27', '28']);
});
