/** What the page draws of schedules: golden lists and makespans, formulas, sizes that fit. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { at } from '../../src/base/assert.ts';
import { scheduleNames } from '../../src/config/parallelPlan.ts';
import type { PipelineAction, PipelinePass } from '../../src/program/pipelineAction.ts';
import { goldenJson } from '../../tests/support/golden.ts';
import { scheduleChoices } from '../../tests/support/pipelineStep.ts';
import { kindAt } from '../draw/timelineIndex.ts';
import { drawSchedule, fittingSize, labelOf, type PassUnits } from './schedulePicture.ts';

const units: PassUnits = { F: 1, B: 2, W: 1, FB: 3 };
const published = { name: 'dualpipe', numRanks: 8, numMicroBatches: 20 } as const;

/** The golden file counts chunks per direction and phases from a rank's nearer end. */
function goldenAction(rank: number, action: PipelineAction): object {
  const place = ({ microBatch }: PipelinePass) => {
    const dir = microBatch < 10 ? 0 : 1;
    return { chunk: microBatch % 10, phase: rank >= 4 ? 1 - dir : dir, dir };
  };
  switch (action.kind) {
    case 'forward':
      return { op: 'F', ...place(action) };
    case 'backward':
      return { op: 'B', ...place(action), zb: false };
    case 'backwardInput':
      return { op: 'B', ...place(action), zb: true };
    case 'backwardWeight':
      return { op: 'W', ...place(action) };
    case 'forwardBackward': {
      const { chunk, phase, dir } = place(action.backward);
      return { op: 'FB', ...place(action.forward), bchunk: chunk, bphase: phase, bdir: dir };
    }
    default:
      return action satisfies never;
  }
}

test('drawSchedule: DualPipe of PP 8 with 20 micro-batches draws its golden, span by span', () => {
  const picture = drawSchedule(published, units);
  const golden = goldenJson('pipeline/dualpipe-pp8-mb20.json') as Record<string, object[]>;
  assert.deepEqual(
    Object.keys(golden),
    picture.ranks.map((_, rank) => String(rank)),
  );
  assert.equal(picture.timeline.rows.length, 8);
  for (const [rank, drawn] of picture.ranks.entries()) {
    const found = drawn.map(({ action }) => goldenAction(rank, action));
    assert.deepEqual(found, golden[String(rank)], `rank ${rank}`);
    const row = at(picture.timeline.rows, rank);
    assert.deepEqual(
      [...row.starts],
      drawn.map(({ start }) => start),
    );
    assert.deepEqual(
      [...row.ends],
      drawn.map(({ end }) => end),
    );
    assert.deepEqual(
      drawn.map((_, index) => row.label(index)),
      drawn.map(({ action }) => labelOf(action)),
    );
  }
});

test('drawSchedule: makespan and bubbles of PP 8 with 20 are those of the golden simulation', () => {
  const golden = goldenJson('pipeline/dualpipe-makespan.json') as Record<
    string,
    (PassUnits & { makespan: number; bubble_per_rank: Record<string, number> })[]
  >;
  const rows = golden['dualpipe-pp8-mb20'] ?? [];
  assert.ok(rows.length > 0);
  for (const { makespan, bubble_per_rank, ...costs } of rows) {
    const picture = drawSchedule(published, costs);
    // Sums of some hundred doubles below 100: rounding stays far below 1e-9.
    assert.ok(Math.abs(picture.makespan - makespan) < 1e-9);
    for (const [rank, bubble] of Object.entries(bubble_per_rank)) {
      assert.ok(Math.abs(at(picture.bubbles, Number(rank)) - bubble) < 1e-9);
    }
  }
});

test('drawSchedule: where F = W = B/2 and pairs hide nothing the bubble is the published one', () => {
  fc.assert(
    fc.property(scheduleChoices, (choice) => {
      // 1F1B and its kin need as many micro-batches as ranks before their bubble is whole.
      const numMicroBatches = Math.max(choice.numMicroBatches, choice.numRanks);
      const size = { ...choice, ...fittingSize({ ...choice, numMicroBatches }) };
      const picture = drawSchedule(size, units);
      // Interleaved with one group of micro-batches waits as long; small whole numbers are exact.
      assert.equal(Math.max(...picture.bubbles), picture.published.value, JSON.stringify(size));
      assert.ok(Math.abs(picture.bubbleShare - picture.published.share) < 1e-12);
    }),
    { numRuns: 100 },
  );
});

test('drawSchedule: what is drawn and the bubble fill every rank’s time, for any prices', () => {
  const price = fc.integer({ min: 1, max: 40 }).map((eighths) => eighths / 8);
  fc.assert(
    fc.property(scheduleChoices, price, price, price, price, (choice, F, I, W, FB) => {
      const picture = drawSchedule(choice, { F, B: I + W, W, FB });
      for (const [rank, row] of picture.timeline.rows.entries()) {
        const busy = at(row.busy, row.starts.length);
        assert.equal(busy + at(picture.bubbles, rank), picture.makespan);
        for (let span = 0; span + 1 < row.starts.length; span++) {
          assert.ok(at(row.ends, span) <= at(row.starts, span + 1));
        }
      }
    }),
    { numRuns: 60 },
  );
});

test('drawSchedule: a pair has a colour of its own and both passes in its label', () => {
  const { ranks, timeline } = drawSchedule(published, units);
  const pair = at(ranks, 0).findIndex(({ action }) => action.kind === 'forwardBackward');
  assert.ok(pair > 0);
  const row = at(timeline.rows, 0);
  assert.equal(kindAt(row, pair), 'pair');
  assert.match(row.label(pair), /^\dF\d+ & \dB\d+$/);
});

test('fittingSize: any sliders give a size that the schedule takes, and keep one that it takes', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...scheduleNames),
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 1, max: 30 }),
      (name, numRanks, numMicroBatches) => {
        const size = fittingSize({ name, numRanks, numMicroBatches });
        assert.ok(drawSchedule({ name, ...size }, units).makespan > 0);
        assert.deepEqual(fittingSize({ name, ...size }), size);
      },
    ),
    { numRuns: 80 },
  );
});
