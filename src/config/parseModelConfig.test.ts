/** Reading and writing config.json: the published files, and everything that must be refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { goldenJson } from '../../tests/support/golden.ts';
import { MoebiusError } from '../base/errors.ts';
import type { ModelConfig } from './modelConfig.ts';
import { parseModelConfig } from './parseModelConfig.ts';
import { deepseekV2Lite } from './presets/deepseekV2.ts';
import { deepseekV3 } from './presets/deepseekV3.ts';
import { kimiK2 } from './presets/moonshot.ts';
import { findPreset, presetNames } from './presets/presets.ts';
import { v3Mini } from './presets/small.ts';
import { serializeModelConfig } from './serializeModelConfig.ts';

type Json = Record<string, unknown>;

/** Every key of the published DeepSeek-V3 file. */
const PUBLISHED_V3: Json = {
  architectures: ['DeepseekV3ForCausalLM'],
  attention_bias: false,
  attention_dropout: 0.0,
  auto_map: { AutoConfig: 'configuration_deepseek.DeepseekV3Config' },
  aux_loss_alpha: 0.001,
  bos_token_id: 0,
  eos_token_id: 1,
  ep_size: 1,
  first_k_dense_replace: 3,
  hidden_act: 'silu',
  hidden_size: 7168,
  initializer_range: 0.02,
  intermediate_size: 18432,
  kv_lora_rank: 512,
  max_position_embeddings: 163840,
  model_type: 'deepseek_v3',
  moe_intermediate_size: 2048,
  moe_layer_freq: 1,
  n_group: 8,
  n_routed_experts: 256,
  n_shared_experts: 1,
  norm_topk_prob: true,
  num_attention_heads: 128,
  num_experts_per_tok: 8,
  num_hidden_layers: 61,
  num_key_value_heads: 128,
  num_nextn_predict_layers: 1,
  pretraining_tp: 1,
  q_lora_rank: 1536,
  qk_nope_head_dim: 128,
  qk_rope_head_dim: 64,
  quantization_config: {
    activation_scheme: 'dynamic',
    fmt: 'e4m3',
    quant_method: 'fp8',
    weight_block_size: [128, 128],
  },
  rms_norm_eps: 1e-6,
  rope_scaling: {
    beta_fast: 32,
    beta_slow: 1,
    factor: 40,
    mscale: 1.0,
    mscale_all_dim: 1.0,
    original_max_position_embeddings: 4096,
    type: 'yarn',
  },
  rope_theta: 10000,
  routed_scaling_factor: 2.5,
  scoring_func: 'sigmoid',
  seq_aux: true,
  tie_word_embeddings: false,
  topk_group: 4,
  topk_method: 'noaux_tc',
  torch_dtype: 'bfloat16',
  transformers_version: '4.46.3',
  use_cache: true,
  v_head_dim: 128,
  vocab_size: 129280,
};

const published = (changes: Json): Json => ({ ...PUBLISHED_V3, ...changes });

function without(...keys: readonly string[]): Json {
  return Object.fromEntries(Object.entries(PUBLISHED_V3).filter(([key]) => !keys.includes(key)));
}

function parse(json: unknown): ModelConfig {
  return parseModelConfig(json, 'config.json');
}

function refusal(json: unknown): MoebiusError {
  try {
    parse(json);
  } catch (error) {
    if (error instanceof MoebiusError) return error;
    throw error;
  }
  return assert.fail('the config was taken');
}

test('parseModelConfig: the published V3 file is the preset', () => {
  assert.deepEqual(parse(PUBLISHED_V3), deepseekV3);
});

test('parseModelConfig: V3.1’s scale format is kept', () => {
  const quantization = { ...(PUBLISHED_V3.quantization_config as Json), scale_fmt: 'ue8m0' };
  assert.deepEqual(
    parse(published({ quantization_config: quantization })),
    findPreset('deepseek-v3.1'),
  );
});

test('parseModelConfig: kimi_k2 is V3’s architecture', () => {
  assert.deepEqual(parse({ ...serializeModelConfig(kimiK2), model_type: 'kimi_k2' }), kimiK2);
});

