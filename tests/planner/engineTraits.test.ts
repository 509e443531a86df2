/** What engines other than DeepSeek's do: each trait changes what it says, and nothing else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findCluster } from '../../src/config/clusters/clusters.ts';
import type { EngineTraits } from '../../src/config/engineTraits.ts';
import type { PlannedModel } from '../../src/config/gqaModelConfig.ts';
import { parseLayout, type TrainingPlan } from '../../src/config/parallelPlan.ts';
import { findPlannedModel } from '../../src/config/presets/dense.ts';
import { type SimulatedStep, simulatePlan } from '../../src/planner/simulatePlan.ts';
import { kernelTime } from '../../src/simulator/cost/kernelTime.ts';
import { errorBar } from '../../src/simulator/estimate.ts';

interface Case {
  readonly model: PlannedModel;
  readonly cluster: string;
  readonly plan: Omit<TrainingPlan, 'layout'>;
  readonly layout: string;
}

const plan = {
  schedule: '1f1b',
  chunksPerRank: 1,
  microBatchSize: 1,
  sequenceLength: 4096,
  recompute: 'none',
  mtp: false,
} as const;

const dense: Case = {
  model: findPlannedModel('llama-3.1-70b'),
  cluster: 'h100x64',
  layout: 'tp4,pp4,zero1',
  plan: { ...plan, globalBatch: 64, precision: 'bf16' },
};

const sparse: Case = {
  model: findPlannedModel('qwen3-235b-a22b'),
  cluster: 'h100x64',
  layout: 'pp2,ep32,zero1',
  plan: { ...plan, globalBatch: 64, precision: 'fp8' },
};

function simulate(
  { model, cluster, layout, plan: rest }: Case,
  engine?: EngineTraits,
): SimulatedStep {
  const described = findCluster(cluster);
  return simulatePlan({
    model,
    plan: {
      ...rest,
      layout: parseLayout(layout, described.numGpus),
      ...(engine === undefined ? {} : { engine }),
    },
    cluster: described,
    imbalance: 1,
  });
}

function seconds(of: Case, engine?: EngineTraits): number {
  return simulate(of, engine).step.seconds;
}

test('engine: without traits a step is the step without an engine', () => {
  for (const each of [dense, sparse]) assert.equal(seconds(each, {}), seconds(each));
});

test('engine: tensor-parallel transfers beside products hide, and no more than there are', () => {
  const alone = simulate(dense);
  const beside = simulate(dense, { tensorTransfers: 'pipelined' });
  const partly = simulate(dense, { tensorTransfers: { hiddenShare: 0.3 } });
  const [pass] = alone.uses;
  assert.ok(pass !== undefined && pass.price.tensorSeconds > 0);
  assert.ok(beside.step.seconds < partly.step.seconds);
  assert.ok(partly.step.seconds < alone.step.seconds);
  // Pieces of a product take longer than the whole, so less than all is gained.
  const transfers = pass.price.tensorSeconds / pass.price.seconds;
  assert.ok(beside.step.seconds > alone.step.seconds * (1 - 1.3 * transfers));
});

test('engine: gradients and weights under passes show a layer’s worth', () => {
  const [after, under] = [simulate(dense), simulate(dense, { optimizerTransfers: 'underPasses' })];
  const [first] = after.stages;
  const layers = (first?.last ?? 0) - (first?.first ?? 0);
  for (const part of ['reduceGradients', 'gatherWeights'] as const) {
    const whole = after.optimizer[0]?.[part].seconds ?? 0;
    const shown = under.optimizer[0]?.[part].seconds ?? 0;
    assert.ok(whole > 0);
    assert.ok(Math.abs(shown / whole - 1 / layers) < 1e-9, `${part}: ${shown} of ${whole}`);
  }
});

test('engine: a row for every expert is more to send than a token for every node', () => {
  const once = simulate(sparse);
  const rows = simulate(sparse, { expertRows: 'perExpert' });
  const moved = (step: SimulatedStep): number =>
    step.uses.reduce((sum, { price, count }) => sum + price.communicationSeconds * count, 0);
  // 8 experts over 4 nodes: 6 rows leave the node where 2.7 tokens do.
  const ratio = moved(rows) / moved(once);
  assert.ok(ratio > 1.2 && ratio < 8 / 2, String(ratio));
});

test('engine: two micro-batches that run together hide transfers, down to what computes', () => {
  const alone = simulate(sparse);
  const together = simulate(sparse, { expertTransfers: 'pipelined' });
  assert.ok(together.step.seconds < alone.step.seconds);
  const computing = alone.uses.reduce(
    (sum, { price, count }) => sum + price.computeSeconds * count,
    0,
  );
  assert.ok(together.step.seconds > 0.9 * computing);
});

test('engine: scores through memory cost more than flash attention, the more the longer', () => {
  const ratio = (sequenceLength: number): number => {
    const at = { ...dense, plan: { ...dense.plan, sequenceLength } };
    return seconds(at, { attention: 'unfused' }) / seconds(at);
  };
  assert.ok(ratio(2048) > 1.02);
  assert.ok(ratio(8192) > ratio(2048));
});

test('engine: MXFP8 casts more than scales of whole tensors, and less than tiles', () => {
  const casts = (fp8Scaling: 'tiles' | 'tensor' | 'mx'): number => {
    const { uses } = simulate(
      { ...dense, plan: { ...dense.plan, precision: 'fp8' } },
      { fp8Scaling },
    );
    const of = uses.flatMap(({ price }) => price.operations);
    return of
      .filter(({ name }) => name === 'cast' || name === 'transposedCast')
      .reduce((sum, operation) => sum + operation.seconds, 0);
  };
  assert.ok(casts('tensor') < casts('mx'));
  assert.ok(casts('mx') < casts('tiles'));
});

test('products on B200: 8,192³ in BF16 as torchao printed it, 1,420 TFLOP/s, within 3 %', () => {
  const { gpu } = findCluster('b200x8');
  const n = 8192;
  const { seconds: time } = kernelTime(
    {
      ...{ class: 'bf16Gemm', what: '', m: n, n, k: n, groups: 1 },
      ...{ flops: 2 * n ** 3, recomputedFlops: 0, bytes: 6 * n * n, isShared: true },
    },
    {
      ...{ gpu, numSms: gpu.numSms, freeSms: gpu.numSms, memoryTaken: 0 },
      ...{ release: 'first', fp8Scaling: 'tensor' },
    },
  );
  assert.ok(Math.abs((2 * n ** 3) / time / 1420e12 - 1) < 0.03);
});

test('error bars: wider on chips without tables, and for experts in other engines', () => {
  const bar = (of: Case, engine?: EngineTraits): number => errorBar(simulate(of, engine).step);
  assert.ok(bar({ ...dense, cluster: 'a100x64' }) > 1.2 * bar(dense));
  assert.ok(bar(sparse, { expertRows: 'perExpert' }) > 1.2 * bar(sparse));
});
