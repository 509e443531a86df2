/** Stage traces: FLOPs of the published formulae, shares of ranks, recomputed work. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModelConfig } from '../../config/modelConfig.ts';
import { flopsPerToken } from '../../config/modelCounts.ts';
import { recomputePolicies } from '../../config/parallelPlan.ts';
import { deepseekV3 } from '../../config/presets/deepseekV3.ts';
import { llama31_405b, qwen3_235b_a22b } from '../../config/presets/dense.ts';
import { moonlight16bA3b } from '../../config/presets/moonshot.ts';
import {
  type KernelWork,
  type PartWork,
  partsOfPass,
  type StageWork,
  sumKernels,
} from './stageWork.ts';
import { type StageShape, StageTracer } from './traceStage.ts';

const shape: StageShape = {
  model: deepseekV3,
  ...{ tp: 1, ep: 64, microBatchSize: 1, sequenceLength: 256, imbalance: 1 },
  precision: 'fp8',
  fp8Scaling: 'tiles',
  engine: {},
  recompute: recomputePolicies.none,
  mtp: false,
};

function wholeOf(of: StageShape): StageWork {
  const last = of.model.numHiddenLayers;
  return new StageTracer(of).stage({ first: 0, last, hasEmbedding: true, hasHead: true });
}

function passFlops(work: StageWork): number {
  const passes = ['forward', 'backwardInput', 'backwardWeight'] as const;
  return passes.reduce((sum, pass) => sum + sumKernels(partsOfPass(work, pass)).flops, 0);
}

/** Published counts leave the gate out. */
function gateFlops({ nRoutedExperts, hiddenSize }: ModelConfig, moeLayers: number): number {
  return 3 * 2 * nRoutedExperts * hiddenSize * moeLayers;
}

test('StageTracer: FLOPs of a rank with a share of the experts are the published formula’s', () => {
  for (const model of [deepseekV3, moonlight16bA3b]) {
    const tokens = shape.sequenceLength;
    const traced = passFlops(wholeOf({ ...shape, model, ep: 8 })) / tokens;
    // A token sees itself too: (T + 1) / 2 of the past on average, the formula has T / 2.
    const context = tokens + 1;
    const counted = flopsPerToken(model, { context, causal: true, mtp: false, training: true });
    const moeLayers = model.numHiddenLayers - model.firstKDenseReplace;
    const expected = counted + gateFlops(model, moeLayers);
    assert.ok(Math.abs(traced / expected - 1) < 1e-9, `${traced} of ${expected}`);
  }
});

test('StageTracer: dense and GQA models count their products and their causal pairs', () => {
  for (const model of [llama31_405b, qwen3_235b_a22b]) {
    const tokens = shape.sequenceLength;
    const isMoe = model.nRoutedExperts > 0;
    const work = wholeOf({ ...shape, model, ep: isMoe ? 8 : 1, precision: 'bf16' });
    const { hiddenSize: D, headDim: N, numAttentionHeads: H, numKeyValueHeads: G } = model;
    const width = isMoe
      ? model.moeIntermediateSize * model.numExpertsPerTok
      : model.intermediateSize;
    const gate = isMoe ? model.nRoutedExperts : 0;
    const layer = D * N * (2 * H + 2 * G) + 3 * D * width + D * gate;
    const pairs = (tokens + 1) / 2;
    const perToken =
      2 * (model.numHiddenLayers * (layer + 2 * pairs * H * N) + model.vocabSize * D);
    const traced = passFlops(work) / tokens;
    assert.ok(Math.abs(traced / (3 * perToken) - 1) < 1e-9, `${traced} of ${3 * perToken}`);
  }
});

test('StageTracer: tensor-parallel ranks share a model’s FLOPs, but for the latent products', () => {
  const dense = { ...shape, model: llama31_405b, ep: 1, precision: 'bf16' } as const;
  const whole = passFlops(wholeOf(dense));
  const share = passFlops(wholeOf({ ...dense, tp: 8 }));
  assert.ok(Math.abs((8 * share) / whole - 1) < 1e-9);
});

test('StageTracer: grouped-query keys are read in place, and norms are shared by the tp ranks', () => {
  const dense = { ...shape, model: llama31_405b, ep: 1, precision: 'bf16' } as const;
  const kernelsOf = (tp: number): readonly KernelWork[] => {
    const work = wholeOf({ ...dense, tp });
    const passes = ['forward', 'backwardInput'] as const;
    return passes.flatMap((pass) => partsOfPass(work, pass).flatMap(({ kernels }) => kernels));
  };
  const norms = (tp: number): number =>
    kernelsOf(tp).reduce((sum, k) => (k.class === 'norm' ? sum + k.bytes : sum), 0);
  assert.ok(Math.abs((8 * norms(8)) / norms(1) - 1) < 0.01);
  assert.ok(kernelsOf(1).every(({ what }) => what !== 'whole keys'));
});

