/** What plans of known models come to, rank by rank, and what must hold of any plan. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { stagesOfPlan, v3OnH800 } from '../../../tests/support/memoryPlans.ts';
import { v3Plan } from '../../../tests/support/v3Plan.ts';
import { at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import type { GqaModelConfig } from '../../config/gqaModelConfig.ts';
import {
  type NamedRecompute,
  type Precision,
  recomputePolicies,
  type ScheduleName,
  type TrainingPlan,
} from '../../config/parallelPlan.ts';
import { deepseekV3 } from '../../config/presets/deepseekV3.ts';
import { type BufferInput, communicationBytes, stagingBytes } from './communicationBuffers.ts';
import { estimateMemory, type MemoryInput, type RankMemory } from './estimateMemory.ts';
import { layerBytes } from './layerBytes.ts';
import { liveChunks } from './liveChunks.ts';
import { memoryRecipes } from './memoryRecipe.ts';

const GB = 1e9;

function peak(recompute: NamedRecompute): number {
  const ranks = estimateMemory(v3OnH800({ recompute }));
  return Math.max(...ranks.map((rank) => rank.peak.total));
}

test('estimateMemory: V3 on 2,048 H800 fits as it was trained, and without recomputation not', () => {
  assert.ok(peak('v3') < 80 * GB, `v3 ${peak('v3')}`);
  // 80 GB on the data sheet are five stacks of 16 GiB.
  assert.ok(peak('norm') < 80 * 2 ** 30, `norm ${peak('norm')}`);
  assert.ok(peak('none') > 80 * 2 ** 30, `none ${peak('none')}`);
});

test('estimateMemory: each policy that remakes more keeps less', () => {
  const names = Object.keys(recomputePolicies) as NamedRecompute[];
  assert.equal(names.length, 5);
  for (const lighter of ['norm', 'swiglu'] as const) {
    assert.ok(peak('none') > peak(lighter) && peak(lighter) > peak('v3'), lighter);
  }
  assert.ok(peak('v3') > peak('full'));
});

test('estimateMemory: a phase is the sum of its parts, and the peak the largest phase', () => {
  for (const rank of estimateMemory(v3OnH800())) {
    for (const { breakdown, total } of rank.phases) {
      const sum = Object.values(breakdown).reduce((a: number, b: number) => a + b, 0);
      assert.ok(Math.abs(sum - total) < 1, `${sum} ${total}`);
    }
    const live = rank.live.reduce((sum, { bytes }) => sum + bytes, 0);
    assert.ok(Math.abs(live - rank.peak.total) < 1);
    assert.equal(rank.peak.total, Math.max(...rank.phases.map(({ total }) => total)));
    assert.equal(at(rank.phases, 1).name, 'steady');
  }
});

/** As many heads for keys as for queries, and an MLP of 8/3 D: what a GPT layer of 4 D weighs. */
const attentionOnly: GqaModelConfig = {
  modelType: 'gqa',
  vocabSize: 51_200,
  hiddenSize: 12_288,
  intermediateSize: 32_768,
  numHiddenLayers: 96,
  numAttentionHeads: 96,
  numKeyValueHeads: 96,
  headDim: 128,
  nRoutedExperts: 0,
  nSharedExperts: 0,
  numExpertsPerTok: 0,
  moeIntermediateSize: 0,
  firstKDenseReplace: 96,
  tieWordEmbeddings: false,
  maxPositionEmbeddings: 2048,
};

test('layerBytes: a BF16 layer keeps 34 sbh without its dropout masks (Korthikanti et al. 2022)', () => {
  // Equation 4 with selective recomputation, which flash attention is: sbh · 34 / t. Two of the 34
  // are one-byte masks of dropout, which none of our models has. What we add is in FP32: the
  // log-sum-exp of a head and two factors of norms.
  const { hiddenSize: h, numAttentionHeads: a } = attentionOnly;
  for (const t of [1, 8]) {
    const [s, b] = [2048, 2];
    const tokens = (s * b) / t;
    const rows = { tokens, routed: 0, context: s };
    const input = { model: attentionOnly, recipe: memoryRecipes.bf16, rows };
    const { kept } = layerBytes(input, 'dense', recomputePolicies.none);
    const published = (34 * s * b * h) / t;
    const masks = (2 * s * b * h) / t;
    assert.equal(kept, published - masks + 4 * (a + 2) * tokens);
    assert.ok(Math.abs(kept / published - 1) < 0.06);
    // Full recomputation keeps the layer's input alone: 2 sbh.
    const full = layerBytes(input, 'dense', recomputePolicies.full);
    assert.equal(full.kept, (2 * s * b * h) / t);
  }
});

