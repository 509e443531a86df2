/** Searches of a small model: what the best must be, what relaxing may do, and the refusals. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import { findCluster } from '../../config/clusters/clusters.ts';
import type { ModelConfig } from '../../config/modelConfig.ts';
import { deepseekV3 } from '../../config/presets/deepseekV3.ts';
import { simulatePlan } from '../simulatePlan.ts';
import { dominates } from './paretoFront.ts';
import { searchPlans } from './searchPlans.ts';
import type { SearchRequest, SearchResult } from './searchRequest.ts';

const model: ModelConfig = {
  ...deepseekV3,
  hiddenSize: 2048,
  intermediateSize: 8192,
  moeIntermediateSize: 1024,
  numHiddenLayers: 12,
  firstKDenseReplace: 1,
  numAttentionHeads: 16,
  nRoutedExperts: 32,
  numExpertsPerTok: 4,
  nGroup: 1,
  topkGroup: 1,
};

const request: SearchRequest = {
  model,
  cluster: findCluster('h800x32'),
  globalBatch: 128,
  sequenceLength: 2048,
  precision: 'fp8',
  mtp: true,
  totalTokens: 1e12,
  microBatchSizes: [1],
  recomputes: ['none', 'full'],
};

const gpuCounts = [16, 32, 64];
const searched: SearchResult = searchPlans({ ...request, gpuCounts });
/** With nothing fixed, on the cluster's own GPUs. */
const free: SearchResult = searchPlans(request);

function refusal(asked: SearchRequest): MoebiusError {
  try {
    searchPlans(asked);
  } catch (error) {
    assert.ok(error instanceof MoebiusError, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: 'the search found something' });
}

test('searchPlans: the best is the fastest that was simulated, and on the front', () => {
  const { best, candidates, pareto } = searched;
  assert.equal(at(candidates, 0), best);
  assert.ok(best.isBest && best.isSimulated && pareto.includes(best));
  assert.equal(candidates.filter(({ isBest }) => isBest).length, 1);
  const simulated = candidates.filter(({ isSimulated }) => isSimulated);
  assert.equal(simulated.length, 30);
  for (const plan of simulated) assert.ok((plan.days ?? 0) >= (best.days ?? 0));
});

test('searchPlans: nothing that was simulated dominates a plan of the front', () => {
  const { candidates, pareto } = searched;
  assert.ok(pareto.length > 1, 'fewer GPUs are cheaper');
  const simulated = candidates.filter(({ isSimulated }) => isSimulated);
  for (const plan of pareto) assert.ok(!simulated.some((other) => dominates(other, plan)));
  for (const plan of simulated) {
    if (pareto.includes(plan)) continue;
    assert.ok(pareto.some((other) => dominates(other, plan)) || isTie(plan, pareto));
  }
});

function isTie(plan: SearchResult['best'], front: SearchResult['pareto']): boolean {
  return front.some(({ days, dollars }) => days === plan.days && dollars === plan.dollars);
}

test('searchPlans: what was simulated for the best is what its plan takes by itself', () => {
  const { best } = searched;
  const cluster = findCluster(`h800x${best.numGpus}`);
  const { step } = simulatePlan({ model, plan: best.plan, cluster });
  assert.equal(step.seconds, best.stepSeconds);
});

test('searchPlans: fixing the layout to the best’s gives the best', () => {
  const { best } = searched;
  const { layout, schedule, microBatchSize } = best.plan;
  const again = searchPlans({
    ...request,
    gpuCounts: [best.numGpus],
    layout,
    schedules: [schedule],
    microBatchSizes: [microBatchSize],
  });
  assert.deepEqual(again.best.plan, best.plan);
  assert.equal(again.best.stepSeconds, best.stepSeconds);
});

test('searchPlans: relaxing a deadline or a budget never worsens the best', () => {
  const days = searched.pareto.map((plan) => plan.days ?? 0);
  const dollars = searched.pareto.map((plan) => plan.dollars);
  const few: SearchRequest = { ...request, gpuCounts, layout: { tp: 1 }, recomputes: ['none'] };
  const cheapest = [...days]
    .sort((a, b) => a - b)
    .map((allowed) => searchPlans({ ...few, deadlineDays: allowed * 1.02 }).best.dollars);
  assert.deepEqual(
    cheapest,
    [...cheapest].sort((a, b) => b - a),
  );
  const fastest = [...dollars]
    .sort((a, b) => a - b)
    .map((allowed) => searchPlans({ ...few, budgetDollars: allowed * 1.02 }).best.days ?? 0);
  assert.deepEqual(
    fastest,
    [...fastest].sort((a, b) => b - a),
  );
});

test('searchPlans: a factor less fixed costs the best at most what the cheap model is off by', () => {
  const { stepSeconds } = free.best;
  for (const layout of [{ pp: 4 }, { tp: 1 }, { ep: 8 }, { pp: 2, tp: 2 }]) {
    const fixed = searchPlans({ ...request, layout }).best.stepSeconds;
    assert.ok(stepSeconds <= fixed * 1.005, JSON.stringify(layout));
  }
});

test('searchPlans: every candidate says why it won or lost, with a number', () => {
  for (const { reason, overBytes, isBest } of searched.candidates) {
    assert.match(reason, /^[A-Z].*\d.*\.$/);
    assert.equal(reason.startsWith('Does not fit'), overBytes > 0, reason);
    assert.equal(/^The (fastest|cheapest) of/.test(reason), isBest, reason);
  }
  const late = searchPlans({
    ...request,
    gpuCounts,
    deadlineDays: (searched.best.days ?? 0) * 1.01,
  });
  assert.ok(late.candidates.some(({ reason }) => reason.startsWith('Past the deadline: ')));
});

test('searchPlans: what fits nowhere is refused with the nearest miss and its gigabytes', () => {
  const small = { ...request.cluster, gpu: { ...request.cluster.gpu, memoryBytes: 2e9 } };
  const { code, message, hint } = refusal({ ...request, cluster: small });
  assert.equal(code, 'search.memory');
  assert.match(
    message,
    /none of \d+ plans fits: the nearest, .* has [\d.]+ .iB too many on rank \d+/,
  );
  assert.match(hint ?? '', /GPUs with [\d.]+ GiB/);
});

test('searchPlans: a deadline that nothing meets is refused with days and GPUs that would', () => {
  const days = free.best.days ?? 0;
  const { code, message, hint } = refusal({ ...request, deadlineDays: days / 3 });
  assert.equal(code, 'search.deadline');
  assert.match(message, /the fastest, .* on 32 GPUs, takes/);
  assert.match(hint ?? '', /about 9[67] GPUs/);
});

test('searchPlans: a budget that nothing keeps is refused with what the cheapest costs', () => {
  const { dollars } = free.best;
  const { code, message, hint } = refusal({ ...request, budgetDollars: dollars / 2 });
  assert.equal(code, 'search.budget');
  assert.match(message, /nothing keeps \$.*: the cheapest, .* costs \$/);
  assert.match(hint ?? '', /^Allow \$/);
});

test('searchPlans: constraints that leave no plan are refused by name', () => {
  const { code, message, hint } = refusal({ ...request, layout: { pp: 3 } });
  assert.equal(code, 'search.noPlan');
  assert.match(message, /no plan on 32 GPUs/);
  assert.match(hint ?? '', /pp × tp × dp/);
});
