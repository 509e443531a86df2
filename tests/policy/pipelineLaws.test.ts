/**
 * Laws of pipeline schedules: bubbles and activations of the DeepSeek-V3 report's table 2, within
 * the limits in which they hold, and makespans of an independent simulation.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ScheduleName } from '../../src/config/parallelPlan.ts';
import { peakPasses } from '../../src/policy/pipeline/liveness.ts';
import { pipelineSchedule } from '../../src/policy/pipeline/pipelineSchedule.ts';
import type { PipelineAction, PipelinePass } from '../../src/program/pipelineAction.ts';
import { walkPrograms } from '../../src/simulator/walkPrograms.ts';
import { goldenJson } from '../support/golden.ts';
import { type PassSeconds, passCosts } from '../support/passCosts.ts';
import { programsOf } from '../support/pipelineStep.ts';

interface Size {
  readonly name: ScheduleName;
  readonly numRanks: number;
  readonly numMicroBatches: number;
  readonly chunksPerRank?: number;
}

function bubbles(size: Size, seconds: PassSeconds): readonly number[] {
  return [...walkPrograms(programsOf(pipelineSchedule(size)), passCosts(seconds)).bubble];
}

/** Sums of a few thousand doubles near one: rounding stays below 1e-11 of them. */
function assertEvery(found: readonly number[], expected: number): void {
  for (const value of found) {
    const isNear = Math.abs(value - expected) <= 1e-9 * Math.max(1, expected);
    assert.ok(isNear, `${value} is not ${expected}`);
  }
}

test('makespans and bubbles: DualPipe and DualPipeV as an independent simulation has them', () => {
  const golden = goldenJson('pipeline/dualpipe-makespan.json') as Record<
    string,
    (PassSeconds & { makespan: number; bubble_per_rank: Record<string, number> })[]
  >;
  assert.equal(Object.keys(golden).length, 3);
  for (const [label, rows] of Object.entries(golden)) {
    const [, name, ranks, microBatches] = /^(\w+)-pp(\d+)-mb(\d+)$/.exec(label) ?? [];
    const schedule = pipelineSchedule({
      name: name as ScheduleName,
      numRanks: Number(ranks),
      numMicroBatches: Number(microBatches),
    });
    for (const row of rows) {
      const walk = walkPrograms(programsOf(schedule), passCosts(row));
      assertEvery([walk.makespan], row.makespan);
      for (const [rank, bubble] of Object.entries(row.bubble_per_rank)) {
        assertEvery([walk.bubble[Number(rank)] ?? Number.NaN], bubble);
      }
    }
  }
});

const ranks = fc.integer({ min: 1, max: 9 });
const seconds = fc.integer({ min: 1, max: 200 }).map((tenths) => tenths / 8);

test('1F1B and GPipe: the bubble is (P − 1)(F + B) on every rank, for any costs', () => {
  fc.assert(
    fc.property(
      ranks,
      fc.nat(12),
      seconds,
      seconds,
      fc.constantFrom<ScheduleName>('1f1b', 'gpipe'),
      (numRanks, more, F, B, name) => {
        const size = { name, numRanks, numMicroBatches: numRanks + more };
        assertEvery(bubbles(size, { F, B, W: B / 2, FB: F + B }), (numRanks - 1) * (F + B));
      },
    ),
    { numRuns: 60 },
  );
});

test('interleaved 1F1B: the bubble is that of 1F1B with the passes of one chunk', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 6 }),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 4 }),
      seconds,
      (numRanks, groups, chunksPerRank, F) => {
        const numMicroBatches = numRanks * groups;
        const size = {
          name: 'interleaved-1f1b',
          numRanks,
          numMicroBatches,
          chunksPerRank,
        } as const;
        const B = 2 * F;
        assertEvery(bubbles(size, { F, B, W: F, FB: F + B }), (numRanks - 1) * (F + B));
      },
    ),
    { numRuns: 60 },
  );
});

test('ZB1P: the bubble is (P − 1)(F + B − 2W) while W is no longer than F and than B − W', () => {
  fc.assert(
    fc.property(ranks, fc.nat(12), seconds, seconds, seconds, (numRanks, more, W, F0, I0) => {
      const F = W + F0;
      const B = W + (W + I0);
      const size = { name: 'zb1p', numRanks, numMicroBatches: numRanks + more } as const;
      assertEvery(bubbles(size, { F, B, W, FB: F + B }), (numRanks - 1) * (F + B - 2 * W));
    }),
    { numRuns: 60 },
  );
});

test('ZB1P: a weight gradient longer than the waits makes the bubble larger than the formula', () => {
  const size = { name: 'zb1p', numRanks: 4, numMicroBatches: 8 } as const;
  // (P − 1)(F + B − 2W) = 1.5; each of three ranks waits W − (B − W) = 0.5 longer.
  assertEvery(bubbles(size, { F: 1, B: 1.5, W: 1, FB: 2.5 }), 3);
});

test('DualPipe: the largest bubble is (P/2 − 1)(F&B + B − 3W) where F = W = B/2', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 6 }),
      fc.nat(10),
      seconds,
      fc.integer({ min: 0, max: 8 }),
      (half, more, F, eighths) => {
        const numRanks = 2 * half;
        const size = {
          name: 'dualpipe',
          numRanks,
          numMicroBatches: 2 * numRanks + 2 * more,
        } as const;
        // From a forward wholly hidden to one not hidden at all.
        const cost = { F, B: 2 * F, W: F, FB: 2 * F + (F * eighths) / 8 };
        const formula = (half - 1) * (cost.FB + cost.B - 3 * cost.W);
        const found = bubbles(size, cost);
        assertEvery([Math.max(...found)], formula);
        if (eighths === 8) assertEvery(found, formula);
      },
    ),
    { numRuns: 60 },
  );
});

