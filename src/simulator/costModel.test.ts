/** The cost model: measured shapes cost their sample, lines are recovered, nothing is negative. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { MachineProfile, OperationSample } from '../config/machineProfile.ts';
import { createCostModel, fitCost } from './costModel.ts';

const roofline = { fmaPeak: 1e11, readBandwidth: 1e10, copyBandwidth: 5e9 };

function profileOf(samples: readonly OperationSample[]): MachineProfile {
  return { name: 'test', threads: 1, roofline, samples };
}

test('fitCost: a true line is recovered from its own points', () => {
  const coefficient = fc.double({ min: 0.1, max: 10, noNaN: true });
  fc.assert(
    fc.property(coefficient, coefficient, coefficient, (a, b, c) => {
      const points = [
        [1e6, 1e5],
        [1e8, 1e6],
        [1e7, 3e6],
        [5e8, 2e5],
      ] as const;
      const samples = points.map(([flops, bytes], i) => ({
        key: String(i),
        family: 'f',
        flops,
        bytes,
        seconds: a * 1e-5 + b * 1e-11 * flops + c * 1e-10 * bytes,
      }));
      const cost = fitCost(samples);
      for (const { flops, bytes, seconds } of samples) {
        const predicted =
          cost.secondsPerCall + cost.secondsPerFlop * flops + cost.secondsPerByte * bytes;
        assert.ok(Math.abs(predicted / seconds - 1) < 1e-6);
      }
    }),
  );
});

test('fitCost: no coefficient is negative, whatever the samples', () => {
  const positive = fc.double({ min: 1e-6, max: 1, noNaN: true });
  fc.assert(
    fc.property(fc.array(fc.tuple(positive, positive, positive), { minLength: 1 }), (points) => {
      const samples = points.map(([flops, bytes, seconds], i) => ({
        key: String(i),
        family: 'f',
        flops,
        bytes,
        seconds,
      }));
      const cost = fitCost(samples);
      assert.ok(Object.values(cost).every((value) => value >= 0 && Number.isFinite(value)));
      assert.ok(Object.values(cost).some((value) => value > 0));
    }),
  );
});

test('CostModel: a measured shape costs its sample, an unknown family the roofline', () => {
  const sample = { key: 'k1', family: 'f', flops: 10, bytes: 10, seconds: 0.5 };
  const model = createCostModel(profileOf([sample]));
  assert.equal(model.seconds({ key: 'k1', family: 'f', flops: 10, bytes: 10 }), 0.5);
  assert.equal(model.seconds({ key: 'x', family: 'other', flops: 1e11, bytes: 1 }), 1);
  assert.equal(model.seconds({ key: 'x', family: 'other', flops: 1, bytes: 1e10 }), 1);
});
