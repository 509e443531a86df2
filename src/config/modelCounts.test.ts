/** Laws: the figures that papers and config files of published models lead to. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModelConfig } from './modelConfig.ts';
import { isMoeLayer } from './modelConfig.ts';
import {
  activeParameters,
  countParameters,
  flopsPerToken,
  kvBytesPerToken,
} from './modelCounts.ts';
import { deepseekV3 } from './presets/deepseekV3.ts';
import { kimiK2 } from './presets/moonshot.ts';
import { findPreset } from './presets/presets.ts';
import { v3Mini } from './presets/small.ts';

const TRAINING = { context: 4096, causal: true, mtp: false, training: true };

interface Law {
  readonly model: string;
  readonly config: ModelConfig;
  readonly total: number;
  /** Without embedding, with the head, with both. */
  readonly active: readonly [number, number, number];
  readonly kvBytes: number;
  /** Per training token at 4,096, causal and not. */
  readonly gflop: readonly [number, number];
}

const V3_LAW = {
  total: 671_026_404_352,
  active: [35_698_924_544, 36_625_603_584, 37_552_282_624],
  kvBytes: 70_272,
  gflop: [249.811, 280.514],
} as const;

/** Same architecture, no preset: DeepSeek-V3 with other sizes (a 48B model with 3B active). */
const joyaiFlash: ModelConfig = {
  ...deepseekV3,
  hiddenSize: 2048,
  intermediateSize: 7168,
  moeIntermediateSize: 768,
  numHiddenLayers: 40,
  firstKDenseReplace: 1,
  numAttentionHeads: 32,
  nGroup: 1,
  topkGroup: 1,
};

const LAWS: readonly Law[] = [
  { model: 'DeepSeek-V3', config: findPreset('deepseek-v3'), ...V3_LAW },
  { model: 'DeepSeek-R1', config: findPreset('deepseek-r1'), ...V3_LAW },
  { model: 'DeepSeek-V3.1', config: findPreset('deepseek-v3.1'), ...V3_LAW },
  {
    model: 'DeepSeek-V2',
    config: findPreset('deepseek-v2'),
    total: 235_741_434_880,
    active: [20_327_224_320, 20_851_512_320, 21_375_800_320],
    kvBytes: 69_120,
    gflop: [155.014, 185.213],
  },
  {
    model: 'DeepSeek-V2-Lite',
    config: findPreset('deepseek-v2-lite'),
    total: 15_706_484_224,
    active: [2_241_719_808, 2_451_435_008, 2_661_150_208],
    kvBytes: 31_104,
    gflop: [16.386, 18.085],
  },
  {
    model: 'Moonlight-16B-A3B',
    config: findPreset('moonlight-16b-a3b'),
    total: 15_960_108_544,
    active: [2_243_685_888, 2_579_230_208, 2_914_774_528],
    kvBytes: 31_104,
    gflop: [17.153, 18.852],
  },
  {
    model: 'Kimi-K2',
    config: kimiK2,
    total: 1_026_408_209_408,
    active: [30_512_667_648, 31_687_072_768, 32_861_477_888],
    kvBytes: 70_272,
    gflop: [204.477, 219.828],
  },
  {
    model: 'JoyAI-LLM-Flash',
    config: joyaiFlash,
    total: 48_942_532_608,
    active: [2_774_779_904, 3_039_545_344, 3_304_310_784],
    kvBytes: 46_080,
    gflop: [23.146, 28.179],
  },
];

for (const { model, config, total, active, kvBytes, gflop } of LAWS) {
  test(`${model}: parameters, cache and FLOPs are the published ones`, () => {
    assert.equal(countParameters(config).total, total);
    assert.deepEqual(Object.values(activeParameters(config)), active);
    assert.equal(kvBytesPerToken(config), kvBytes);
    const perToken = [true, false].map((causal) =>
      Number((flopsPerToken(config, { ...TRAINING, causal }) / 1e9).toFixed(3)),
    );
    assert.deepEqual(perToken, gflop);
  });
}

test('DeepSeek-V3: its attention has 187,105,280 parameters per layer', () => {
  assert.equal(countParameters(deepseekV3).attention, 61 * 187_105_280);
});

