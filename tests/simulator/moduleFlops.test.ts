/**
 * Laws between FLOPs counted module by module from a config and the products that the model's own
 * code makes on the meta kernels. Both are whole numbers, so they are equal, not near.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ModuleFlops, moduleFlops, scaleFlops } from '../../src/config/flops.ts';
import type { ModelConfig } from '../../src/config/modelConfig.ts';
import { findPreset } from '../../src/config/presets/presets.ts';
import { wholeModel } from '../../src/model/parameterLayout.ts';
import { singleRankStep } from '../../src/policy/pipeline/singleRank.ts';
import { type TracedOperation, TracedRank } from '../../src/simulator/traceTraining.ts';
import { stepSettings } from '../support/pipelineStep.ts';

const settings = { ...stepSettings, balanceCoefficient: 0, biasSpeed: 0 };

function tracePasses(config: ModelConfig, length: number): readonly TracedOperation[] {
  const rank = new TracedRank({
    config,
    stage: wholeModel(config),
    momentDType: 'f32',
    maxPositions: config.maxPositionEmbeddings,
    lossForm: { balanceForm: 'paper', mtpHidden: 'postNorm' },
  });
  const batch = {
    numSequences: 1,
    length,
    ids: new Int32Array(length),
    targets: new Int32Array(length),
    mtpTargets: Array.from(
      { length: config.numNextnPredictLayers },
      (_, depth) => new Int32Array(length - depth - 1),
    ),
  };
  const { compute } = singleRankStep([batch], settings);
  return compute.flatMap(({ instructions }) => instructions.flatMap((each) => rank.trace(each)));
}

const PRODUCTS = new Set([
  'matmul',
  'groupedMatmul',
  'mlaAttention',
  'mlaAttentionBackward',
  'headCrossEntropy',
]);

/** FLOPs of the model's products, without what is made again. */
function modelFlops(operations: readonly TracedOperation[]): number {
  return operations
    .filter(({ family }) => PRODUCTS.has(family.split(' ')[0] ?? ''))
    .reduce((sum, { flops, recomputedFlops }) => sum + flops - recomputedFlops, 0);
}

/** Forward products by the shape of the weight, which names the module in V3: [out, in]. */
function forwardByWeight(operations: readonly TracedOperation[]): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const { family, key, flops } of operations) {
    if (!/^(?:m|groupedM)atmul .*layout:nt/.test(family)) continue;
    const [, shape = ''] = / b\.values=\w+\[([\d,]+)\]/.exec(key) ?? [];
    sums.set(shape, (sums.get(shape) ?? 0) + flops);
  }
  return sums;
}

/** Attention over exact pairs, T (T + 1) / 2, where the published count has T² / 2. */
function exactPairs(modules: ModuleFlops, length: number): ModuleFlops {
  const more = (length + 1) / length;
  return { ...modules, scores: modules.scores * more, values: modules.values * more };
}

const sum = (modules: ModuleFlops): number =>
  Object.values(modules).reduce((total, flops) => total + flops, 0);

const CASES = [
  ['v3-mini', 128],
  ['deepseek-v2-lite', 256],
  ['moonlight-16b-a3b', 512],
  ['kimi-k2', 1024],
  ['deepseek-v3', 4096],
] as const;

for (const [name, length] of CASES) {
  test(`${name}: three times its modules’ FLOPs are the products of a step, exactly`, () => {
    const config: ModelConfig = { ...findPreset(name), numNextnPredictLayers: 0 };
    const modules = moduleFlops(config, { sequenceLength: length, causal: true });
    const expected = sum(scaleFlops(exactPairs(modules, length), 3 * length));
    assert.equal(modelFlops(tracePasses(config, length)), expected);
  });
}

test('DeepSeek-V3: an MTP module does what is counted for it, over one token less', () => {
  const config = findPreset('deepseek-v3');
  const length = 512;
  const bare: ModelConfig = { ...config, numNextnPredictLayers: 0 };
  const traced = modelFlops(tracePasses(config, length)) - modelFlops(tracePasses(bare, length));
  const { mtp } = moduleFlops(config, { sequenceLength: length - 1, causal: true });
  const attention = (length - 1) * 128 * (192 + 128);
  const gate = 2 * 256 * 7168;
  // Pairs are T (T + 1) / 2 again, and the gate is in no published count.
  assert.equal(traced, 3 * (length - 1) * (mtp + gate) + 3 * attention);
});

test('DeepSeek-V3: every module’s FLOPs are those of its weights in the real forward pass', () => {
  const config: ModelConfig = { ...findPreset('deepseek-v3'), numNextnPredictLayers: 0 };
  const length = 256;
  const operations = tracePasses(config, length);
  const byWeight = forwardByWeight(operations);
  const modules = scaleFlops(moduleFlops(config, { sequenceLength: length, causal: true }), length);
  const of = (...shapes: readonly string[]): number =>
    shapes.reduce((total, shape) => total + (byWeight.get(shape) ?? Number.NaN), 0);
  assert.equal(of('1536,7168'), modules.queryDown);
  assert.equal(of('24576,1536'), modules.queryUp);
  assert.equal(of('576,7168'), modules.kvDown);
  assert.equal(of('32768,512'), modules.kvUp);
  assert.equal(of('7168,16384'), modules.output);
  assert.equal(of('36864,7168', '7168,18432'), modules.denseMlp);
  assert.equal(of('4096,7168', '7168,2048'), modules.sharedExperts);
  assert.equal(of('256,4096,7168', '256,7168,2048'), modules.routedExperts);
  assert.equal(of('256,7168'), modules.gate);
  const attention = operations
    .filter(({ family }) => family.split(' ')[0] === 'mlaAttention')
    .reduce((total, { flops }) => total + flops, 0);
  const { scores, values } = exactPairs(modules, length);
  assert.equal(attention, scores + values);
});
