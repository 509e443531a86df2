/** Reading config.json files of what the planner prices beside V3, and what must be refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MoebiusError } from '../base/errors.ts';
import { type GqaModelConfig, isGqa } from './gqaModelConfig.ts';
import { parsePlannedModel } from './parsePlannedModel.ts';
import { deepseekV3 } from './presets/deepseekV3.ts';
import {
  findPlannedModel,
  gqaPresets,
  llama31_70b,
  mixtral_8x7b,
  qwen3_235b_a22b,
  qwen25_72b,
} from './presets/dense.ts';
import { serializeModelConfig } from './serializeModelConfig.ts';
import { validateGqaModel } from './validateGqaModel.ts';

type Json = Record<string, unknown>;

const LLAMA: Json = {
  architectures: ['LlamaForCausalLM'],
  attention_bias: false,
  attention_dropout: 0.0,
  bos_token_id: 128000,
  eos_token_id: 128001,
  hidden_act: 'silu',
  hidden_size: 8192,
  initializer_range: 0.02,
  intermediate_size: 28672,
  max_position_embeddings: 131072,
  mlp_bias: false,
  model_type: 'llama',
  num_attention_heads: 64,
  num_hidden_layers: 80,
  num_key_value_heads: 8,
  pretraining_tp: 1,
  rms_norm_eps: 1e-5,
  rope_scaling: { factor: 8.0, rope_type: 'llama3' },
  rope_theta: 500000.0,
  tie_word_embeddings: false,
  torch_dtype: 'bfloat16',
  transformers_version: '4.42.3',
  use_cache: true,
  vocab_size: 128256,
};

const QWEN2: Json = {
  architectures: ['Qwen2ForCausalLM'],
  attention_dropout: 0.0,
  hidden_act: 'silu',
  hidden_size: 8192,
  intermediate_size: 29568,
  max_position_embeddings: 131072,
  max_window_layers: 70,
  model_type: 'qwen2',
  num_attention_heads: 64,
  num_hidden_layers: 80,
  num_key_value_heads: 8,
  rms_norm_eps: 1e-6,
  rope_theta: 1000000.0,
  sliding_window: 131072,
  tie_word_embeddings: false,
  use_sliding_window: false,
  vocab_size: 152064,
};

const QWEN3_MOE: Json = {
  architectures: ['Qwen3MoeForCausalLM'],
  attention_bias: false,
  decoder_sparse_step: 1,
  head_dim: 128,
  hidden_act: 'silu',
  hidden_size: 4096,
  intermediate_size: 12288,
  max_position_embeddings: 40960,
  mlp_only_layers: [],
  model_type: 'qwen3_moe',
  moe_intermediate_size: 1536,
  norm_topk_prob: true,
  num_attention_heads: 64,
  num_experts: 128,
  num_experts_per_tok: 8,
  num_hidden_layers: 94,
  num_key_value_heads: 4,
  router_aux_loss_coef: 0.001,
  sliding_window: null,
  tie_word_embeddings: false,
  use_sliding_window: false,
  vocab_size: 151936,
};

const MIXTRAL: Json = {
  architectures: ['MixtralForCausalLM'],
  hidden_act: 'silu',
  hidden_size: 4096,
  intermediate_size: 14336,
  max_position_embeddings: 32768,
  model_type: 'mixtral',
  num_attention_heads: 32,
  num_experts_per_tok: 2,
  num_hidden_layers: 32,
  num_key_value_heads: 8,
  num_local_experts: 8,
  output_router_logits: false,
  router_aux_loss_coef: 0.02,
  sliding_window: null,
  vocab_size: 32000,
};

function refusal(json: unknown): MoebiusError {
  try {
    parsePlannedModel(json, 'config.json');
  } catch (error) {
    assert.ok(error instanceof MoebiusError, String(error));
    return error;
  }
  return assert.fail('it was accepted');
}

test('published files of Llama, Qwen and Mixtral: they are the presets', () => {
  assert.deepEqual(parsePlannedModel(LLAMA, 'x'), llama31_70b);
  assert.deepEqual(parsePlannedModel(QWEN2, 'x'), qwen25_72b);
  assert.deepEqual(parsePlannedModel(QWEN3_MOE, 'x'), qwen3_235b_a22b);
  assert.deepEqual(parsePlannedModel(MIXTRAL, 'x'), mixtral_8x7b);
});

test('a file of V3’s architecture: it goes to that reader', () => {
  assert.deepEqual(parsePlannedModel(serializeModelConfig(deepseekV3), 'x'), deepseekV3);
});

test('an old Llama: as many keys and values as heads, and the width shared among heads', () => {
  const { num_key_value_heads: _, ...old } = LLAMA;
  const model = parsePlannedModel(old, 'x') as GqaModelConfig;
  assert.equal(model.numKeyValueHeads, 64);
  assert.equal(model.headDim, 128);
});

test('a file that is not understood: refused by name', () => {
  assert.equal(refusal([]).code, 'config.type');
  assert.equal(refusal({ ...LLAMA, model_type: 'gpt2' }).code, 'config.modelType');
  assert.match(refusal({ ...LLAMA, model_type: 'gpt2' }).hint ?? '', /qwen3_moe/);
  assert.equal(refusal({ ...LLAMA, hiden_size: 1 }).hint, 'Did you mean hidden_size?');
  assert.match(refusal({ ...LLAMA, num_nextn_predict: 1 }).message, /num_nextn_predict/);
  assert.match(refusal({ ...LLAMA, vocab_size: undefined }).message, /vocab_size/);
  assert.equal(refusal({ ...LLAMA, vocab_size: -1 }).code, 'config.type');
  const { num_experts_per_tok: _, ...noTopK } = MIXTRAL;
  assert.match(refusal(noTopK).message, /missing num_experts_per_tok/);
});

test('what is not priced here: refused with its value', () => {
  assert.match(refusal({ ...LLAMA, hidden_act: 'gelu' }).message, /hidden_act is "gelu"/);
  assert.match(refusal({ ...MIXTRAL, sliding_window: 4096 }).message, /sliding_window is 4096/);
  assert.equal(refusal({ ...QWEN2, use_sliding_window: true }).code, 'config.unsupported');
  assert.match(refusal({ ...QWEN3_MOE, mlp_only_layers: [0] }).hint ?? '', /every layer/);
  assert.equal(refusal({ ...QWEN3_MOE, decoder_sparse_step: 2 }).code, 'config.unsupported');
  assert.match(refusal({ ...LLAMA, num_key_value_heads: 7 }).message, /no multiple/);
  assert.match(refusal({ ...LLAMA, num_attention_heads: 48 }).message, /headDim/);
  assert.match(refusal({ ...MIXTRAL, num_experts_per_tok: 9 }).message, /outside 1 …/);
});

/** Parameters, norms and the routers' matrices included. */
function parameters(m: GqaModelConfig): number {
  const attention = m.hiddenSize * m.headDim * 2 * (m.numAttentionHeads + m.numKeyValueHeads);
  const width = m.moeIntermediateSize * (m.nRoutedExperts + m.nSharedExperts);
  const moe = 3 * m.hiddenSize * width + m.hiddenSize * m.nRoutedExperts;
  const numDense = m.nRoutedExperts > 0 ? m.firstKDenseReplace : m.numHiddenLayers;
  const layers =
    m.numHiddenLayers * (attention + 2 * m.hiddenSize) +
    numDense * 3 * m.hiddenSize * m.intermediateSize +
    (m.numHiddenLayers - numDense) * moe;
  return 2 * m.vocabSize * m.hiddenSize + layers + m.hiddenSize;
}