test('parseModelConfig: generation keys that older Transformers wrote are ignored', () => {
  const noise = {
    _name_or_path: 'x',
    output_attentions: false,
    num_return_sequences: 1,
    top_k: 50,
  };
  assert.deepEqual(parse(published(noise)), deepseekV3);
});

test('parseModelConfig: newer Transformers’ rope_parameters and dtype mean the same', () => {
  const old = without('rope_theta', 'rope_scaling', 'torch_dtype', 'scoring_func', 'topk_method');
  const { type, ...yarn } = PUBLISHED_V3.rope_scaling as Json;
  const recent = {
    ...old,
    dtype: 'bfloat16',
    head_dim: 64,
    qk_head_dim: 192,
    rope_interleave: true,
    rope_parameters: { rope_type: type, rope_theta: 10000, ...yarn },
  };
  assert.deepEqual(parse(recent), deepseekV3);
  const plain = { ...recent, rope_parameters: { rope_type: 'default', rope_theta: 10000 } };
  assert.deepEqual(parse(plain), { ...deepseekV3, ropeScaling: null });
});

test('parseModelConfig: the old and the new RoPE keys may stand together if they agree', () => {
  const both = { rope_type: 'yarn', rope_theta: 10000, ...(PUBLISHED_V3.rope_scaling as Json) };
  assert.deepEqual(parse(published({ rope_parameters: both })), deepseekV3);
  const other = { ...both, factor: 20 };
  assert.equal(refusal(published({ rope_parameters: other })).code, 'config.invalid');
  const otherBase = { ...both, rope_theta: 50000 };
  assert.equal(refusal(published({ rope_parameters: otherBase })).code, 'config.invalid');
});

test('parseModelConfig: YaRN without mscale keys takes what the modelling code takes', () => {
  const short = { type: 'yarn', factor: 4, original_max_position_embeddings: 1024 };
  assert.deepEqual(parse(published({ rope_scaling: short })).ropeScaling, {
    type: 'yarn',
    factor: 4,
    originalMaxPositionEmbeddings: 1024,
    betaFast: 32,
    betaSlow: 1,
    mscale: 1,
    mscaleAllDim: 0,
  });
});

test('parseModelConfig: a dense model has null experts', () => {
  const dense = published({
    n_routed_experts: null,
    n_shared_experts: null,
    num_experts_per_tok: null,
    first_k_dense_replace: 61,
  });
  const config = parse(dense);
  assert.deepEqual(
    [config.nRoutedExperts, config.nSharedExperts, config.numExpertsPerTok],
    [0, 0, 0],
  );
  assert.deepEqual(parse(serializeModelConfig(config)), config);
});

test('parseModelConfig: every golden config is read', () => {
  for (const folder of ['v3-tiny', 'v3-tiny-fp8', 'v3-tiny-trained']) {
    const json = goldenJson(`${folder}/config.json`) as Json;
    const config = parseModelConfig(json, folder);
    assert.equal(config.hiddenSize, json.hidden_size);
    assert.deepEqual(config.fp8WeightBlock, folder === 'v3-tiny-fp8' ? [128, 128] : null);
  }
});

test('serializeModelConfig: every preset comes back as it was', () => {
  for (const name of presetNames) {
    const preset = findPreset(name);
    const text = JSON.stringify(serializeModelConfig(preset));
    assert.deepEqual(parseModelConfig(JSON.parse(text), name), preset);
  }
});

test('serializeModelConfig: writes the published values under the published keys', () => {
  const written = serializeModelConfig(deepseekV3);
  for (const [key, value] of Object.entries(written)) {
    assert.deepEqual(value, PUBLISHED_V3[key], key);
  }
  assert.equal(written.model_type, 'deepseek_v3');
  assert.deepEqual(serializeModelConfig(deepseekV2Lite).architectures, ['DeepseekV2ForCausalLM']);
});

