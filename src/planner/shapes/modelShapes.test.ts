/** Shapes under a budget: what is varied, what keeps the budget, what is left out and why. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import { findCluster } from '../../config/clusters/clusters.ts';
import type { ModelConfig } from '../../config/modelConfig.ts';
import { deepseekV3 } from '../../config/presets/deepseekV3.ts';
import { validateModelConfig } from '../../config/validateModelConfig.ts';
import { budgetOf, modelShapes, parseShapeValues, type ShapeQuestion } from './modelShapes.ts';
import { searchShapes } from './searchShapes.ts';

const question: ShapeQuestion = {
  model: deepseekV3,
  budget: { of: 'totalParameters', tolerance: 0.03 },
  sequenceLength: 4096,
};

test('modelShapes: every shape is valid, keeps the budget and is there once; V3 comes first', () => {
  for (const each of ['totalParameters', 'activeParameters', 'flopsPerToken'] as const) {
    const asked = { ...question, budget: { of: each, tolerance: 0.03 } };
    const { shapes } = modelShapes(asked);
    assert.equal(at(shapes, 0).model, deepseekV3);
    assert.ok(shapes.length > 6, each);
    assert.equal(new Set(shapes.map(({ label }) => label)).size, shapes.length);
    const own = budgetOf(asked, deepseekV3);
    for (const { label, model } of shapes) {
      validateModelConfig(model, label);
      assert.ok(Math.abs(budgetOf(asked, model) / own - 1) <= 0.03, label);
    }
  }
});

test('modelShapes: half the experts of twice the width are as many parameters', () => {
  const { shapes } = modelShapes({ ...question, values: { nRoutedExperts: [128] } });
  assert.deepEqual(
    shapes.map(({ label }) => label),
    ['as it is', 'nRoutedExperts 128, moeIntermediateSize 4096'],
  );
});

test('modelShapes: all combinations leave varied dials alone, and say what they refuse', () => {
  const { shapes, refused } = modelShapes({
    ...question,
    values: { nRoutedExperts: [128, 256], moeIntermediateSize: [2048, 4096], kvLoraRank: [512] },
    vary: 'all',
    budget: { of: 'totalParameters', tolerance: 0.05 },
  });
  for (const { model } of shapes.slice(1)) {
    assert.ok([128, 256].includes(model.nRoutedExperts));
    assert.ok([2048, 4096].includes(model.moeIntermediateSize));
  }
  assert.ok(shapes.length > 1);
  const { refused: outside } = modelShapes({
    ...question,
    values: { topkGroup: [1], numExpertsPerTok: [64] },
    vary: 'all',
  });
  assert.ok(outside.some(({ why }) => why.length > 10));
  assert.ok(refused.every(({ why }) => why !== ''));
});

test('modelShapes: values and tolerances that make no sense are refused', () => {
  const refuses = (asked: Partial<ShapeQuestion>, code: string): void => {
    assert.throws(
      () => modelShapes({ ...question, ...asked }),
      (error: unknown) => error instanceof MoebiusError && error.code === code,
    );
  };
  refuses({ values: { kvLoraRank: [0.5] } }, 'shapes.axis');
  refuses({ values: { numHiddenLayers: [0] } }, 'shapes.axis');
  refuses({ budget: { of: 'flopsPerToken', tolerance: 1 } }, 'shapes.tolerance');
});

test('parseShapeValues: reads axes with their values and refuses others with the list of axes', () => {
  assert.deepEqual(parseShapeValues(['nRoutedExperts=128,256', 'kvLoraRank=512']), {
    nRoutedExperts: [128, 256],
    kvLoraRank: [512],
  });
  for (const text of ['experts=3', 'nRoutedExperts', 'kvLoraRank=']) {
    assert.throws(
      () => parseShapeValues([text]),
      (error: unknown) =>
        error instanceof MoebiusError && /axes are nRoutedExperts/.test(error.hint ?? ''),
    );
  }
});

test('searchShapes: every shape has its own best plan; fewer experts a token train faster', () => {
  const model: ModelConfig = {
    ...deepseekV3,
    hiddenSize: 2048,
    intermediateSize: 8192,
    moeIntermediateSize: 1024,
    numHiddenLayers: 12,
    firstKDenseReplace: 1,
    numAttentionHeads: 16,
    nRoutedExperts: 32,
    nGroup: 1,
    topkGroup: 1,
  };
  const { rows, refused, note } = searchShapes({
    model,
    values: { numExpertsPerTok: [4, 16], kvLoraRank: [128, 4096] },
    budget: { of: 'totalParameters', tolerance: 0.1 },
    search: {
      cluster: findCluster('h800x16'),
      ...{ globalBatch: 64, sequenceLength: 2048, precision: 'fp8', mtp: false },
      totalTokens: 1e12,
    },
  });
  assert.match(note, /not predicted/);
  assert.equal(rows.filter(({ isToday }) => isToday).length, 1);
  const speeds = rows.map(({ tokensPerDay }) => tokensPerDay);
  assert.deepEqual(
    speeds,
    [...speeds].sort((a, b) => b - a),
  );
  const speedOf = (experts: number): number =>
    rows.find((row) => row.model.numExpertsPerTok === experts && row.model.kvLoraRank === 512)
      ?.tokensPerDay ?? 0;
  assert.ok(speedOf(4) > speedOf(8) && speedOf(8) > speedOf(16) && speedOf(16) > 0);
  for (const { tokensPerDay, dollarsPerTrillionTokens, best } of rows) {
    // 16 GPUs at two dollars.
    const days = 1e12 / tokensPerDay;
    assert.ok(Math.abs(dollarsPerTrillionTokens / (days * 24 * 16 * 2) - 1) < 1e-9);
    assert.ok(best.overBytes <= 0);
  }
  const latent = rows.find((row) => row.model.kvLoraRank === 128);
  assert.equal(latent?.kvBytesPerToken, 12 * (128 + 64) * 2);
  assert.ok(refused.length + rows.length >= 4);
});