test('estimateMemory: every rank of a pipeline holds 1F1B’s share of a layer’s activations', () => {
  const plan: TrainingPlan = {
    ...v3Plan,
    layout: { dp: 1, pp: 8, ep: 1, tp: 8, zeroStage: 0 },
    schedule: '1f1b',
    chunksPerRank: 1,
    globalBatch: 64,
    sequenceLength: 2048,
    precision: 'bf16',
    recompute: 'none',
    mtp: false,
  };
  const ranks = estimateMemory({
    model: attentionOnly,
    plan,
    stages: stagesOfPlan(plan, attentionOnly.numHiddenLayers),
  });
  const rows = { tokens: 2048 / 8, routed: 0, context: 2048 };
  const input = { model: attentionOnly, recipe: memoryRecipes.bf16, rows };
  const layer = layerBytes(input, 'dense', recomputePolicies.none);
  for (const [rank, { phases }] of ranks.slice(0, 7).entries()) {
    const steady = at(phases, 1).breakdown.activations;
    assert.equal(steady, (8 - rank) * 12 * layer.kept + layer.backwardWork);
  }
});

test('estimateMemory: a zero-bubble rank pays for the weight halves that wait', () => {
  const plain = estimateMemory(v3OnH800({ schedule: '1f1b', chunksPerRank: 1 }));
  const zero = estimateMemory(v3OnH800({ schedule: 'zb1p', chunksPerRank: 1 }));
  assert.equal(at(zero, 0).peak.total, at(plain, 0).peak.total);
  for (let rank = 1; rank < 16; rank++) {
    assert.ok(at(zero, rank).peak.total > at(plain, rank).peak.total);
  }
});

test('estimateMemory: a walk’s own counts take the place of the closed forms', () => {
  const input = v3OnH800({ schedule: '1f1b', chunksPerRank: 1 });
  const twice = liveChunks(input.plan).map(({ kept, deferred }) => ({
    kept: kept.map((count) => 2 * count),
    deferred,
  }));
  const waiting = (ranks: RankMemory[]): number[] =>
    ranks.map(
      ({ live }) =>
        live.find(({ what }) => what === 'activations that wait for backward')?.bytes ?? 0,
    );
  const once = waiting(estimateMemory(input));
  const more = waiting(estimateMemory({ ...input, liveChunks: twice }));
  for (const [rank, bytes] of more.entries()) assert.equal(bytes, 2 * at(once, rank));
});

const layouts = fc
  .record({
    dp: fc.constantFrom(2, 4, 16),
    tp: fc.constantFrom(1, 2, 4),
    pp: fc.constantFrom(2, 4, 8),
    ep: fc.constantFrom(1, 2, 8),
    zeroStage: fc.constantFrom<(0 | 1 | 2 | 3)[]>(0, 1, 2, 3),
  })
  .filter(({ dp, tp, ep }) => (dp * tp) % ep === 0);

test('estimateMemory: grows with tokens, batch, imbalance and MTP, on every rank', () => {
  const schedule = fc.constantFrom<ScheduleName>('gpipe', '1f1b', 'zb1p', 'dualpipe', 'dualpipev');
  const recompute = fc.constantFrom<NamedRecompute>('none', 'norm', 'swiglu', 'v3', 'full');
  const precision = fc.constantFrom<Precision>('fp8', 'bf16');
  const plans = fc.record({ layout: layouts, schedule, recompute, precision });
  fc.assert(
    fc.property(plans, (chosen) => {
      const { pp, dp } = chosen.layout;
      const base = { ...chosen, globalBatch: 4 * pp * dp, chunksPerRank: 2 };
      const total = (changes: Partial<TrainingPlan>, more: Partial<MemoryInput> = {}): number[] =>
        estimateMemory({ ...v3OnH800({ ...base, ...changes }), ...more }).map(
          ({ peak }) => peak.total,
        );
      const plain = total({});
      const larger: readonly (readonly number[])[] = [
        total({ sequenceLength: 8192 }),
        total({ microBatchSize: 2, globalBatch: 2 * base.globalBatch }),
        total({}, { imbalance: 1.5 }),
        total({ recompute: 'none' }),
      ];
      for (const each of larger) {
        for (const [rank, bytes] of each.entries()) assert.ok(bytes >= at(plain, rank));
      }
      const without = total({ mtp: false });
      for (const [rank, bytes] of without.entries()) assert.ok(bytes <= at(plain, rank));
    }),
    { numRuns: 60 },
  );
});

