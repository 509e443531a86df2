/** Laws: names, shapes and sizes of the published checkpoints, from their configs alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { goldenFolder, goldenJson } from '../../tests/support/golden.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import { countParameters } from '../config/modelCounts.ts';
import { parseModelConfig } from '../config/parseModelConfig.ts';
import { deepseekV2Lite } from '../config/presets/deepseekV2.ts';
import { deepseekV3 } from '../config/presets/deepseekV3.ts';
import { findPreset, presetNames } from '../config/presets/presets.ts';
import { v3Mini } from '../config/presets/small.ts';
import { checkpointSize, checkpointTensors, type TensorSpec } from './parameterNames.ts';
import { openCheckpoint } from './shards.ts';

const specsOf = (config: ModelConfig): ReadonlyMap<string, TensorSpec> =>
  new Map([...checkpointTensors(config)].map((spec) => [spec.name, spec]));

const elements = (spec: TensorSpec): number => spec.shape.reduce((a, b) => a * b, 1);

test('DeepSeek-V3’s checkpoint: 91,991 tensors in 688,574,839,360 bytes', () => {
  assert.deepEqual(checkpointSize(deepseekV3), {
    tensors: 91_991,
    elements: 684_531_386_000,
    bytes: 688_574_839_360,
  });
  assert.equal(specsOf(deepseekV3).size, 91_991);
});

test('DeepSeek-V3’s checkpoint: names, shapes and dtypes are those of the release', () => {
  const specs = specsOf(deepseekV3);
  const published: Readonly<Record<string, readonly [string, ...number[]]>> = {
    'model.embed_tokens.weight': ['bf16', 129280, 7168],
    'lm_head.weight': ['bf16', 129280, 7168],
    'model.norm.weight': ['bf16', 7168],
    'model.layers.0.input_layernorm.weight': ['bf16', 7168],
    'model.layers.61.post_attention_layernorm.weight': ['bf16', 7168],
    'model.layers.5.self_attn.q_a_proj.weight': ['f8e4m3', 1536, 7168],
    'model.layers.5.self_attn.q_a_proj.weight_scale_inv': ['f32', 12, 56],
    'model.layers.5.self_attn.q_a_layernorm.weight': ['bf16', 1536],
    'model.layers.5.self_attn.q_b_proj.weight': ['f8e4m3', 24576, 1536],
    'model.layers.5.self_attn.q_b_proj.weight_scale_inv': ['f32', 192, 12],
    'model.layers.5.self_attn.kv_a_proj_with_mqa.weight': ['f8e4m3', 576, 7168],
    'model.layers.5.self_attn.kv_a_proj_with_mqa.weight_scale_inv': ['f32', 5, 56],
    'model.layers.5.self_attn.kv_a_layernorm.weight': ['bf16', 512],
    'model.layers.5.self_attn.kv_b_proj.weight': ['f8e4m3', 32768, 512],
    'model.layers.5.self_attn.kv_b_proj.weight_scale_inv': ['f32', 256, 4],
    'model.layers.5.self_attn.o_proj.weight': ['f8e4m3', 7168, 16384],
    'model.layers.5.self_attn.o_proj.weight_scale_inv': ['f32', 56, 128],
    'model.layers.2.mlp.gate_proj.weight': ['f8e4m3', 18432, 7168],
    'model.layers.2.mlp.gate_proj.weight_scale_inv': ['f32', 144, 56],
    'model.layers.2.mlp.down_proj.weight': ['f8e4m3', 7168, 18432],
    'model.layers.3.mlp.gate.weight': ['bf16', 256, 7168],
    'model.layers.3.mlp.gate.e_score_correction_bias': ['f32', 256],
    'model.layers.61.mlp.experts.255.up_proj.weight': ['f8e4m3', 2048, 7168],
    'model.layers.61.mlp.experts.255.up_proj.weight_scale_inv': ['f32', 16, 56],
    'model.layers.3.mlp.experts.7.down_proj.weight_scale_inv': ['f32', 56, 16],
    'model.layers.3.mlp.shared_experts.down_proj.weight': ['f8e4m3', 7168, 2048],
    'model.layers.61.enorm.weight': ['bf16', 7168],
    'model.layers.61.hnorm.weight': ['bf16', 7168],
    'model.layers.61.eh_proj.weight': ['bf16', 7168, 14336],
    'model.layers.61.shared_head.norm.weight': ['bf16', 7168],
    'model.layers.61.embed_tokens.weight': ['bf16', 129280, 7168],
    'model.layers.61.shared_head.head.weight': ['bf16', 129280, 7168],
  };
  for (const [name, [dtype, ...shape]] of Object.entries(published)) {
    const spec = specs.get(name);
    assert.deepEqual([spec?.dtype, spec?.shape], [dtype, shape], name);
  }
  for (const absent of [
    'model.layers.62.enorm.weight',
    'model.layers.60.enorm.weight',
    'model.layers.2.mlp.gate.weight',
    'model.layers.3.mlp.gate_proj.weight',
    'model.layers.3.mlp.gate.weight_scale_inv',
    'model.layers.61.eh_proj.weight_scale_inv',
    'model.layers.0.self_attn.q_proj.weight',
  ]) {
    assert(!specs.has(absent), absent);
  }
});

test('Checkpoints: for every preset their weights are the counted parameters', () => {
  for (const name of presetNames) {
    const config = findPreset(name);
    const { total, mtp, routerBias } = countParameters(config);
    let [main, extra, bias] = [0, 0, 0];
    for (const spec of checkpointTensors(config)) {
      const layer = Number(/layers\.(\d+)\./.exec(spec.name)?.[1] ?? 0);
      const isMtp = layer >= config.numHiddenLayers;
      if (spec.kind === 'weight' && isMtp) extra += elements(spec);
      else if (spec.kind === 'weight') main += elements(spec);
      else if (spec.kind === 'routerBias' && !isMtp) bias += elements(spec);
    }
    assert.deepEqual([main, extra, bias], [total, mtp, routerBias], name);
  }
});

test('Checkpoints: without a query rank there is one query projection', () => {
  const specs = specsOf(deepseekV2Lite);
  assert.deepEqual(specs.get('model.layers.0.self_attn.q_proj.weight')?.shape, [16 * 192, 2048]);
  assert(!specs.has('model.layers.0.self_attn.q_a_proj.weight'));
  assert(!specs.has('model.layers.1.mlp.gate.e_score_correction_bias'), 'V2 has no bias');
});

test('Checkpoints: shared experts are one MLP, as wide as all of them', () => {
  const spec = specsOf(deepseekV2Lite).get('model.layers.1.mlp.shared_experts.up_proj.weight');
  assert.deepEqual(spec?.shape, [2 * 1408, 2048]);
});

test('Checkpoints: MTP layers follow the main ones, however many there are', () => {
  const specs = specsOf({ ...v3Mini, numHiddenLayers: 5, numNextnPredictLayers: 2 });
  assert(specs.has('model.layers.5.eh_proj.weight') && specs.has('model.layers.6.eh_proj.weight'));
  assert(!specs.has('model.layers.7.eh_proj.weight'));
  assert.deepEqual(specs.get('model.layers.6.shared_head.head.weight'), {
    name: 'model.layers.6.shared_head.head.weight',
    shape: [8192, 256],
    dtype: 'f32',
    kind: 'copy',
    of: 'lm_head.weight',
  });
});

test('Checkpoints: a tied model has no head of its own', () => {
  const specs = specsOf({ ...v3Mini, tieWordEmbeddings: true });
  assert(!specs.has('lm_head.weight'));
  const copy = specs.get('model.layers.8.shared_head.head.weight');
  assert.equal(copy?.of, 'model.embed_tokens.weight');
});

test('Checkpoints: the golden models have exactly the tensors that their configs say', async () => {
  const lessIn: Readonly<Record<string, RegExp>> = {
    'v3-tiny': /^model\.layers\.4\.(embed_tokens|shared_head\.head)\.weight$/,
    'v3-tiny-fp8': /^model\.layers\.2\./,
  };
  for (const folder of ['v3-tiny', 'v3-tiny-fp8', 'v3-tiny-trained']) {
    const config = parseModelConfig(goldenJson(`${folder}/config.json`), folder);
    const { tensors } = await openCheckpoint(goldenFolder(folder));
    const isCut = (name: string): boolean => lessIn[folder]?.test(name) ?? false;
    const expected = [...checkpointTensors(config)].filter(
      ({ name }) => tensors.has(name) || !isCut(name),
    );
    assert.deepEqual(
      expected.map(({ name, shape }) => [name, shape]).sort(),
      [...tensors.values()].map(({ name, shape }) => [name, shape]).sort(),
    );
  }
});