test('DeepSeek-V3: MTP adds 11.61 B parameters, 0.688 B of them active', () => {
  const { mtp, routedExperts } = countParameters(deepseekV3);
  assert.equal(mtp, 11_610_067_968);
  const expert = 3 * 7168 * 2048;
  assert.equal(routedExperts, 58 * 256 * expert);
  assert.equal(((mtp - 248 * expert) / 1e9).toFixed(3), '0.688');
});

test('DeepSeek-V3: 58 layers have a bias per expert, 14,848 in all, counted apart', () => {
  assert.equal(countParameters(deepseekV3).routerBias, 14_848);
  assert.equal(countParameters(findPreset('deepseek-v2')).routerBias, 0);
});

test('ISCA table 4: 272.80 B tokens a day on 2,048 GPUs are 43.73 % MFU, 38.94 % causal', () => {
  const mfu = (causal: boolean): string => {
    const flops = flopsPerToken(deepseekV3, { ...TRAINING, causal });
    return ((((272.8e9 / 86400 / 2048) * flops) / 989e12) * 100).toFixed(2);
  };
  assert.deepEqual([mfu(false), mfu(true)], ['43.73', '38.94']);
});

test('flopsPerToken: forward is a third of training, and attention grows with the context', () => {
  const training = flopsPerToken(v3Mini, TRAINING);
  assert.equal(flopsPerToken(v3Mini, { ...TRAINING, training: false }) * 3, training);
  const none = flopsPerToken(v3Mini, { ...TRAINING, context: 0 });
  const double = flopsPerToken(v3Mini, { ...TRAINING, context: 8192 });
  assert.equal(double - none, 2 * (training - none));
  assert.equal(flopsPerToken(v3Mini, { ...TRAINING, context: 2048, causal: false }), training);
});

test('flopsPerToken: MTP adds a block, its projection and a second use of the head', () => {
  const more = flopsPerToken(v3Mini, { ...TRAINING, mtp: true }) - flopsPerToken(v3Mini, TRAINING);
  const { mtp } = countParameters(v3Mini);
  const { hiddenSize: H, moeIntermediateSize: F, vocabSize: V } = v3Mini;
  // Of the module: no norms (5 H and the latents'), no gate, 4 of 16 experts.
  const idle = 5 * H + 128 + 64 + 16 * H + 12 * 3 * H * F;
  const attention = (4096 / 2) * 8 * (32 + 16 + 32);
  assert.equal(more, 6 * (mtp - idle + V * H + attention));
});

test('countParameters: a tied head is counted once, and is active as a head', () => {
  const tied: ModelConfig = { ...v3Mini, tieWordEmbeddings: true };
  const [free, shared] = [countParameters(v3Mini), countParameters(tied)];
  assert.equal(shared.head, 0);
  assert.equal(free.total - shared.total, v3Mini.vocabSize * v3Mini.hiddenSize);
  assert.equal(activeParameters(tied).withHead, activeParameters(v3Mini).withHead);
  assert.equal(activeParameters(tied).withEmbeddingAndHead, activeParameters(tied).withHead);
  assert.equal(flopsPerToken(tied, TRAINING), flopsPerToken(v3Mini, TRAINING));
});

test('countParameters: a dense model has no experts, and all of it is active', () => {
  const dense: ModelConfig = {
    ...v3Mini,
    nRoutedExperts: 0,
    nSharedExperts: 0,
    numExpertsPerTok: 0,
  };
  const { total, routedExperts, sharedExperts, router, routerBias } = countParameters(dense);
  assert.deepEqual([routedExperts, sharedExperts, router, routerBias], [0, 0, 0, 0]);
  assert.equal(activeParameters(dense).withEmbeddingAndHead, total);
});

test('isMoeLayer: the first layers are dense, MTP layers follow the same rule', () => {
  assert.deepEqual(
    [0, 2, 3, 60, 61].map((layer) => isMoeLayer(deepseekV3, layer)),
    [false, false, true, true, true],
  );
  const sparse: ModelConfig = { ...deepseekV3, moeLayerFreq: 2 };
  assert.deepEqual(
    [3, 4, 5, 6].map((layer) => isMoeLayer(sparse, layer)),
    [false, true, false, true],
  );
});
