/**
 * The overlapped pair against DeepSeek's published trace: one forward and one backward of four MoE
 * layers of V3 (64 ranks, 4,096 tokens, H800). Its numbers are here, to test against, and nowhere
 * in the model. `t.diagnostic` prints the table part by part.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterSpec } from '../../src/config/clusterSpec.ts';
import { findCluster } from '../../src/config/clusters/clusters.ts';
import type { TrainingPlan } from '../../src/config/parallelPlan.ts';
import { deepseekV3 } from '../../src/config/presets/deepseekV3.ts';
import {
  backwardOrder,
  backwardWeightOrder,
  forwardOrder,
  pairOrder,
} from '../../src/policy/overlap/partOrder.ts';
import type { StageParts } from '../../src/policy/overlap/stageParts.ts';
import {
  createStageCosts,
  type PassPrice,
  type PricedStage,
  type StageCosts,
} from '../../src/simulator/cost/stageCosts.ts';
import { createNetworkModel } from '../../src/simulator/network/createNetworkModel.ts';
import { v3Plan as plan } from '../support/v3Plan.ts';

/** deepseek-ai/profile-data, train.json, analysed: seconds. */
const TRACE = {
  pair: 0.129,
  /** Per layer, on the compute streams; weight gradients of experts by their span. */
  parts: {
    'attention forward': 4.37e-3,
    'experts forward': 4.604e-3,
    'experts backward': 5.306e-3,
    'experts weights': 5.073e-3,
    'attention backward': 9.341e-3,
    'attention weights': 2.389e-3,
  },
  hiddenShare: 0.963,
} as const;

const parts: StageParts = {
  blocks: ['moe', 'moe', 'moe', 'moe'],
  hasSharedExperts: true,
  hasEmbedding: false,
  hasHead: false,
};

function costsOn(cluster: ClusterSpec, changed: Partial<TrainingPlan> = {}): StageCosts {
  const network = createNetworkModel(cluster);
  return createStageCosts({ model: deepseekV3, plan: { ...plan, ...changed }, cluster, network });
}

function fourLayers(costs: StageCosts): PricedStage {
  return costs.stage({ first: 3, last: 7, hasEmbedding: false, hasHead: false });
}

function pairOf(costs: StageCosts): PassPrice {
  const stage = fourLayers(costs);
  const order = pairOrder({ forward: parts, backward: parts });
  return costs.price(order, { forward: stage, backward: stage });
}

const h800 = findCluster('h800x2048');

test('The overlapped pair of four layers takes 129.0 ms within 8 %', (t) => {
  const pair = pairOf(costsOn(h800));
  const milliseconds = (seconds: number): string => (seconds * 1e3).toFixed(2);
  t.diagnostic(`pair ${milliseconds(pair.seconds)} of ${milliseconds(TRACE.pair)} ms`);
  for (const { name, seconds, source, shareOfLimit, bound } of pair.operations) {
    const share = `${(100 * shareOfLimit).toFixed(0)} % of the ${bound} limit`;
    t.diagnostic(`  ${name}: ${milliseconds(seconds)} ms, ${source}, ${share}`);
  }
  assert.ok(Math.abs(pair.seconds / TRACE.pair - 1) < 0.08, `${pair.seconds}`);
  assert.ok(Math.abs(pair.seconds / TRACE.pair - 1) < 2 * pair.relativeError, 'two error bars');
});

test('Every part of the pair is within 15 % of the trace, with nothing fitted to it', (t) => {
  const pair = pairOf(costsOn(h800));
  const perLayer = (...names: readonly string[]): number =>
    pair.spans
      .filter(({ name, stream }) => stream === 'compute' && names.includes(name))
      .reduce((sum, { start, end }) => sum + end - start, 0) / parts.blocks.length;
  const ours: Record<keyof typeof TRACE.parts, number> = {
    'attention forward': perLayer('forward attention'),
    'experts forward': perLayer('forward experts', 'forward sharedExperts'),
    'experts backward': perLayer('backwardInput experts', 'backwardInput sharedExperts'),
    'experts weights': perLayer('backwardWeight experts', 'backwardWeight sharedExperts'),
    'attention backward': perLayer('backwardInput attention'),
    'attention weights': perLayer('backwardWeight attention'),
  };
  for (const [name, measured] of Object.entries(TRACE.parts)) {
    const own = ours[name as keyof typeof ours];
    const off = own / measured - 1;
    t.diagnostic(`${name}: ${(own * 1e3).toFixed(3)} of ${(measured * 1e3).toFixed(3)} ms`);
    assert.ok(Math.abs(off) < 0.15, `${name}: ${(100 * off).toFixed(1)} %`);
  }
});

test('The published order hides the transfers, and a lone forward cannot', () => {
  const costs = costsOn(h800);
  const stage = fourLayers(costs);
  assert.ok(pairOf(costs).hiddenShare >= TRACE.hiddenShare);
  const lone = costs.price(forwardOrder(parts), { forward: stage });
  assert.ok(lone.hiddenShare < 0.2, `${lone.hiddenShare}`);
  const weights = costs.price(backwardWeightOrder(parts), { backward: stage });
  assert.equal(weights.communicationSeconds, 0);
});

test('A pair is faster than its passes in a row, and no faster than its computing', () => {
  const costs = costsOn(h800);
  const stage = fourLayers(costs);
  const pair = pairOf(costs);
  const forward = costs.price(forwardOrder(parts), { forward: stage });
  const backward = costs.price(backwardOrder(parts), { backward: stage });
  assert.ok(pair.seconds < forward.seconds + backward.seconds);
  assert.ok(pair.seconds > pair.computeSeconds - 1e-9);
});

test('Twice the tokens, half the bandwidth and SMs that are taken never make a pair faster', () => {
  const base = pairOf(costsOn(h800)).seconds;
  const longer = pairOf(costsOn(h800, { sequenceLength: 8192 })).seconds;
  // Products double; attention grows with the square.
  assert.ok(longer > 1.9 * base && longer < 3 * base, `${longer / base}`);
  const { gpu } = h800;
  const memoryBytesPerSecond = gpu.memoryBytesPerSecond / 2;
  assert.ok(pairOf(costsOn({ ...h800, gpu: { ...gpu, memoryBytesPerSecond } })).seconds > base);
  assert.ok(pairOf(costsOn({ ...h800, communicationSms: 40 })).seconds > base);
  const untaxed = pairOf(costsOn({ ...h800, communicationSms: 0 })).seconds;
  assert.ok(untaxed < base && untaxed > (112 / 132) * base * 0.98);
});

test('BF16 costs more time than FP8, and FP8 is refused where no tensor core has it', () => {
  const fp8 = pairOf(costsOn(h800)).seconds;
  const bf16 = pairOf(costsOn(h800, { precision: 'bf16' })).seconds;
  assert.ok(bf16 > fp8 && bf16 < 2 * fp8, `${bf16 / fp8}`);
  const gpu = { ...h800.gpu, name: 'A100', peakFlops: { bf16: 312e12, fp8: null } };
  const without = { ...h800, gpu };
  assert.throws(() => pairOf(costsOn(without)), { code: 'plan.precision' });
  assert.ok(pairOf(costsOn(without, { precision: 'bf16' })).seconds > bf16);
});
