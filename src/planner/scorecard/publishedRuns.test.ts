/** Published runs: consistent within themselves, so that a slip of the pen judges nobody. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { validateCluster } from '../../config/clusters/validateCluster.ts';
import { isGqa } from '../../config/gqaModelConfig.ts';
import { numMicroBatches, worldSize } from '../../config/parallelPlan.ts';
import { deepseekV3 } from '../../config/presets/deepseekV3.ts';
import { validateGqaModel } from '../../config/validateGqaModel.ts';
import { validateModelConfig } from '../../config/validateModelConfig.ts';
import { excludedRuns } from './excludedRuns.ts';
import { sourceFlopsPerToken } from './publishedRun.ts';
import { hasExperts, publishedRuns } from './publishedRuns.ts';

test('every run: its name is its own, its cluster and its model are valid', () => {
  assert.equal(new Set(publishedRuns.map(({ name }) => name)).size, publishedRuns.length);
  for (const { name, model, cluster } of publishedRuns) {
    validateCluster(cluster, name);
    if (isGqa(model)) validateGqaModel(model, name);
    else validateModelConfig(model, name);
  }
});

test('every run: ranks, batch, experts and heads divide as the layout says', () => {
  for (const { name, plan, cluster, model } of publishedRuns) {
    const { layout, chunksPerRank, precision } = plan;
    assert.equal(worldSize(layout), cluster.numGpus, name);
    assert.ok(Number.isInteger(numMicroBatches(plan)), name);
    assert.ok(layout.tp <= cluster.scaleUp.domainSize, name);
    assert.ok(layout.pp * chunksPerRank <= model.numHiddenLayers + 2, name);
    // Interleaved 1F1B of Megatron wants whole rounds of the pipeline.
    if (plan.schedule === 'interleaved-1f1b') {
      assert.equal(numMicroBatches(plan) % layout.pp, 0, name);
    }
    if (model.nRoutedExperts > 0) assert.equal(model.nRoutedExperts % layout.ep, 0, name);
    else assert.equal(layout.ep, 1, name);
    const groups = isGqa(model) ? model.numKeyValueHeads : model.numAttentionHeads;
    assert.equal(groups % layout.tp, 0, name);
    assert.ok(precision === 'bf16' || cluster.gpu.peakFlops.fp8 !== null, name);
  }
});

test('every run: seconds, tokens, TFLOP/s and MFU of the source say the same', () => {
  for (const run of publishedRuns) {
    const { name, plan, published, stepSeconds, uncertainty } = run;
    const perGpu = (plan.globalBatch * plan.sequenceLength) / worldSize(plan.layout) / stepSeconds;
    const teraflops = (perGpu * sourceFlopsPerToken(run.model, plan, run.flopCount)) / 1e12;
    const near = (value: number | undefined, expected: number, what: string): void => {
      if (value === undefined) return;
      const off = Math.abs(value / expected - 1);
      assert.ok(off <= uncertainty, `${name}: ${what} ${value} against ${expected.toFixed(4)}`);
    };
    near(published.tokensPerSecondPerGpu, perGpu, 'tokens/s/GPU');
    near(published.teraflopsPerGpu, teraflops, 'TFLOP/s/GPU');
    const { mfu, peakTeraflops = Number.NaN } = published;
    near(mfu, teraflops / peakTeraflops, 'MFU');
    assert.ok(stepSeconds > 0.1 && stepSeconds < 400, `${name}: ${stepSeconds} s`);
  }
});

test('every run: no chip does more than its peak', () => {
  for (const { name, plan, cluster, stepSeconds, model } of publishedRuns) {
    const tokens = plan.globalBatch * plan.sequenceLength;
    const flops = tokens * sourceFlopsPerToken(model, plan, 'causal');
    const peak = cluster.gpu.peakFlops[plan.precision] ?? 0;
    const share = flops / stepSeconds / cluster.numGpus / peak;
    assert.ok(share > 0.05 && share < 0.75, `${name}: ${share}`);
  }
});

test('sourceFlopsPerToken: DeepSeek-V3’s as Megatron counts them, 249.7 and 260.3 GFLOP', () => {
  const plan = { sequenceLength: 4096, mtp: false };
  const without = sourceFlopsPerToken(deepseekV3, plan, 'causal') / 1e9;
  const withMtp = sourceFlopsPerToken(deepseekV3, { ...plan, mtp: true }, 'causal') / 1e9;
  // 1,088 TFLOP/s at 4,357 tokens/s, and 1,199 at 4,612, in Megatron-Bridge's tables.
  assert.ok(Math.abs(without / 249.7 - 1) < 0.005, String(without));
  assert.ok(Math.abs(withMtp / 260 - 1) < 0.005, String(withMtp));
});

test('the runs: enough of each kind, and the reasons for the rest are given', () => {
  const count = (of: string): number =>
    publishedRuns.filter(({ cluster }) => cluster.gpu.name.startsWith(of)).length;
  assert.ok(publishedRuns.length >= 30, String(publishedRuns.length));
  assert.ok(count('H100') >= 10);
  assert.ok(count('GB200') >= 6);
  assert.ok(count('A100') >= 8);
  assert.ok(count('Ascend') >= 4);
  assert.ok(publishedRuns.filter(hasExperts).length >= 9);
  for (const { source } of publishedRuns) assert.ok(source.length > 10);
  for (const { why, source } of excludedRuns) assert.ok(why.length > 10 && source.length > 5);
});

test('no prediction reads these runs: only the planner’s scorecard and the command line may', () => {
  const src = new URL('../../', import.meta.url);
  const readers = readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.startsWith('planner/scorecard/'))
    .filter((path) => /from '.*scorecard\//.test(readFileSync(new URL(path, src), 'utf8')));
  for (const path of readers) assert.match(path, /^(cli|planner\/(score|html|figures))/);
});