test('an odd width of a head: refused, since rotary embeddings turn pairs', () => {
  assert.throws(() => parsePlannedModel({ ...LLAMA, head_dim: 127 }, 'odd.json'), {
    code: 'config.invalid',
  });
});

test('every grouped-query preset: it is consistent, and has the parameters that its maker gives', () => {
  const billions: Readonly<Record<string, number>> = {
    'llama-3.1-405b': 405.85,
    'llama-3.1-70b': 70.55,
    'llama-3.1-8b': 8.03,
    'llama-2-70b': 68.98,
    'llama-13b': 13.02,
    'qwen2.5-72b': 72.7,
    'qwen3-235b-a22b': 235.09,
    'qwen3-30b-a3b': 30.53,
    'mixtral-8x7b': 46.7,
    'mixtral-8x22b': 140.63,
    'deepseek-67b': 67.42,
    'deepseek-moe-16b': 16.38,
  };
  assert.deepEqual([...gqaPresets.keys()], Object.keys(billions));
  for (const [name, model] of gqaPresets) {
    validateGqaModel(model, name);
    assert.ok(Math.abs(parameters(model) / 1e9 - (billions[name] ?? 0)) < 0.01, name);
  }
});

test('findPlannedModel: presets of both kinds, and the nearest for a slip', () => {
  assert.equal(findPlannedModel('deepseek-v3'), deepseekV3);
  assert.equal(isGqa(findPlannedModel('Llama-3.1-70B')), true);
  assert.throws(() => findPlannedModel('llama-3.1-70'), {
    code: 'config.unknownPreset',
    hint: 'Did you mean "llama-3.1-70b"?',
  });
  assert.throws(() => findPlannedModel('gpt-5'), /there is no model "gpt-5"/);
});

test('parsePlannedModel: a name that every object has is no architecture', () => {
  assert.throws(() => parsePlannedModel({ model_type: 'constructor' }, 'c.json'), {
    code: 'config.modelType',
  });
});