test('estimateMemory: a stage with an end and no layers keeps the end alone', () => {
  const { model, plan, stages } = v3OnH800({ schedule: '1f1b', chunksPerRank: 1, mtp: false });
  const end = { first: 61, last: 61, hasEmbedding: false, hasHead: true };
  const apart = stages.map((own, rank) =>
    rank < 15 ? own.map((stage) => ({ ...stage, last: rank < 14 ? stage.last : 61 })) : [end],
  );
  const last = at(estimateMemory({ model, plan, stages: apart }), 15);
  const { hiddenSize: D, vocabSize } = model;
  // Norm input, its factor and the loss's gradient wait; the logits are there while the head runs.
  const waiting = 4096 * (2 * D + 4 + 2 * D);
  assert.equal(at(last.phases, 1).breakdown.activations, waiting + 4096 * vocabSize * 6);
  const head = vocabSize * D + D;
  assert.equal(last.peak.breakdown.gradients, 4 * head);
});

test('estimateMemory: a grouped-query model needs less for keys than one with all heads', () => {
  const grouped = { ...attentionOnly, numKeyValueHeads: 8 };
  const plan: TrainingPlan = {
    ...v3Plan,
    layout: { dp: 8, pp: 8, ep: 1, tp: 8, zeroStage: 1 },
    schedule: '1f1b',
    chunksPerRank: 1,
    globalBatch: 256,
    precision: 'bf16',
    recompute: 'none',
    mtp: false,
  };
  const stages = stagesOfPlan(plan, 96);
  const peak = (model: GqaModelConfig): number =>
    at(estimateMemory({ model, plan, stages }), 0).peak.total;
  assert.ok(peak(grouped) < peak(attentionOnly));
});

test('communicationBytes: each part as it is worked out on paper', () => {
  const tokens = 4096;
  const D = deepseekV3.hiddenSize;
  const plan = { ...v3Plan, layout: { ...v3Plan.layout, tp: 2, dp: 64 } };
  const input: BufferInput = {
    model: deepseekV3,
    plan,
    recipe: memoryRecipes.fp8,
    rows: { tokens, routed: 8 * tokens, context: tokens },
    device: { communicationSms: 20, domainSize: 8 },
    numStages: 2,
    numParameters: 1e9,
  };
  const bytes = communicationBytes(input);
  // FP8 rows with a scale per 128 values come, BF16 rows come back.
  const arrived = 8 * tokens * (D + (4 * D) / 128) + tokens * 2 * D;
  const staging = stagingBytes({ hiddenSize: D, ep: 64, device: input.device });
  assert.equal(bytes.dispatchCombine, arrived + staging);
  // State and gradient, in and out, of two stages.
  assert.equal(bytes.pipeline, 2 * 4 * tokens * 2 * D);
  // Two buckets of 40 M weights in BF16; gradients in FP32 from ZeRO-2 on.
  assert.equal(bytes.buckets, 2 * 40e6 * 2);
  const zero2 = { ...plan, layout: { ...plan.layout, zeroStage: 2 as const } };
  assert.equal(communicationBytes({ ...input, plan: zero2 }).buckets, 2 * 40e6 * 4);
  assert.equal(communicationBytes({ ...input, numParameters: 1e6 }).buckets, 2 * 1e6 * 2);
  // Whole sequences before and after a parallel product.
  assert.equal(bytes.sequenceParallel, 2 * 2 * tokens * 2 * D);
  const alone = { dp: 1, pp: 1, ep: 1, tp: 1, zeroStage: 0 as const };
  const none = communicationBytes({ ...input, plan: { ...plan, layout: alone } });
  assert.deepEqual(Object.values(none), [0, 0, 0, 0]);
});

test('estimateMemory: an imbalance below one is refused', () => {
  for (const imbalance of [0.5, 0, -1, Number.NaN]) {
    assert.throws(
      () => estimateMemory({ ...v3OnH800(), imbalance }),
      (error: unknown) => error instanceof MoebiusError && error.code === 'plan.imbalance',
    );
  }
});

test('stagingBytes: DeepEP’s size hints for V3’s rows in a node, worked out on paper', () => {
  // 10 channels × 8 peers × (256 tokens × (14,336 hidden + 8 source + 1,024 + 512 top-k + 512
  // scales) + 5 integers) bytes.
  const device = { communicationSms: 20, domainSize: 8 };
  assert.equal(
    stagingBytes({ hiddenSize: 7168, ep: 8, device }),
    10 * 8 * (256 * (14_336 + 8 + 1024 + 512 + 512) + 5 * 4),
  );
  const wide = stagingBytes({ hiddenSize: 7168, ep: 64, device });
  assert.ok(wide > 0.7e9 && wide < 0.8e9, `${wide}`);
});
