/** Weights and optimiser state against published sums: the model's counts, ZeRO, Megatron-LM. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { stagesOfPlan } from '../../../tests/support/memoryPlans.ts';
import { tinyV2, tinyV3 } from '../../../tests/support/tinyConfig.ts';
import { v3Plan } from '../../../tests/support/v3Plan.ts';
import { at } from '../../base/assert.ts';
import type { GqaModelConfig, PlannedModel } from '../../config/gqaModelConfig.ts';
import type { ModelConfig } from '../../config/modelConfig.ts';
import { countParameters } from '../../config/modelCounts.ts';
import type { ParallelPlan, ScheduleName, TrainingPlan } from '../../config/parallelPlan.ts';
import { deepseekV2Lite } from '../../config/presets/deepseekV2.ts';
import { deepseekV3 } from '../../config/presets/deepseekV3.ts';
import { kimiK2, moonlight16bA3b } from '../../config/presets/moonshot.ts';
import { parameterLayout } from '../../model/parameterLayout.ts';
import { numElements } from '../../tensor/tensor.ts';
import { type MemoryRecipe, memoryRecipes } from './memoryRecipe.ts';
import { heldParameters, modelState } from './modelState.ts';
import type { ParameterName } from './parameterGroups.ts';

const bf16: MemoryRecipe = memoryRecipes.bf16;

/** 7 B parameters and a little, no experts. */
const dense: GqaModelConfig = {
  modelType: 'gqa',
  vocabSize: 32_000,
  hiddenSize: 4096,
  intermediateSize: 11_008,
  numHiddenLayers: 32,
  numAttentionHeads: 32,
  numKeyValueHeads: 32,
  headDim: 128,
  nRoutedExperts: 0,
  nSharedExperts: 0,
  numExpertsPerTok: 0,
  moeIntermediateSize: 0,
  firstKDenseReplace: 32,
  tieWordEmbeddings: false,
  maxPositionEmbeddings: 4096,
};

function planOf(layout: Partial<ParallelPlan>, changes: Partial<TrainingPlan> = {}): TrainingPlan {
  const one: ParallelPlan = { dp: 1, pp: 1, ep: 1, tp: 1, zeroStage: 0 };
  return { ...v3Plan, schedule: '1f1b', ...changes, layout: { ...one, ...layout } };
}

function stateOf(model: PlannedModel, plan: TrainingPlan, recipe: MemoryRecipe, rank = 0) {
  const stages = stagesOfPlan(plan, model.numHiddenLayers);
  return modelState({ model, plan, recipe, stages }, rank);
}

/** All ranks of a stage together, each parameter once. */
function distinct(model: PlannedModel, plan: TrainingPlan): number {
  const stages = stagesOfPlan(plan, model.numHiddenLayers);
  const { dp, pp, tp } = plan.layout;
  let sum = 0;
  for (let rank = 0; rank < pp; rank++) {
    for (const { count, replicas } of heldParameters({ model, plan, recipe: bf16, stages }, rank)) {
      sum += (count * dp * tp) / replicas;
    }
  }
  return sum;
}

const models: Readonly<Record<string, ModelConfig>> = {
  'deepseek-v3': deepseekV3,
  'deepseek-v2-lite': deepseekV2Lite,
  'moonlight-16b-a3b': moonlight16bA3b,
  'kimi-k2': kimiK2,
  'tiny V3': tinyV3,
  'tiny V2': tinyV2,
};

for (const [name, model] of Object.entries(models)) {
  test(`modelState: the parameters of ${name} on all ranks add up to the published total`, () => {
    const counts = countParameters(model);
    const pp = Math.min(2, model.numHiddenLayers);
    for (const schedule of ['1f1b', 'dualpipe', 'interleaved-1f1b'] as ScheduleName[]) {
      const chunksPerRank = schedule === '1f1b' || model.numHiddenLayers < 4 ? 1 : 2;
      const layout = { dp: 4, pp, ep: 2 };
      const mtp = model.numNextnPredictLayers > 0;
      const plan = planOf(layout, { schedule, chunksPerRank, mtp });
      // Where the ends lie on two ranks, MTP's embedding is a copy (V3 report, 3.2.3: DualPipe has
      // both on one).
      const isCopied = pp > 1 && schedule !== 'dualpipe' && (mtp || model.tieWordEmbeddings);
      const total = counts.total + (mtp ? counts.mtp : 0);
      assert.equal(distinct(model, plan), total + (isCopied ? counts.embedding : 0));
    }
  });

  test(`modelState: every stage of ${name} holds what the model's own layout lists`, () => {
    const plan = planOf({ pp: Math.min(2, model.numHiddenLayers) }, { mtp: true });
    const stages = stagesOfPlan(plan, model.numHiddenLayers);
    for (const [rank, own] of stages.entries()) {
      const held = heldParameters({ model, plan, recipe: bf16, stages }, rank);
      const sum = held.reduce((total, { count }) => total + count, 0);
      const listed = parameterLayout(model, at(own, 0)).filter(({ isTrained }) => isTrained);
      assert.equal(
        sum,
        listed.reduce((total, { shape }) => total + numElements(shape), 0),
      );
    }
  });
}

