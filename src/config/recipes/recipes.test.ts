/** Recipes: valid at every depth, explained, within their budgets. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MoebiusError } from '../../base/errors.ts';
import { flopsPerToken } from '../modelCounts.ts';
import type { TrainConfig } from '../trainConfig.ts';
import { deriveTraining } from './recipe.ts';
import { findRecipe, recipes } from './recipes.ts';
import { START_BUDGET_FLOPS, startRecipe } from './start.ts';

function runFlops({ model, batch, steps }: TrainConfig): number {
  const options = { context: batch.length, causal: true, mtp: true, training: true };
  return flopsPerToken(model, options) * steps * batch.sequences * batch.length;
}

test('Every recipe: at any depth the config is valid, saved and read alike, and explained', () => {
  for (const recipe of recipes) {
    for (let depth = 1; depth <= 24; depth++) {
      const { config, derived } = deriveTraining(recipe, { depth });
      assert.equal(config.model.numHiddenLayers, depth);
      for (const row of derived) assert.ok(row.reason.length > 0, row.name);
    }
    const { config } = deriveTraining(recipe);
    assert.equal(config.model.numHiddenLayers, recipe.defaultDepth);
  }
});

test('Every recipe: it trains the whole V3 architecture', () => {
  for (const recipe of recipes) {
    const { model, balance } = deriveTraining(recipe).config;
    assert.equal(model.firstKDenseReplace, 1, 'a dense layer first');
    assert.ok(model.numHiddenLayers > 1, 'then layers of experts');
    assert.equal(model.numNextnPredictLayers, 1);
    assert.deepEqual([model.topkMethod, model.scoringFunc], ['noaux_tc', 'sigmoid']);
    assert.ok(model.nGroup > model.topkGroup && model.topkGroup > 1);
    assert.equal(balance.coefficient, 1e-4);
  }
});

test('The start recipe: it keeps to its budget of FLOPs at the default depth', () => {
  const flops = runFlops(deriveTraining(startRecipe).config);
  assert.ok(Math.abs(flops / START_BUDGET_FLOPS - 1) < 0.02, `${flops}`);
});

test('The start recipe: a deeper model gets more tokens and a lower rate', () => {
  const [small, large] = [3, 8].map((depth) => deriveTraining(startRecipe, { depth }).config);
  assert.ok(small && large);
  assert.ok(large.steps > 2 * small.steps);
  assert.ok(large.learningRate.peak < small.learningRate.peak);
  assert.equal(deriveTraining(startRecipe).config.model.initializerRange, 0.05);
  assert.ok(large.model.initializerRange < small.model.initializerRange);
});

test('Every recipe: dials re-derive what follows from them', () => {
  for (const recipe of recipes) {
    const dials = { depth: 3, vocabSize: 1000, length: 128, steps: 7, seed: 0 };
    const { config } = deriveTraining(recipe, dials);
    assert.equal(config.model.vocabSize, 1000);
    assert.equal(config.batch.length, 128);
    assert.equal(config.steps, 7);
    assert.equal(config.seed, 0);
    assert.ok(config.learningRate.warmupSteps <= 7);
  }
});

test('Dials that are no whole numbers are refused', () => {
  for (const dials of [{ depth: 0 }, { depth: 2.5 }, { steps: -1 }, { vocabSize: Number.NaN }]) {
    assert.throws(
      () => deriveTraining(startRecipe, dials),
      (error: unknown) => error instanceof MoebiusError && error.code === 'config.dial',
    );
  }
});

test('An unknown recipe is refused with the nearest name', () => {
  assert.equal(findRecipe('start'), startRecipe);
  assert.throws(
    () => findRecipe('v3mini'),
    (error: unknown) =>
      error instanceof MoebiusError &&
      error.code === 'config.unknownRecipe' &&
      error.hint === 'Did you mean v3-mini?',
  );
});