test('StageTracer: recompute adds work that no formula counts, in the order of its cost', () => {
  const seconds = (['none', 'norm', 'v3', 'full'] as const).map((name) => {
    const work = wholeOf({ ...shape, recompute: recomputePolicies[name] });
    const { recomputedFlops, flops } = sumKernels(partsOfPass(work, 'backwardInput'));
    return { recomputedFlops, flops };
  });
  const [none, norm, v3, full] = seconds.map((each) => each.recomputedFlops);
  assert.ok(none !== undefined && norm !== undefined && v3 !== undefined && full !== undefined);
  assert.ok(none < norm && norm === v3 && v3 < full);
  const { numAttentionHeads: H, qLoraRank, kvLoraRank, numHiddenLayers } = deepseekV3;
  const { qkNopeHeadDim: N, qkRopeHeadDim: P, vHeadDim: V } = deepseekV3;
  const upProjections = 2 * H * ((qLoraRank ?? 0) * (N + P) + kvLoraRank * (N + V));
  assert.equal(norm - none, upProjections * shape.sequenceLength * numHiddenLayers);
  for (const each of seconds) assert.equal(each.flops, seconds[0]?.flops);
});

test('StageTracer: the busiest rank’s experts work as much more as its load', () => {
  const routed = (parts: readonly PartWork[]): number =>
    parts
      .flatMap(({ kernels }) => kernels)
      .filter((kernel) => kernel.class === 'fp8GroupedGemm')
      .reduce((sum, { flops }) => sum + flops, 0);
  const [even, busy] = [1, 1.5].map((imbalance) =>
    routed(partsOfPass(wholeOf({ ...shape, imbalance }), 'forward')),
  );
  assert.ok(even !== undefined && busy !== undefined);
  assert.ok(Math.abs(busy / even - 1.5) < 1e-9);
});

test('StageTracer: a tensor that two FP8 products read is cast once, BF16 casts nothing', () => {
  const casts = (of: StageShape): string[] =>
    partsOfPass(wholeOf(of), 'forward')
      .filter(({ layer, part }) => layer === 5 && part === 'attention')
      .flatMap(({ kernels }) => kernels)
      .filter((kernel) => kernel.class === 'cast' && !kernel.what.endsWith('scales'))
      .map(({ what }) => what);
  // The first feeds the query's and the keys' latent products.
  assert.deepEqual(casts(shape), ['q_a_proj', 'q_b_proj', 'kv_b_proj', 'o_proj']);
  assert.deepEqual(casts({ ...shape, precision: 'bf16' }), []);
});

test('StageTracer: rows go to experts in FP8 with tiles of 128, else in BF16', () => {
  const bytes = (changes: Partial<StageShape>): number | undefined =>
    partsOfPass(wholeOf({ ...shape, ...changes }), 'forward')
      .flatMap(({ transfer }) => (transfer?.kind === 'dispatch' ? [transfer] : []))
      .at(0)?.bytesPerToken;
  assert.equal(bytes({}), 7168 + 4 * 56);
  assert.equal(bytes({ fp8Scaling: 'tensor' }), 2 * 7168);
  assert.equal(bytes({ precision: 'bf16' }), 2 * 7168);
});

test('StageTracer: experts or heads that do not divide are refused with their number', () => {
  assert.throws(() => wholeOf({ ...shape, ep: 48 }), { code: 'plan.layout' });
  const gqa = { ...shape, model: llama31_405b, ep: 1, tp: 3 };
  assert.throws(() => wholeOf(gqa), { code: 'plan.layout' });
  assert.throws(() => wholeOf({ ...gqa, tp: 1, ep: 2 }), { code: 'plan.layout', hint: /ep/ });
  const odd = { ...gqa, tp: 8, sequenceLength: 250 };
  assert.throws(() => wholeOf(odd), { code: 'plan.layout', hint: /sequence/ });
});

test('StageTracer: Qwen3 has norms of queries and of keys, forward and back', () => {
  const { qkNorm: _, ...without } = qwen3_235b_a22b;
  const norms = (model: StageShape['model']): number[] => {
    const { slices } = new StageTracer({ ...shape, model, ep: 8 }).stage({
      ...{ first: 0, last: 1, hasEmbedding: false, hasHead: false },
    });
    return (['forward', 'backwardInput', 'backwardWeight'] as const).map(
      (pass) =>
        slices
          .flatMap((slice) => slice[pass])
          .flatMap(({ kernels }) => kernels)
          .filter((kernel) => kernel.class === 'norm').length,
    );
  };
  const bare = norms(without);
  assert.deepEqual(
    norms(qwen3_235b_a22b).map((count, pass) => count - (bare[pass] ?? 0)),
    [2, 2, 2],
  );
});
