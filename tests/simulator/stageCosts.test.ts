/** Prices of passes on stages of any make: sums, recompute, tensor parallelism, ends, imbalance. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findCluster } from '../../src/config/clusters/clusters.ts';
import { isGqa, type PlannedModel } from '../../src/config/gqaModelConfig.ts';
import { isMoeLayer } from '../../src/config/modelConfig.ts';
import { parseLayout, type TrainingPlan } from '../../src/config/parallelPlan.ts';
import { deepseekV2 } from '../../src/config/presets/deepseekV2.ts';
import { deepseekV3 } from '../../src/config/presets/deepseekV3.ts';
import { llama31_405b, qwen3_235b_a22b } from '../../src/config/presets/dense.ts';
import { backwardOrder, forwardOrder, pairOrder } from '../../src/policy/overlap/partOrder.ts';
import { type StageParts, stagePartsOf } from '../../src/policy/overlap/stageParts.ts';
import {
  createStageCosts,
  nodeLimit,
  type PassPrice,
  type StageCostOptions,
  type StageCosts,
} from '../../src/simulator/cost/stageCosts.ts';
import { createNetworkModel } from '../../src/simulator/network/createNetworkModel.ts';
import { v3Plan } from '../support/v3Plan.ts';

const cluster = findCluster('h800x2048');
const network = createNetworkModel(cluster);
const plan: TrainingPlan = { ...v3Plan, recompute: 'none' };

function costsOf(
  changed: Partial<TrainingPlan> = {},
  options: Partial<StageCostOptions> = {},
): StageCosts {
  const own = { ...plan, ...changed };
  return createStageCosts({ model: deepseekV3, plan: own, cluster, network, ...options });
}

function partsOf(model: PlannedModel, first: number, last: number): StageParts {
  const isMoe = (layer: number): boolean =>
    isGqa(model) ? model.nRoutedExperts > 0 : isMoeLayer(model, layer);
  const numMtpBlocks = isGqa(model) ? 0 : model.numNextnPredictLayers;
  const numLayers = model.numHiddenLayers;
  const hasSharedExperts = model.nSharedExperts > 0;
  return stagePartsOf({ first, last, numLayers, isMoe, hasSharedExperts, numMtpBlocks });
}

/** Forward, backward and pair of some layers of a model. */
function passesOf(
  costs: StageCosts,
  [first, last]: readonly [number, number],
  model: PlannedModel = deepseekV3,
): { forward: PassPrice; backward: PassPrice; pair: PassPrice } {
  const parts = partsOf(model, first, last);
  const { hasEmbedding, hasHead } = parts;
  const stage = costs.stage({ first, last, hasEmbedding, hasHead });
  const both = { forward: stage, backward: stage };
  return {
    forward: costs.price(forwardOrder(parts), both),
    backward: costs.price(backwardOrder(parts), both),
    pair: costs.price(pairOrder({ forward: parts, backward: parts }), both),
  };
}

test('StageCosts: operations add up to what the two streams are busy with', () => {
  for (const layers of [
    [0, 4],
    [3, 7],
    [58, 61],
  ] as const) {
    for (const pass of Object.values(passesOf(costsOf({ recompute: 'v3' }), layers))) {
      const sum = pass.operations.reduce((seconds, each) => seconds + each.seconds, 0);
      const busy = pass.computeSeconds + pass.communicationSeconds;
      assert.ok(Math.abs(sum / busy - 1) < 1e-9, `${sum} of ${busy}`);
      assert.ok(pass.seconds <= busy + 1e-12 && pass.relativeError > 0.05);
    }
  }
});

test('StageCosts: a pass of several layers is made of its layers', () => {
  const costs = costsOf();
  const [two, four] = (
    [
      [3, 5],
      [3, 7],
    ] as const
  ).map((each) => passesOf(costs, each).backward);
  assert.ok(two && four && Math.abs(four.computeSeconds / two.computeSeconds - 2) < 0.02);
});

