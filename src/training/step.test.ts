/** Schedules of a run, from V3's shares, and the programs of a step. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { smallConfig, smallData } from '../../tests/support/trainingFixture.ts';
import { TRAIN_DEFAULTS, type TrainConfig } from '../config/trainConfig.ts';
import { biasSpeedAt, V3_BIAS_SPEED } from '../policy/schedule/biasSpeed.ts';
import { learningRateAt, V3_LEARNING_RATE } from '../policy/schedule/learningRate.ts';
import { mtpWeightAt, V3_MTP_WEIGHT } from '../policy/schedule/mtpWeight.ts';
import { summarizeRouting } from './routingSummary.ts';
import { BEGINNING, microBatchSizes, schedulesOf, settingsAt, stepPrograms } from './step.ts';

/** A run of 14.8T tokens with the defaults: DeepSeek-V3's own, without its batch ramp. */
const v3Run: TrainConfig = {
  ...smallConfig(),
  ...TRAIN_DEFAULTS,
  steps: 14.8e12 / (15_625 * 4096),
  batch: { sequences: 15_625, microBatch: 1, length: 4096, rampFrom: null, rampTokens: 0 },
};

test("The default shares, at V3's tokens, are V3's schedules", () => {
  const schedules = schedulesOf(v3Run);
  assert.equal(schedules.totalTokens, 14.8e12);
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(4000), (share, step) => {
      const tokens = share * 14.8e12;
      // Shares are rounded: a hundredth of a token either side of a boundary is not asked about.
      const boundaries = [10e12, 14.3e12, 14.633e12];
      fc.pre(boundaries.every((boundary) => Math.abs(tokens - boundary) > 0.01));
      const settings = settingsAt(v3Run, schedules, { step, tokens, updates: step });
      const rate = learningRateAt(V3_LEARNING_RATE, { step, tokens });
      assert.ok(Math.abs(settings.optimizer.learningRate / rate - 1) < 1e-12);
      assert.equal(settings.mtpWeight, mtpWeightAt(V3_MTP_WEIGHT, tokens));
      assert.equal(settings.biasSpeed, biasSpeedAt(V3_BIAS_SPEED, tokens));
      assert.equal(settings.balanceCoefficient, 1e-4);
    }),
  );
});

test('A short run goes through every phase of its schedules', () => {
  const config = smallConfig({ steps: 1000, learningRate: { peak: 1, warmupSteps: 10 } });
  const schedules = schedulesOf(config);
  const at = (step: number) =>
    settingsAt(config, schedules, { step, updates: step, tokens: step * 32 });
  assert.equal(at(0).optimizer.learningRate, 0.1);
  assert.equal(at(9).optimizer.learningRate, 1);
  assert.equal(at(675).optimizer.learningRate, 1);
  assert.ok(at(677).optimizer.learningRate < 1);
  assert.ok(Math.abs(at(967).optimizer.learningRate - 0.1) < 1e-9);
  assert.ok(Math.abs(at(999).optimizer.learningRate - 7.3 / 220) < 1e-12);
  assert.deepEqual([at(675).mtpWeight, at(676).mtpWeight], [0.3, 0.1]);
  assert.deepEqual([at(966).biasSpeed, at(967).biasSpeed], [0.001, 0]);
  assert.equal(at(5).optimizer.step, 6);
});

test('A batch ramp: the total is the sum of its steps', () => {
  const arbitrary = fc.record({
    steps: fc.integer({ min: 1, max: 300 }),
    from: fc.integer({ min: 1, max: 6 }),
    to: fc.integer({ min: 6, max: 12 }),
    rampTokens: fc.nat(20_000),
  });
  fc.assert(
    fc.property(arbitrary, ({ steps, from, to, rampTokens }) => {
      const batch = { sequences: 2 * to, microBatch: 2, rampFrom: 2 * from, rampTokens };
      const config = smallConfig({ steps, batch });
      const schedules = schedulesOf(config);
      let tokens = 0;
      for (let step = 0; step < steps; step++) {
        const sizes = microBatchSizes(config, schedules, { ...BEGINNING, tokens });
        tokens += sizes.reduce((sum, size) => sum + size * config.batch.length, 0);
      }
      assert.equal(schedules.totalTokens, tokens);
    }),
  );
});

test('stepPrograms: from config and batches alone, the first step as the trainer runs it', () => {
  const config = smallConfig();
  const data = smallData(config);
  const batches = [data.next(2), data.next(2)];
  const { compute, apply } = stepPrograms(config, batches);
  assert.equal(compute[0]?.instructions.length, 7);
  const [update] = apply[0]?.instructions ?? [];
  assert.ok(update?.kind === 'optimizerStep');
  assert.equal(update.step, 1);
  assert.equal(update.learningRate, 0.025);
  assert.equal(update.averageDecay, null);
  assert.deepEqual([update.beta1, update.beta2, update.epsilon], [0.9, 0.95, 1e-8]);
});

test('summarizeRouting: even loads, uneven loads and dead experts', () => {
  const even = { layer: 1, tokensPerExpert: [5, 5, 5, 5], bias: [0, 0, 0, 0] };
  const uneven = { layer: 2, tokensPerExpert: [12, 4, 0, 0], bias: [-0.3, 0, 0.1, 0.2] };
  const summary = summarizeRouting([even, uneven]);
  assert.ok(summary);
  assert.deepEqual([summary.maxVioMax, summary.maxVioMean, summary.deadExperts], [2, 1, 2]);
  assert.deepEqual([summary.biasMin, summary.biasMax], [-0.3, 0.2]);
  const [first, second] = summary.layers;
  assert.deepEqual([first?.maxVio, first?.minUtilisation, first?.variation], [0, 1, 0]);
  assert.ok(Math.abs((first?.entropy ?? 0) - 1) < 1e-12);
  assert.equal(second?.minUtilisation, 0);
  assert.ok((second?.entropy ?? 1) < 0.5);
  assert.ok(Math.abs((second?.biasDeviation ?? 0) - Math.sqrt(0.035)) < 1e-12);
  assert.equal(summarizeRouting([]), null);
});
