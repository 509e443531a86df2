/** Live micro-batches against the schedules' published activation counts. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { v3Plan } from '../../../tests/support/v3Plan.ts';
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

test('liveChunks: DualPipe’s published action lists keep as much of each stage at their fullest', () => {
  const lists = [
    { file: 'dualpipe-pp8-mb20', schedule: 'dualpipe', pp: 8, count: 20 },
    { file: 'dualpipe-pp4-mb10', schedule: 'dualpipe', pp: 4, count: 10 },
    { file: 'dualpipev-pp4-mb10', schedule: 'dualpipev', pp: 4, count: 10 },
  ] as const;
  for (const { file, schedule, pp, count } of lists) {
    const path = new URL(`../../../tests/golden/pipeline/${file}.json`, import.meta.url);
    const golden = JSON.parse(readFileSync(path, 'utf8')) as Record<string, GoldenAction[]>;
    const chunks = liveChunks(planOf(schedule, pp, count, 2));
    for (let rank = 0; rank < pp; rank++) {
      const fullest = fullestOf(golden[`${rank}`] ?? []);
      // A rank of the second half has the later stage in the first direction.
      const inOrder = schedule === 'dualpipe' && rank >= pp / 2 ? fullest.reverse() : fullest;
      assert.deepEqual(at(chunks, rank).kept, inOrder, `${file}, rank ${rank}`);
    }
  }
});

interface GoldenAction {
  readonly op: 'F' | 'B' | 'W' | 'FB';
  readonly dir: number;
  readonly bdir?: number;
}

/** Passes per direction when the rank first holds most; a pair holds both of its passes. */
function fullestOf(actions: readonly GoldenAction[]): number[] {
  assert.ok(actions.length > 0);
  const alive = [0, 0];
  let fullest = [0, 0];
  const move = (direction: number, by: number): void => {
    alive[direction] = at(alive, direction) + by;
  };
  for (const { op, dir, bdir } of actions) {
    if (op === 'F' || op === 'FB') move(dir, 1);
    if (sum(alive) > sum(fullest)) fullest = [...alive];
    if (op === 'B') move(dir, -1);
    if (op === 'FB') move(bdir ?? 0, -1);
  }
  return fullest;
}

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