test('DualPipe: at other ratios the real lists wait less than the formula says', () => {
  const size = { name: 'dualpipe', numRanks: 8, numMicroBatches: 20 } as const;
  // The formula gives (8/2 − 1)(4 + 3 − 3) = 12.
  assertEvery(bubbles(size, { F: 1, B: 3, W: 1, FB: 4 }), 11);
});

test('activations: P − rank in 1F1B, P on every rank of ZB1P, P + 1 in DualPipe, all in GPipe', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 8 }), fc.nat(9), (numRanks, more) => {
      const numMicroBatches = numRanks + more;
      const held = (name: ScheduleName): number[] =>
        pipelineSchedule({ name, numRanks, numMicroBatches }).ranks.map(
          (actions) => peakPasses(actions).held,
        );
      const each = Array.from({ length: numRanks }, (_, rank) => rank);
      assert.deepEqual(
        held('1f1b'),
        each.map((rank) => numRanks - rank),
      );
      assert.deepEqual(
        held('zb1p'),
        each.map(() => numRanks),
      );
      assert.deepEqual(
        held('gpipe'),
        each.map(() => numMicroBatches),
      );
      const dual = pipelineSchedule({
        name: 'dualpipe',
        numRanks: 2 * numRanks,
        numMicroBatches: 4 * numRanks + 2 * more,
      });
      for (const actions of dual.ranks) assert.equal(peakPasses(actions).held, 2 * numRanks + 1);
    }),
    { numRuns: 40 },
  );
});

function count(actions: readonly PipelineAction[], kind: PipelineAction['kind']): number {
  return actions.filter((action) => action.kind === kind).length;
}

test('DualPipe of 8 ranks and 20 micro-batches: deferred weight gradients and pairs per rank', () => {
  const { ranks: lists } = pipelineSchedule({
    name: 'dualpipe',
    numRanks: 8,
    numMicroBatches: 20,
  });
  assert.deepEqual(
    lists.map((actions) => count(actions, 'backwardWeight')),
    [7, 6, 5, 4, 4, 5, 6, 7],
  );
  assert.deepEqual(
    lists.map((actions) => count(actions, 'forwardBackward')),
    [9, 10, 11, 11, 11, 11, 10, 9],
  );
});

/**
 * Repetitions of the eight steps on ranks 0–7, 15–8 mirror them (DualPipe's schedule, evaluated).
 */
const vectorsOf16Ranks120MicroBatches = [
  [14, 1, 7, 45, 7, 1, 7, 1],
  [12, 2, 6, 46, 6, 2, 6, 2],
  [10, 3, 5, 47, 5, 3, 5, 3],
  [8, 4, 4, 48, 4, 4, 4, 4],
  [6, 5, 3, 49, 3, 5, 3, 5],
  [4, 6, 2, 50, 2, 6, 2, 6],
  [2, 7, 1, 51, 1, 7, 1, 7],
  [0, 8, 0, 52, 0, 8, 0, 8],
] as const;

const letters: Readonly<Record<PipelineAction['kind'], string>> = {
  forward: 'F',
  backward: 'B',
  backwardInput: 'I',
  backwardWeight: 'W',
  forwardBackward: 'X',
};

test('DualPipe of V3 (16 ranks, 120 micro-batches): the published vectors of the eight steps', () => {
  const { ranks: lists } = pipelineSchedule({
    name: 'dualpipe',
    numRanks: 16,
    numMicroBatches: 120,
  });
  for (const [rank, actions] of lists.entries()) {
    const vector = vectorsOf16Ranks120MicroBatches[Math.min(rank, 15 - rank)] ?? [];
    const steps = ['F', 'FF', 'IWF', 'XX', 'BX', 'BB', 'WI', 'W'];
    const expected = steps.map((step, index) => step.repeat(vector[index] ?? 0));
    // In step 6 the later half is split; in the middle the first pair is taken apart.
    const half = (expected[5] ?? '').length / 2;
    expected[5] = 'B'.repeat(half) + 'I'.repeat(half);
    if (rank === 7 || rank === 8) expected[3] = `FB${expected[3]?.slice(1)}`;
    assert.equal(actions.map(({ kind }) => letters[kind]).join(''), expected.join(''));
  }
});

test('DualPipeV of P ranks does what ranks 0 … P − 1 of DualPipe of 2P ranks do', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 6 }), fc.nat(6), (numRanks, more) => {
      const numMicroBatches = 2 * numRanks + more;
      const folded = pipelineSchedule({ name: 'dualpipev', numRanks, numMicroBatches });
      const whole = pipelineSchedule({
        name: 'dualpipe',
        numRanks: 2 * numRanks,
        numMicroBatches: 2 * numMicroBatches,
      });
      // DualPipe's second direction runs through the mirrored stages with the later micro-batches.
      const unfold = ({ stage, microBatch }: PipelinePass): PipelinePass => ({
        stage,
        microBatch: microBatch % numMicroBatches,
      });
      const words = (action: PipelineAction): unknown =>
        action.kind === 'forwardBackward'
          ? { ...action, forward: unfold(action.forward), backward: unfold(action.backward) }
          : { ...action, ...unfold(action) };
      for (const [rank, actions] of folded.ranks.entries()) {
        assert.deepEqual(actions.map(words), whole.ranks[rank]?.map(words));
      }
    }),
    { numRuns: 30 },
  );
});