test('parseModelConfig: an unknown key is refused with the nearest known one', () => {
  const error = refusal(published({ routed_scaling_facter: 2.5 }));
  assert.equal(error.code, 'config.unknownKey');
  assert.equal(error.values.key, 'routed_scaling_facter');
  assert.match(error.hint ?? '', /routed_scaling_factor/);
  assert.equal(refusal(published({ index_topk: 2048 })).code, 'config.unknownKey');
  const nested = { ...(PUBLISHED_V3.rope_scaling as Json), mscale_all_dims: 1 };
  assert.match(refusal(published({ rope_scaling: nested })).hint ?? '', /mscale_all_dim/);
});

test('parseModelConfig: no shown key of an object’s prototype passes as known', () => {
  assert.equal(refusal(published({ constructor: 1 })).code, 'config.unknownKey');
  assert.equal(refusal(published({ model_type: 'constructor' })).code, 'config.modelType');
  const own = JSON.parse(`{"__proto__": 1, ${JSON.stringify(PUBLISHED_V3).slice(1)}`);
  assert.equal(refusal(own).code, 'config.unknownKey');
});

test('parseModelConfig: another architecture is refused by its name', () => {
  for (const type of ['llama', 'deepseek_v32', 'deepseek_v4', undefined, 3]) {
    assert.equal(refusal(published({ model_type: type })).code, 'config.modelType');
  }
  const multimodal = { model_type: 'kimi_k25', text_config: PUBLISHED_V3 };
  assert.match(refusal(multimodal).hint ?? '', /text_config/);
});

test('parseModelConfig: what is no object is refused', () => {
  for (const json of [null, [], 'x', 3, undefined]) assert.equal(refusal(json).code, 'config.type');
});

test('parseModelConfig: missing keys are all named', () => {
  const error = refusal(without('hidden_size', 'kv_lora_rank'));
  assert.equal(error.code, 'config.missingKey');
  assert.deepEqual(error.values.keys, ['hidden_size', 'kv_lora_rank']);
  for (const key of [
    'norm_topk_prob',
    'routed_scaling_factor',
    'n_group',
    'topk_group',
    'rope_theta',
  ]) {
    assert.equal(refusal(without(key)).code, 'config.missingKey', key);
  }
});

test('parseModelConfig: a null query rank is read, an absent one is refused', () => {
  assert.equal(parse(published({ q_lora_rank: null })).qLoraRank, null);
  assert.equal(refusal(without('q_lora_rank')).code, 'config.missingKey');
});

test('parseModelConfig: values of a wrong type are refused by key', () => {
  const wrong: Json = {
    hidden_size: '7168',
    num_hidden_layers: 61.5,
    vocab_size: -1,
    norm_topk_prob: 1,
    rms_norm_eps: null,
    topk_method: 'best',
    scoring_func: 'tanh',
    eos_token_id: [1.5],
    n_routed_experts: Number.NaN,
    max_position_embeddings: 2 ** 60,
  };
  for (const [key, value] of Object.entries(wrong)) {
    const error = refusal(published({ [key]: value }));
    assert.equal(error.code, 'config.type', key);
    assert.equal(error.values.key, key);
  }
});

test('parseModelConfig: known keys with values that are not computed are refused', () => {
  const unsupported: Json = {
    hidden_act: 'gelu',
    attention_bias: true,
    attention_dropout: 0.1,
    rope_interleave: false,
    num_key_value_heads: 8,
    qk_head_dim: 128,
    sliding_window: 4096,
    torch_dtype: 'int8',
    dtype: 'float32',
    rope_scaling: { type: 'linear', factor: 2 },
    rope_parameters: { rope_type: 'yarn', factor: 2, attention_factor: 1.5 },
    quantization_config: { quant_method: 'awq', bits: 4 },
  };
  for (const [key, value] of Object.entries(unsupported)) {
    assert.equal(refusal(published({ [key]: value })).code, 'config.unsupported', key);
  }
});

test('parseModelConfig: FP8 of another kind is refused', () => {
  const fp8 = PUBLISHED_V3.quantization_config as Json;
  for (const change of [
    { fmt: 'e5m2' },
    { activation_scheme: 'static' },
    { weight_block_size: [128] },
    { weight_block_size: [0, 128] },
    { weight_block_size: null },
    { scale_fmt: 'e4m3' },
  ]) {
    const error = refusal(published({ quantization_config: { ...fp8, ...change } }));
    assert.equal(error.code, 'config.unsupported', JSON.stringify(change));
  }
  const more = { ...fp8, weight_blocksize: [64, 64] };
  assert.equal(refusal(published({ quantization_config: more })).code, 'config.unknownKey');
});

