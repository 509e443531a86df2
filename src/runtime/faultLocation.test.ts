/** Where a fault is, from the name of what shows it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { layerOf } from './faultLocation.ts';

test('layerOf: weights, gradients and activations name their layer, the rest has none', () => {
  const config = { numHiddenLayers: 61 };
  for (const [name, layer] of [
    ['model.layers.3.self_attn.o_proj.weight', 3],
    ['model.layers.60.mlp.experts.gate_up_proj.weight', 60],
    ['hidden.12', 12],
    ['router.4.logits', 4],
    ['debug.layer7.ffn_out', 7],
    ['debug.layer10.q_nope', 10],
    ['mtp_hidden.0', 61],
    ['mtp_logits.1', 62],
    ['model.embed_tokens.weight', null],
    ['lm_head.weight', null],
    ['logits', null],
    ['final_norm', null],
    ['embed', null],
  ] as const) {
    assert.equal(layerOf(name, config), layer, name);
  }
});
