/** Live micro-batches against the schedules' published activation counts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { v3Plan } from '../../../tests/support/memoryPlans.ts';
import { at } from '../../base/assert.ts';
import type { ScheduleName, TrainingPlan } from '../../config/parallelPlan.ts';
import { liveChunks } from './liveChunks.ts';

function planOf(schedule: ScheduleName, pp: number, count: number, chunksPerRank = 1) {
  const layout = { ...v3Plan.layout, dp: 1, ep: 1, pp };
  const plan: TrainingPlan = { ...v3Plan, layout, schedule, chunksPerRank, globalBatch: count };
  return plan;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

test('liveChunks: 1F1B and ZB1P hold PP, DualPipe PP + 1 (V3 report, table 2)', () => {
  for (const pp of [2, 4, 8, 16]) {
    const most = (schedule: ScheduleName, chunks = 1): number => {
      const ranks = liveChunks(planOf(schedule, pp, 120, chunks));
      return Math.max(...ranks.map(({ kept, deferred }) => sum(kept) + sum(deferred)));
    };
    assert.equal(most('1f1b'), pp);
    assert.equal(most('zb1p'), pp);
    assert.equal(most('gpipe'), 120);
    for (const { kept } of liveChunks(planOf('dualpipe', pp, 120, 2))) {
      assert.equal(sum(kept), pp + 1);
    }
    // Stages are half as long: (2 PP + 1) / 2 of 1F1B's micro-batches.
    for (const { kept } of liveChunks(planOf('dualpipev', pp, 120, 2))) {
      assert.equal(sum(kept), 2 * pp + 1);
    }
  }
});

test('liveChunks: interleaving holds 1 + (p − 1) / (p m) times 1F1B’s (Korthikanti et al. 2022)', () => {
  for (const [p, m] of [
    [4, 2],
    [8, 3],
    [16, 4],
  ] as const) {
    const first = at(liveChunks(planOf('interleaved-1f1b', p, 8 * p, m)), 0);
    assert.equal(sum(first.kept) / m / p, 1 + (p - 1) / (p * m));
  }
});

test('liveChunks: never more than there are, and no fewer with more micro-batches', () => {
  const schedule = fc.constantFrom<ScheduleName>(
    'gpipe',
    '1f1b',
    'zb1p',
    'interleaved-1f1b',
    'dualpipe',
    'dualpipev',
  );
  fc.assert(
    fc.property(
      schedule,
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 1, max: 6 }),
      (s, half, more) => {
        const pp = 2 * half;
        const small = liveChunks(planOf(s, pp, 2 * pp, 2));
        const large = liveChunks(planOf(s, pp, 2 * pp * more, 2));
        for (const [rank, { kept, deferred }] of small.entries()) {
          const next = at(large, rank);
          assert.ok(sum(kept) + sum(deferred) <= 2 * pp * 2);
          assert.ok(sum(kept) + sum(deferred) <= sum(next.kept) + sum(next.deferred));
        }
      },
    ),
  );
});