test('parseModelConfig: numbers that disagree are refused with their values', () => {
  const yarn = PUBLISHED_V3.rope_scaling as Json;
  const invalid: readonly Json[] = [
    { n_group: 7 },
    { topk_group: 9 },
    { n_group: 256, topk_group: 8 },
    { num_experts_per_tok: 257 },
    { num_experts_per_tok: 0 },
    { topk_group: 1, num_experts_per_tok: 33 },
    { qk_rope_head_dim: 63 },
    { q_lora_rank: 0 },
    { hidden_size: 0 },
    { hidden_size: 2 ** 30 },
    { n_routed_experts: 2 ** 20 },
    { num_hidden_layers: 2 ** 20 },
    { first_k_dense_replace: 62 },
    { moe_layer_freq: 0 },
    { moe_intermediate_size: 0 },
    { n_routed_experts: 0 },
    { eos_token_id: 129280 },
    { eos_token_id: [1, 129280] },
    { bos_token_id: 200000 },
    { rope_theta: 1 },
    { rms_norm_eps: 0 },
    { rms_norm_eps: -1e-6 },
    { routed_scaling_factor: 0 },
    { initializer_range: -0.02 },
    { rope_scaling: { ...yarn, factor: 0.5 } },
    { rope_scaling: { ...yarn, beta_fast: 1, beta_slow: 32 } },
    { rope_scaling: { ...yarn, original_max_position_embeddings: 0 } },
  ];
  for (const change of invalid) {
    const error = refusal(published(change));
    assert.equal(error.code, 'config.invalid', JSON.stringify(change));
    assert(Object.keys(error.values).length > 0);
    assert.match(error.hint ?? '', /^[A-Z].*\.$/s);
  }
  const groups = refusal(published({ n_group: 7 }));
  assert.deepEqual(groups.values, { nRoutedExperts: 256, nGroup: 7 });
});

test('parseModelConfig: greedy routing does not look at groups', () => {
  const greedy = { ...serializeModelConfig(deepseekV2Lite), n_group: null, topk_group: null };
  assert.deepEqual(parse(greedy), deepseekV2Lite);
});

test('parseModelConfig: any damage to a file ends in a MoebiusError or a config', () => {
  const keys = Object.keys(PUBLISHED_V3);
  const damage = fc.array(fc.tuple(fc.constantFrom(...keys, 'x'), fc.jsonValue()), {
    maxLength: 3,
  });
  fc.assert(
    fc.property(damage, fc.subarray(keys, { maxLength: 2 }), (changes, dropped) => {
      const json = Object.fromEntries(
        Object.entries(published(Object.fromEntries(changes))).filter(
          ([k]) => !dropped.includes(k),
        ),
      );
      try {
        const config = parse(json);
        assert.deepEqual(parse(serializeModelConfig(config)), config);
      } catch (error) {
        if (!(error instanceof MoebiusError)) throw error;
        assert.match(error.code, /^config\./);
      }
    }),
    { numRuns: 500 },
  );
});

test('findPreset: a mistyped name is refused with the nearest one', () => {
  assert.throws(() => findPreset('deepseek-v33'), {
    code: 'config.unknownPreset',
    hint: 'Did you mean "deepseek-v3"?',
  });
  assert.throws(() => findPreset('gpt'), { code: 'config.unknownPreset', hint: /deepseek-v3/ });
});

test('Presets: the small ones differ from V3 in size only', () => {
  const { topkMethod, scoringFunc, normTopkProb, routedScalingFactor, modelType } = v3Mini;
  assert.deepEqual(
    [modelType, topkMethod, scoringFunc, normTopkProb, routedScalingFactor],
    ['deepseek_v3', 'noaux_tc', 'sigmoid', true, 2.5],
  );
});
