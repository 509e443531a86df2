/** Closed forms against the report's numbers, and the way they must move. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findCluster } from '../../config/clusters/clusters.ts';
import { parseLayout, recomputePolicies } from '../../config/parallelPlan.ts';
import { findPlannedModel } from '../../config/presets/dense.ts';
import type { PredictedWork } from '../calibrate.ts';
import { type LayerWorkOptions, layerWork } from './layerWork.ts';

const cluster = findCluster('h800x2048');

function work(change: Partial<LayerWorkOptions> = {}): readonly PredictedWork[] {
  return layerWork({
    model: findPlannedModel('deepseek-v3'),
    cluster,
    layout: parseLayout('pp16,ep64,zero1', 2048),
    layers: 1,
    sequenceLength: 4096,
    microBatchSize: 1,
    precision: 'fp8',
    recompute: recomputePolicies.none,
    ...change,
  });
}

function of(list: readonly PredictedWork[], name: string, pass?: string): PredictedWork {
  const found = list.filter((each) => each.class === name && (pass ?? each.pass) === each.pass);
  const [first] = found;
  assert.ok(first !== undefined, name);
  const sum = (key: 'seconds' | 'flops' | 'bytes'): number =>
    found.reduce((total, each) => total + each[key], 0);
  return { ...first, seconds: sum('seconds'), flops: sum('flops'), bytes: sum('bytes') };
}

test('layerWork: V3’s products by hand, from the sizes in its config.json', () => {
  const list = work();
  const projections =
    7168 * 1536 + 1536 * 128 * 192 + 7168 * 576 + 512 * 128 * 256 + 128 * 128 * 7168;
  const [shared, routed] = [3 * 7168 * 2048, 8 * 3 * 7168 * 2048];
  assert.equal(of(list, 'fp8Gemm', 'forward').flops, 2 * 4096 * (projections + shared));
  assert.equal(of(list, 'fp8Gemm', 'backwardInput').flops, 2 * 4096 * (projections + shared));
  assert.equal(of(list, 'fp8GroupedGemm', 'forward').flops, 2 * 4096 * routed);
  assert.equal(of(list, 'fp8WeightGradient').flops, 2 * 4096 * (projections + shared + routed));
  const pairs = (4096 * 4097) / 2;
  assert.equal(of(list, 'attentionForward').flops, 2 * pairs * 128 * (192 + 128));
  assert.equal(of(list, 'attentionBackward').flops, 2 * pairs * 128 * (3 * 192 + 2 * 128));
  assert.equal(of(list, 'bf16Gemm').flops, 3 * 2 * 4096 * 7168 * 256);
});

test('layerWork: V3’s rows go to four nodes, in FP8 there and in BF16 back', () => {
  const list = work();
  assert.equal(of(list, 'combine', 'forward').bytes, 4096 * 4 * 7168 * 2);
  assert.equal(of(list, 'dispatch', 'forward').bytes, 4096 * 4 * 7168 * (1 + 4 / 128));
  // Of eight nodes one is the own; 400 Gbit/s for each GPU.
  const { nicBytesPerSecond, achievableShare } = cluster.scaleOut;
  const expected = (4096 * 4 * 7168 * 2 * (7 / 8)) / (nicBytesPerSecond * achievableShare);
  assert.ok(Math.abs(of(list, 'combine', 'forward').seconds / expected - 1) < 1e-12);
  const inside = work({ layout: parseLayout('pp16,ep8,zero1', 2048) });
  assert.ok(of(inside, 'combine').seconds < of(list, 'combine').seconds / 1.5, 'NVLink is faster');
  const alone = work({ layout: parseLayout('pp16,ep1,zero1', 2048) });
  assert.ok(!alone.some((each) => each.class === 'dispatch'));
});

test('layerWork: recomputed up-projections are in backward, layers and tp scale all of it', () => {
  const [none, v3] = [work(), work({ recompute: recomputePolicies.v3 })];
  const again =
    of(v3, 'fp8Gemm', 'backwardInput').flops - of(none, 'fp8Gemm', 'backwardInput').flops;
  assert.equal(again, 2 * 4096 * (1536 * 128 * 192 + 512 * 128 * 256));
  assert.equal(of(v3, 'fp8Gemm', 'forward').flops, of(none, 'fp8Gemm', 'forward').flops);
  const four = work({ layers: 4 });
  for (const [i, each] of work().entries()) {
    assert.ok(Math.abs((four[i]?.seconds ?? 0) / each.seconds / 4 - 1) < 1e-12);
  }
  const halves = work({ layout: parseLayout('pp16,ep64,tp2,zero1', 2048) });
  assert.equal(of(halves, 'fp8Gemm').flops, of(none, 'fp8Gemm').flops / 2);
});

test('layerWork: computing beside communication has the SMs that are left', () => {
  const flops = of(work(), 'fp8GroupedGemm', 'forward');
  const peak = cluster.gpu.peakFlops.fp8 ?? 0;
  const left = (cluster.gpu.numSms - cluster.communicationSms) / cluster.gpu.numSms;
  assert.ok(Math.abs(flops.seconds / (flops.flops / (peak * left)) - 1) < 1e-12);
});

test('layerWork: a dense model with grouped queries has no experts and no transfers', () => {
  const list = work({
    model: findPlannedModel('llama-3.1-405b'),
    layout: parseLayout('pp16,tp8,zero1', 2048),
    precision: 'bf16',
  });
  assert.deepEqual([...new Set(list.map((each) => each.class))].toSorted(), [
    'attentionBackward',
    'attentionForward',
    'bf16Gemm',
  ]);
  const perLayer = 16384 * 16384 * 2 + 2 * 16384 * 8 * 128 + 3 * 16384 * 53248;
  assert.equal(of(list, 'bf16Gemm').flops, (3 * 2 * 4096 * perLayer) / 8);
});