test('modelState: four routed experts of V3 per rank are 638.6 M parameters, twice in DualPipe', () => {
  const experts = (schedule: ScheduleName): number => {
    const plan = { ...v3Plan, schedule, mtp: false };
    const stages = stagesOfPlan(plan, deepseekV3.numHiddenLayers);
    const held = stages.flatMap((_, rank) =>
      heldParameters({ model: deepseekV3, plan, recipe: memoryRecipes.fp8, stages }, rank),
    );
    const isRouted = ({ name }: { name: ParameterName }): boolean => name === 'routed experts';
    return held.filter(isRouted).reduce((sum, { count }) => sum + count, 0) / stages.length;
  };
  // Mean over the sixteen ranks: 4 × 44,040,192 × 58 / 16; a byte each in FP8.
  assert.equal(experts('1f1b'), (4 * 44_040_192 * 58) / 16);
  assert.equal((experts('1f1b') / 1e9).toFixed(3), '0.639');
  assert.equal(experts('dualpipe'), 2 * experts('1f1b'));
});

test('modelState: ZeRO over N ranks holds 2Ψ+2Ψ+12Ψ bytes, divided as its paper says', () => {
  // Rajbhandari et al. 2020, section 3: FP16 weights and gradients, K = 12.
  const recipe: MemoryRecipe = { ...bf16, gradients: 'bf16' };
  const N = 64;
  const psi = distinct(dense, planOf({}));
  const sum = (zeroStage: 0 | 1 | 2 | 3): number => {
    const state = stateOf(dense, planOf({ dp: N, zeroStage }), recipe);
    return state.weights + state.gradients + state.masterWeights + state.moments;
  };
  const near = (a: number, b: number): void => assert.ok(Math.abs(a / b - 1) < 1e-12, `${a} ${b}`);
  near(sum(0), 16 * psi);
  near(sum(1), 4 * psi + (12 * psi) / N);
  near(sum(2), 2 * psi + (14 * psi) / N);
  near(sum(3), (16 * psi) / N);
});

test('modelState: Megatron-LM’s distributed optimiser, 18 bytes a parameter and 6 + 12/d', () => {
  // docs/source/api-guide/dist_optimizer.md: BF16 parameters, FP32 gradients.
  const psi = distinct(dense, planOf({}));
  for (const d of [1, 8, 512]) {
    for (const [zeroStage, expected] of [
      [0, 18],
      [1, 6 + 12 / d],
    ] as const) {
      const state = stateOf(dense, planOf({ dp: d, zeroStage }), bf16);
      const bytes = state.weights + state.gradients + state.masterWeights + state.moments;
      assert.ok(Math.abs(bytes / psi - expected) < 1e-9, `${bytes / psi} ${expected}`);
    }
  }
});

test('modelState: V3’s recipe holds an FP8 weight in 14 bytes and its scales', () => {
  // Two layouts of codes, FP32 master weight and gradient, two BF16 moments (report, 3.3.3).
  const mlp = { ...dense, tieWordEmbeddings: true, vocabSize: 1 };
  const plan = planOf({});
  const state = stateOf(mlp, plan, memoryRecipes.fp8);
  const held = heldParameters(
    { model: mlp, plan, recipe: memoryRecipes.fp8, stages: stagesOfPlan(plan, 32) },
    0,
  );
  const linear = held.filter(({ kind }) => kind === 'linear').reduce((sum, h) => sum + h.count, 0);
  const plain = held.filter(({ kind }) => kind === 'plain').reduce((sum, h) => sum + h.count, 0);
  const bytes = state.weights + state.gradients + state.masterWeights + state.moments;
  assert.equal(bytes, linear * (2 + 4 / 16_384 + 4 + 4 + 4) + plain * (2 + 4 + 4 + 4));
});

test('modelState: a higher ZeRO stage, more ranks or offloading never holds more', () => {
  const part = fc.constantFrom(1, 2, 4, 8);
  fc.assert(
    fc.property(part, part, part, fc.nat(2), (dp, tp, ep, stage) => {
      fc.pre((dp * tp) % ep === 0);
      const zeroStage = stage as 0 | 1 | 2;
      const total = (layout: Partial<ParallelPlan>, recipe = memoryRecipes.fp8): number => {
        const state = stateOf(deepseekV3, planOf({ dp, tp, ep, ...layout }), recipe);
        return state.weights + state.gradients + state.masterWeights + state.moments;
      };
      const now = total({ zeroStage });
      assert.ok(total({ zeroStage: (zeroStage + 1) as 1 | 2 | 3 }) <= now);
      assert.ok(total({ zeroStage, dp: 2 * dp }) <= now);
      assert.ok(total({ zeroStage, ep: 2 * ep, dp: 2 * dp }) <= now);
      assert.ok(total({ zeroStage }, { ...memoryRecipes.fp8, offload: 'optimizer' }) < now);
    }),
  );
});
