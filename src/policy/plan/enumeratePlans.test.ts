/** The plans worth pricing: all of them can run, what is fixed stays, V3's own is among them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkLayout, numMicroBatches, type TrainingPlan } from '../../config/parallelPlan.ts';
import { canRun, enumeratePlans, type PlanSpace } from './enumeratePlans.ts';

const v3: PlanSpace = {
  numGpus: 2048,
  limits: { numLayers: 61, numHeads: 128, numExperts: 256, scaleUpSize: 8 },
  globalBatch: 15360,
  sequenceLength: 4096,
  precision: 'fp8',
  mtp: true,
  layout: {},
};

test('enumeratePlans: V3’s own plan is among those for 2,048 GPUs', () => {
  const own = [...enumeratePlans(v3)].filter(
    ({ layout, schedule, microBatchSize, recompute }) =>
      layout.pp === 16 &&
      layout.ep === 64 &&
      layout.tp === 1 &&
      layout.zeroStage === 1 &&
      schedule === 'dualpipe' &&
      microBatchSize === 1 &&
      recompute === 'v3',
  );
  assert.equal(own.length, 1);
  assert.equal(numMicroBatches(own[0] as TrainingPlan), 120);
});

test('enumeratePlans: every plan can run, and none comes twice', () => {
  const power = (max: number): fc.Arbitrary<number> =>
    fc.integer({ min: 0, max }).map((n) => 2 ** n);
  fc.assert(
    fc.property(
      fc.record({ gpus: power(7), batch: power(8), layers: fc.integer({ min: 1, max: 40 }) }),
      fc.record({ heads: power(6), experts: fc.constantFrom(0, 8, 24, 64) }),
      ({ gpus, batch, layers }, { heads, experts }) => {
        const limits = { numLayers: layers, numHeads: heads, numExperts: experts, scaleUpSize: 8 };
        const space = { ...v3, numGpus: gpus, globalBatch: batch, limits };
        const seen = new Set<string>();
        for (const plan of enumeratePlans(space)) {
          const { layout } = plan;
          checkLayout(layout, gpus);
          assert.ok(canRun(plan));
          assert.equal(heads % layout.tp, 0);
          assert.ok(layout.pp <= layers && layout.tp <= 8);
          if (experts > 0) assert.equal(experts % layout.ep, 0);
          else assert.equal(layout.ep, 1);
          const key = JSON.stringify(plan);
          assert.ok(!seen.has(key), key);
          seen.add(key);
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('enumeratePlans: what is fixed stays fixed', () => {
  const plans = [
    ...enumeratePlans({
      ...v3,
      layout: { pp: 8, zeroStage: 3 },
      schedules: ['zb1p'],
      microBatchSizes: [2],
      recomputes: ['full'],
    }),
  ];
  assert.ok(plans.length > 10);
  for (const { layout, schedule, microBatchSize, recompute } of plans) {
    assert.deepEqual(
      [layout.pp, layout.zeroStage, schedule, microBatchSize, recompute],
      [8, 3, 'zb1p', 2, 'full'],
    );
  }
});