test('StageCosts: recompute costs time in the order of what it makes again', () => {
  const policies = ['none', 'swiglu', 'norm', 'v3', 'full'] as const;
  const seconds = policies.map(
    (recompute) => passesOf(costsOf({ recompute }), [3, 5]).backward.seconds,
  );
  assert.deepEqual(
    [...seconds].sort((a, b) => a - b),
    seconds,
  );
  const forward = passesOf(costsOf(), [3, 5]).forward.seconds;
  const [none = 0, , , , full = 0] = seconds;
  assert.ok(full - none > 0.9 * forward, 'all of forward, its transfers with it');
});

test('StageCosts: tensor parallelism splits the work and pays in transfers nothing hides', () => {
  const model = llama31_405b;
  const dense = { precision: 'bf16', mtp: false } as const;
  const whole = costsOf({ ...dense, layout: parseLayout('pp16', 2048) }, { model });
  const split = costsOf({ ...dense, layout: parseLayout('pp16,tp8', 2048) }, { model });
  const [one, eight] = [whole, split].map((each) => passesOf(each, [4, 6], model).forward);
  assert.ok(one && eight);
  assert.equal(one.tensorSeconds, 0);
  assert.ok(eight.tensorSeconds > 0 && eight.seconds > one.seconds / 8);
  assert.ok(eight.seconds - eight.tensorSeconds < one.seconds / 6);
});

test('StageCosts: an even load is the fastest, and the busiest rank’s transfers grow too', () => {
  const [even, busy] = [1, 1.5].map((imbalance) => {
    const { forward } = passesOf(costsOf({}, { imbalance }), [3, 7]);
    return forward;
  });
  assert.ok(even && busy);
  assert.ok(busy.communicationSeconds > even.communicationSeconds);
  assert.ok(busy.computeSeconds > even.computeSeconds);
});

test('StageCosts: measured factors move their class and no other', () => {
  const [plain, slow] = [{}, { attentionBackward: { factor: 2, relativeError: 0.1 } }].map(
    (factors) => passesOf(costsOf({}, { factors }), [3, 5]).backward,
  );
  assert.ok(plain && slow);
  for (const [index, { name, seconds }] of slow.operations.entries()) {
    const factor = name === 'attentionBackward' ? 2 : 1;
    assert.equal(seconds, factor * (plain.operations[index]?.seconds ?? Number.NaN), name);
  }
});

test('StageCosts: slices weigh what their layers take, ends included', () => {
  const costs = costsOf();
  const { embedding, dense, moe, head } = costs.sliceSeconds();
  assert.ok(embedding > 0 && embedding < 0.05 * dense);
  // The main head and MTP's: two of the vocabulary's products, and a layer between them.
  assert.ok(head > 2 * moe && head < 6 * moe);
  const { pair } = passesOf(costs, [3, 7]);
  assert.ok(Math.abs((4 * moe) / pair.computeSeconds - 1) < 0.05);
  const gqa = costsOf(
    { precision: 'bf16', layout: parseLayout('pp16', 2048) },
    { model: llama31_405b },
  );
  assert.equal(gqa.sliceSeconds().moe, 0);
});

test('StageCosts: a GQA mixture of experts is priced by the same path', () => {
  const costs = costsOf({ precision: 'bf16', mtp: false }, { model: qwen3_235b_a22b });
  const { forward, pair } = passesOf(costs, [4, 6], qwen3_235b_a22b);
  assert.ok(forward.operations.some(({ name }) => name === 'dispatch'));
  assert.ok(forward.operations.some(({ name }) => name === 'bf16GroupedGemm'));
  assert.ok(pair.seconds > forward.seconds);
});

test('nodeLimit: groups of experts on nodes, and no limit where nothing is limited', () => {
  const on = (model: PlannedModel, ep: number): number | null =>
    nodeLimit(model, { ep, gpusPerNode: 8 });
  assert.equal(on(deepseekV3, 64), 4, 'eight groups on eight nodes, four are kept');
  assert.equal(on(deepseekV3, 128), 8, 'a group lies on two nodes');
  assert.equal(on(deepseekV3, 32), null, 'four groups may lie on all four nodes');
  assert.equal(on(deepseekV3, 8), null);
  assert.equal(on(deepseekV2, 64), 3, 'eight groups, three are kept');
  assert.equal(on(qwen3_235b_a22b, 64), null);
});
