/**
 * Published memory figures of runs and analyses, with every difference that is known stated.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { evenStages, stagesOfPlan } from '../../../tests/support/memoryPlans.ts';
import { v3Plan } from '../../../tests/support/v3Plan.ts';
import { at } from '../../base/assert.ts';
import type { GqaModelConfig } from '../../config/gqaModelConfig.ts';
import type { ScheduleName, TrainingPlan } from '../../config/parallelPlan.ts';
import { deepseekV3 } from '../../config/presets/deepseekV3.ts';
import { estimateMemory } from './estimateMemory.ts';
import { memoryRecipes } from './memoryRecipe.ts';
import { heldParameters } from './modelState.ts';
import type { ParameterName } from './parameterGroups.ts';

const bf16Plan: TrainingPlan = {
  ...v3Plan,
  schedule: '1f1b',
  chunksPerRank: 1,
  precision: 'bf16',
  recompute: 'full',
  mtp: false,
};

test('heldParameters: V3’s middle stages at PP16 TP2 EP8 are those of arXiv 2502.07846', () => {
  const held = (layout: { dp: number; tp: number; ep: number }) => {
    const plan = { ...bf16Plan, layout: { ...layout, pp: 16, zeroStage: 0 as const } };
    const stages = evenStages(61, 16).map((stage) => [stage]);
    assert.equal(stages[7]?.[0]?.last, (stages[7]?.[0]?.first ?? 0) + 4);
    const { bf16: recipe } = memoryRecipes;
    const parameters = heldParameters({ model: deepseekV3, plan, recipe, stages }, 7);
    return (...names: ParameterName[]): number =>
      parameters.filter(({ name }) => names.includes(name)).reduce((sum, p) => sum + p.count, 0);
  };
  const device = held({ dp: 32, tp: 2, ep: 8 });
  // 859,308,032 bytes of attention: there the rope half of the query projection is on both ranks,
  // and gains (16,384 of attention's and the blocks' norms) are counted apart.
  const unsplitRope = (1536 * 128 * 64) / 2;
  assert.equal(2 * (device('attention') + 4 * unsplitRope), 859_308_032);
  assert.equal(device('norms'), 4 * 16_384);
  // 11,641,290,752 bytes of experts and gates: there the shared expert is not split either.
  const unsplitShared = 44_040_192 / 2;
  const experts = device('routed experts', 'shared experts', 'gate');
  assert.equal(2 * (experts + 4 * unsplitShared), 11_641_290_752);
  // 86 GB (of 2³⁰) for such a stage without any split.
  const whole = held({ dp: 1, tp: 1, ep: 1 });
  const names: ParameterName[] = ['attention', 'norms', 'routed experts', 'shared experts', 'gate'];
  assert.equal(((2 * whole(...names)) / 2 ** 30).toFixed(0), '86');
});

const llama405b: GqaModelConfig = {
  modelType: 'gqa',
  vocabSize: 128_256,
  hiddenSize: 16_384,
  intermediateSize: 53_248,
  numHiddenLayers: 126,
  numAttentionHeads: 128,
  numKeyValueHeads: 8,
  headDim: 128,
  nRoutedExperts: 0,
  nSharedExperts: 0,
  numExpertsPerTok: 0,
  moeIntermediateSize: 0,
  firstKDenseReplace: 126,
  tieWordEmbeddings: false,
  maxPositionEmbeddings: 131_072,
};

test('estimateMemory: Llama 3 405B trains 8K tokens without recomputation on 16,384 H100', () => {
  // The Llama 3 herd of models, 3.3.2 and table 4: TP 8, PP 16, DP 128, optimiser state and
  // gradients sharded, gradients in FP32, "without activation checkpointing".
  const layout = { dp: 128, pp: 16, ep: 1, tp: 8, zeroStage: 2 as const };
  const fullest = (schedule: ScheduleName, chunksPerRank: number, tp = 8): number => {
    const plan: TrainingPlan = {
      ...bf16Plan,
      layout: { ...layout, tp },
      schedule,
      chunksPerRank,
      globalBatch: 2048,
      sequenceLength: 8192,
      recompute: 'none',
    };
    const stages = stagesOfPlan(plan, llama405b.numHiddenLayers);
    return Math.max(
      ...estimateMemory({ model: llama405b, plan, stages }).map(({ peak }) => peak.total),
    );
  };
  assert.ok(fullest('1f1b', 1) < 80 * 2 ** 30);
  assert.ok(fullest('interleaved-1f1b', 2) < 80 * 2 ** 30);
  // And it is no accident: with half the tensor parallelism it would not.
  assert.ok(fullest('1f1b', 1, 4) > 80 * 2 ** 30);
});

test('estimateMemory: at PP16 EP4 V3’s middle ranks run out first (Megatron-LM issue 1516)', () => {
  // The report names neither tp nor dp nor the split of layers: the order of ranks holds for all.
  for (const [dp, tp] of [
    [4, 8],
    [8, 4],
    [32, 1],
  ] as const) {
    const layout = { dp, tp, pp: 16, ep: 4, zeroStage: 1 as const };
    const plan = { ...bf16Plan, layout, globalBatch: 64 * dp };
    const ranks = estimateMemory({ model: deepseekV3, plan, stages: stagesOfPlan(plan, 61) });
    const bytes = ranks.map(({ peak }) => peak.total);
    for (const middle of bytes.slice(2, 14)) {
      assert.ok(middle > 80 * 2 ** 30);
      assert.ok(middle > at(bytes, 0) + 10e9 && middle > at(bytes, 15) + 10e9);
    }
  }
});
