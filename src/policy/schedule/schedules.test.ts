/** MTP weight, bias speed and batch size, held to the report's numbers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { batchSizeAt, V3_BATCH_SIZE } from './batchSize.ts';
import { biasSpeedAt, V3_BIAS_SPEED } from './biasSpeed.ts';
import { mtpWeightAt, V3_MTP_WEIGHT } from './mtpWeight.ts';

test("V3's MTP weight: 0.3 for the first 10T tokens, then 0.1", () => {
  assert.equal(mtpWeightAt(V3_MTP_WEIGHT, 0), 0.3);
  assert.equal(mtpWeightAt(V3_MTP_WEIGHT, 10e12 - 1), 0.3);
  assert.equal(mtpWeightAt(V3_MTP_WEIGHT, 10e12), 0.1);
  assert.equal(mtpWeightAt(V3_MTP_WEIGHT, 14.8e12), 0.1);
});

test("V3's bias speed: 0.001 for the first 14.3T tokens, then 0", () => {
  assert.equal(biasSpeedAt(V3_BIAS_SPEED, 0), 0.001);
  assert.equal(biasSpeedAt(V3_BIAS_SPEED, 14.3e12 - 1), 0.001);
  assert.equal(biasSpeedAt(V3_BIAS_SPEED, 14.3e12), 0);
});

test("V3's batch: 3,072 sequences at the start, 15,360 from 469B tokens on", () => {
  assert.equal(batchSizeAt(V3_BATCH_SIZE, 0), 3072);
  assert.equal(batchSizeAt(V3_BATCH_SIZE, 469e9 / 2), (3072 + 15_360) / 2);
  assert.equal(batchSizeAt(V3_BATCH_SIZE, 469e9), 15_360);
  assert.equal(batchSizeAt(V3_BATCH_SIZE, 14.8e12), 15_360);
});

test('Batch size: every step is a whole multiple within both ends and never shrinks', () => {
  const arbitrary = fc.record({
    multiple: fc.integer({ min: 1, max: 64 }),
    low: fc.integer({ min: 1, max: 50 }),
    more: fc.integer({ min: 0, max: 50 }),
    rampTokens: fc.nat(1e9),
  });
  fc.assert(
    fc.property(arbitrary, fc.nat(2e9), fc.nat(2e9), (shape, a, b) => {
      const { multiple, low, more, rampTokens } = shape;
      const schedule = { multiple, rampTokens, from: low * multiple, to: (low + more) * multiple };
      const early = batchSizeAt(schedule, Math.min(a, b));
      const late = batchSizeAt(schedule, Math.max(a, b));
      assert.equal(early % multiple, 0);
      assert.ok(schedule.from <= early && early <= late && late <= schedule.to);
    }),
  );
});
