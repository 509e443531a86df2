/** Laws: the published rates, shares, days and dollars of DeepSeek-V3 and of Llama-3.1-405B. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ruleOfThumbFlops } from './flops.ts';
import { flopsPerToken } from './modelCounts.ts';
import { deepseekV3 } from './presets/deepseekV3.ts';
import {
  daysOn,
  dollarsOf,
  gpuHoursOf,
  kilowattHoursOf,
  runCost,
  stepSecondsAt,
  tokensPerDay,
  utilization,
  utilizationOfRun,
} from './runCost.ts';

const tokensPerStep = 15_360 * 4096;
const twoDollars = { dollarsPerGpuHour: 2 };
const percent = (share: number): string => (share * 100).toFixed(2);

test('ISCA table 4: 19.926 s a step are 43.73 % MFU, 38.94 % causal, 432 and 385 TFLOPS', () => {
  const step = { model: deepseekV3, sequenceLength: 4096, mtp: false, tokensPerStep };
  const of = (stepSeconds: number) =>
    utilization({ ...step, stepSeconds, numGpus: 2048, peakFlops: 989e12 });
  const plane = of(19.926);
  assert.deepEqual([percent(plane.mfuNonCausal), percent(plane.mfuCausal)], ['43.73', '38.94']);
  assert.equal(plane.tflopsNonCausal.toFixed(0), '432');
  assert.equal(plane.tflopsCausal.toFixed(0), '385');
  const rail = of(19.946);
  assert.deepEqual([percent(rail.mfuNonCausal), percent(rail.mfuCausal)], ['43.68', '38.90']);
});

test('ISCA table 4: tokens a day and seconds a step are one another’s inverse', () => {
  assert.equal(stepSecondsAt({ tokensPerStep, tokensPerDay: 272.8e9 }).toFixed(3), '19.926');
  assert.equal(stepSecondsAt({ tokensPerStep, tokensPerDay: 272.52e9 }).toFixed(3), '19.946');
  assert.equal((tokensPerDay({ tokensPerStep, stepSeconds: 19.926 }) / 1e9).toFixed(2), '272.80');
});

test('Report table 1: 2,664K, 119K, 5K and 2,788K GPU-hours at $2, to the dollar', () => {
  const dollars = [2_664_000, 119_000, 5000, 2_788_000].map((hours) =>
    dollarsOf(hours, twoDollars),
  );
  assert.deepEqual(dollars, [5_328_000, 238_000, 10_000, 5_576_000]);
});

test('Report section 1: 1 T tokens at 19.926 s a step are 180K GPU-hours, 3.7 days', () => {
  const price = { ...twoDollars, wattsPerGpu: 1000, pue: 1.25 };
  const run = { tokensPerStep, stepSeconds: 19.926, totalTokens: 1e12, numGpus: 2048, price };
  const cost = runCost(run);
  assert.equal(Math.round(cost.gpuHours / 1000), 180);
  assert.equal(cost.days.toFixed(1), '3.7');
  assert.equal(Math.round(cost.numSteps), 15_895);
  // A kilowatt per GPU and a quarter more for cooling.
  assert.ok(Math.abs(cost.kilowattHours - cost.gpuHours * 1.25) < 1e-6);
  assert.equal(runCost({ ...run, totalTokens: 14.8e12 }).days.toFixed(2), '54.25');
});

test('Slides: 6ND and 8ND over peak hours are 32.96 and 43.94 %, for Llama 34.57 and 46.09 %', () => {
  const share = (parameters: number, tokens: number, gpuHours: number): string[] =>
    ([6, 8] as const).map((flopsPerParameter) => {
      const flops = ruleOfThumbFlops({ flopsPerParameter, parameters, tokens });
      return percent(utilizationOfRun({ flops, gpuHours, peakFlops: 989e12 }));
    });
  assert.deepEqual(share(37e9, 14.8e12, 2.8e6), ['32.96', '43.94']);
  assert.deepEqual(share(405e9, 15.6e12, 30.8e6), ['34.57', '46.09']);
});

test('utilizationOfRun: all of V3’s pre-training, its modules counted, is 38.96 % causal', () => {
  const counted = { context: 4096, causal: true, mtp: false, training: true };
  const flops = flopsPerToken(deepseekV3, counted) * 14.8e12;
  const share = utilizationOfRun({ flops, gpuHours: 2_664_000, peakFlops: 989.5e12 });
  assert.equal(percent(share), '38.96');
});

test('daysOn, gpuHoursOf: 2,788K GPU-hours are 56.7 days on 2,048 GPUs, and back', () => {
  assert.equal(daysOn({ gpuHours: 2_788_000, numGpus: 2048 }).toFixed(2), '56.72');
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1e6 }),
      fc.integer({ min: 1, max: 1e5 }),
      (days, numGpus) => {
        assert.ok(
          Math.abs(daysOn({ gpuHours: gpuHoursOf({ days, numGpus }), numGpus }) / days - 1) < 1e-12,
        );
      },
    ),
  );
});

test('runCost: hours, dollars and energy grow with tokens, and GPU-hours with the step', () => {
  const price = { dollarsPerGpuHour: 2, wattsPerGpu: 700, pue: 1.1 };
  const positive = fc.integer({ min: 1, max: 1e6 });
  fc.assert(
    fc.property(positive, positive, positive, (steps, milliseconds, numGpus) => {
      const run = { tokensPerStep, stepSeconds: milliseconds / 1000, numGpus, price };
      const one = runCost({ ...run, totalTokens: steps * tokensPerStep });
      const two = runCost({ ...run, totalTokens: 2 * steps * tokensPerStep });
      const slower = runCost({
        ...run,
        stepSeconds: 2 * run.stepSeconds,
        totalTokens: steps * tokensPerStep,
      });
      for (const key of ['hours', 'days', 'gpuHours', 'dollars', 'kilowattHours'] as const) {
        assert.ok(Math.abs(two[key] / one[key] - 2) < 1e-9, key);
        assert.ok(Math.abs(slower[key] / one[key] - 2) < 1e-9, key);
      }
      assert.ok(
        Math.abs(one.kilowattHours - kilowattHoursOf(one.gpuHours, price)) <
          1e-6 * one.kilowattHours,
      );
      assert.equal(one.dollars, one.gpuHours * 2);
    }),
  );
});
