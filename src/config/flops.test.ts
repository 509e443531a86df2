/** Laws: FLOPs module by module, dense and mixed, against the papers' totals and own paper sums. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { moduleFlops, publishedFlops, ruleOfThumbFlops, scaleFlops } from './flops.ts';
import type { GqaModelConfig } from './gqaModelConfig.ts';
import {
  activeParameters,
  countParameters,
  flopsPerToken,
  kvBytesPerToken,
} from './modelCounts.ts';
import { deepseekV3 } from './presets/deepseekV3.ts';
import { deepseek_67b, llama31_405b, qwen25_72b } from './presets/dense.ts';

const TRAINING = { context: 4096, causal: true, mtp: false, training: true };

test('Llama-3.1-405B: 405,853,388,800 parameters, 516,096 bytes of cache, 2,473 GFLOP a token', () => {
  assert.equal(countParameters(llama31_405b).total, 405_853_388_800);
  assert.equal(kvBytesPerToken(llama31_405b), 516_096);
  assert.equal((flopsPerToken(llama31_405b, TRAINING) / 1e9).toFixed(3), '2473.222');
});

test('Qwen2.5-72B: its published parameters without biases, 327,680 bytes, 444.9 GFLOP', () => {
  const { total } = countParameters(qwen25_72b);
  // 64 × 128 + 2 × 8 × 128 biases in each of 80 layers make it the published 72,706,203,648.
  assert.equal(total + 80 * 10_240, 72_706_203_648);
  assert.equal(kvBytesPerToken(qwen25_72b), 327_680);
  assert.equal((flopsPerToken(qwen25_72b, TRAINING) / 1e9).toFixed(3), '444.856');
});

test('A dense model: everything is active, no expert and no MTP is counted', () => {
  for (const model of [llama31_405b, qwen25_72b, deepseek_67b]) {
    const { total, mtp, routedExperts, sharedExperts, router, routerBias } = countParameters(model);
    assert.deepEqual([mtp, routedExperts, sharedExperts, router, routerBias], [0, 0, 0, 0, 0]);
    assert.equal(activeParameters(model).withEmbeddingAndHead, total);
    assert.equal(flopsPerToken(model, { ...TRAINING, mtp: true }), flopsPerToken(model, TRAINING));
  }
});

test('A mixture with grouped queries: the sums of Mixtral-8x7B, 46.70 B and 12.88 B active', () => {
  const mixtral: GqaModelConfig = {
    modelType: 'gqa',
    vocabSize: 32_000,
    hiddenSize: 4096,
    intermediateSize: 14_336,
    numHiddenLayers: 32,
    numAttentionHeads: 32,
    numKeyValueHeads: 8,
    headDim: 128,
    nRoutedExperts: 8,
    nSharedExperts: 0,
    numExpertsPerTok: 2,
    moeIntermediateSize: 14_336,
    firstKDenseReplace: 0,
    tieWordEmbeddings: false,
    maxPositionEmbeddings: 32_768,
  };
  assert.equal(countParameters(mixtral).total, 46_702_792_704);
  assert.equal(activeParameters(mixtral).withEmbeddingAndHead, 12_879_925_248);
  const { routedExperts, denseMlp, gate, kvUp } = moduleFlops(mixtral, {
    sequenceLength: 4096,
    causal: true,
  });
  assert.equal(denseMlp, 0);
  assert.equal(routedExperts, 32 * 2 * 6 * 4096 * 14_336);
  assert.equal(gate, 32 * 2 * 8 * 4096);
  assert.equal(kvUp, 32 * 2 * 4096 * 2 * 8 * 128);
  // The first layers dense, of another width.
  const mixed = { ...mixtral, firstKDenseReplace: 3, intermediateSize: 1000 };
  const modules = moduleFlops(mixed, { sequenceLength: 1, causal: true });
  assert.equal(modules.denseMlp, 3 * 6 * 4096 * 1000);
  assert.equal(modules.routedExperts, 29 * 2 * 6 * 4096 * 14_336);
});

test('DeepSeek-V3: 249.811 GFLOP to train a token are its modules, three times; 280.514 not causal', () => {
  const gigaflops = (causal: boolean): string => {
    const modules = moduleFlops(deepseekV3, { sequenceLength: 4096, causal });
    return (publishedFlops(scaleFlops(modules, 3), { mtp: false }) / 1e9).toFixed(3);
  };
  assert.deepEqual([gigaflops(true), gigaflops(false)], ['249.811', '280.514']);
});

test('moduleFlops: half of attention is what causal leaves out, and nothing else', () => {
  for (const model of [deepseekV3, llama31_405b]) {
    const all = moduleFlops(model, { sequenceLength: 1000, causal: false });
    const past = moduleFlops(model, { sequenceLength: 1000, causal: true });
    assert.deepEqual(
      { ...all, scores: all.scores / 2, values: all.values / 2, mtp: 0 },
      { ...past, mtp: 0 },
    );
  }
});

test('moduleFlops: 6ND of the active matrices is all but attention', () => {
  const modules = moduleFlops(deepseekV3, { sequenceLength: 4096, causal: true });
  const { scores, values, mtp: _mtp, ...matrices } = modules;
  const products = Object.values(matrices).reduce((sum, flops) => sum + flops, 0);
  // Active parameters with the head, less the gains, which multiply no matrix.
  const parameters = activeParameters(deepseekV3).withHead - countParameters(deepseekV3).norms;
  const rule = ruleOfThumbFlops({ flopsPerParameter: 6, parameters, tokens: 1 });
  assert.equal(products * 3, rule);
  assert.ok(scores > 0 && values > 0);
});
