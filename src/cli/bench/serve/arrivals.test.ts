/** The law of arrivals: mean and variance of the gaps, the ramp, and the same ones by seed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arrivals, parseRamp, type Rate, rateAt } from './arrivals.ts';

const steady = (perSecond: number): Rate => ({ law: 'linear', from: perSecond, to: perSecond });

// Bounds: five standard deviations; a gap's kurtosis is that of gamma, 3 + 6 / burstiness.
test('Arrivals: gaps have the mean and the variance that rate and burstiness say', () => {
  const count = 20_000;
  for (const rate of [0.5, 20]) {
    for (const burstiness of [0.3, 1, 10]) {
      const arrivals = new Arrivals({ rate: steady(rate), burstiness, seed: 3 });
      const gaps = Array.from({ length: count }, () => arrivals.gap(0));
      const mean = gaps.reduce((sum, gap) => sum + gap, 0) / count;
      const variance = gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / count;
      const truth = 1 / (burstiness * rate * rate);
      assert.ok(Math.abs(mean - 1 / rate) < 5 * Math.sqrt(truth / count), `mean ${mean}`);
      const spread = truth * Math.sqrt((2 + 6 / burstiness) / count);
      assert.ok(Math.abs(variance - truth) < 5 * spread, `variance ${variance} of ${truth}`);
    }
  }
});

test('Arrivals: a seed gives the same ones again, another seed others', () => {
  const gaps = (seed: number): number[] => {
    const arrivals = new Arrivals({ rate: steady(4), burstiness: 0.7, seed });
    return Array.from({ length: 50 }, () => arrivals.gap(0.5));
  };
  assert.deepEqual(gaps(1), gaps(1));
  assert.notDeepEqual(gaps(1), gaps(2));
});

test('rateAt: begins at one end, ends at the other, and stays there', () => {
  for (const law of ['linear', 'exponential'] as const) {
    const rate: Rate = { law, from: 2, to: 32 };
    assert.deepEqual(
      [-1, 0, 1, 2].map((progress) => rateAt(rate, progress)),
      [2, 2, 32, 32],
    );
  }
  assert.equal(rateAt({ law: 'linear', from: 2, to: 32 }, 0.5), 17);
  assert.equal(rateAt({ law: 'exponential', from: 2, to: 32 }, 0.5), 8);
});

test('parseRamp: reads both laws and refuses what is no ramp', () => {
  assert.deepEqual(parseRamp('linear:1..20'), { law: 'linear', from: 1, to: 20 });
  assert.deepEqual(parseRamp('exponential:0.5..8'), { law: 'exponential', from: 0.5, to: 8 });
  for (const text of ['', '3', 'linear', 'linear:0..4', 'cubic:1..2', 'linear:1..x', 'linear:1']) {
    assert.throws(() => parseRamp(text), { code: 'bench.ramp' }, text);
  }
});
