/** Lowering: what every instruction carries, who loads what, and how a step ends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { scheduleChoices, stepSettings } from '../../../tests/support/pipelineStep.ts';
import { AssertionError, at } from '../../base/assert.ts';
import type { Program, TrainingInstruction } from '../../program/instruction.ts';
import { countTargets, type MicroBatch } from '../../program/microBatch.ts';
import { pairOrder } from '../overlap/partOrder.ts';
import type { StageParts } from '../overlap/stageParts.ts';
import { lower, wholeStep } from './lower.ts';
import { pipelineSchedule } from './pipelineSchedule.ts';
import { singleRankStep } from './singleRank.ts';

const normalizers = { main: 5, mtp: [2] };

function batchOf(length: number): MicroBatch {
  return {
    numSequences: 1,
    length,
    ids: new Int32Array(length),
    targets: new Int32Array(length),
    mtpTargets: [],
  };
}

function kinds({ instructions }: Program<TrainingInstruction>): string[] {
  return instructions.map(({ kind }) => kind);
}

test('lower: a pipeline of one rank is the step of a single rank', () => {
  const batches = [batchOf(3), batchOf(4)];
  const single = singleRankStep(batches, stepSettings);
  const counts = batches.map(countTargets);
  const step = lower({
    schedule: pipelineSchedule({ name: '1f1b', numRanks: 1, numMicroBatches: 2 }),
    settings: stepSettings,
    normalizers: { main: counts.reduce((sum, { main }) => sum + main, 0), mtp: [] },
    batches,
  });
  assert.deepEqual(step, single);
});

test('lower: every forward carries the losses and the divisors of the whole step', () => {
  const schedule = pipelineSchedule({ name: 'dualpipev', numRanks: 2, numMicroBatches: 4 });
  const { compute } = lower({
    schedule,
    settings: stepSettings,
    normalizers,
    numMicroBatches: 512,
  });
  const forwards = compute
    .flatMap(({ instructions }) => instructions)
    .flatMap((each) => {
      if (each.kind === 'forward') return [each];
      return each.kind === 'forwardBackward' ? [each.forward] : [];
    });
  assert.equal(forwards.length, 4 * 4);
  for (const {
    mtpWeight,
    balanceCoefficient,
    normalizers: divisors,
    numMicroBatches,
  } of forwards) {
    assert.deepEqual(
      [mtpWeight, balanceCoefficient, divisors, numMicroBatches],
      [0.3, 1e-4, normalizers, 512],
    );
  }
});

test('lower: a step ends with the sum of gradients; the update follows, or gradients are dropped', () => {
  const schedule = pipelineSchedule({ name: 'zb1p', numRanks: 2, numMicroBatches: 2 });
  const step = lower({ schedule, settings: stepSettings, normalizers });
  for (const [rank, program] of wholeStep(step).entries()) {
    assert.equal(program.rank, rank);
    assert.deepEqual(kinds(program).slice(-3), ['reduceGradients', 'optimizerStep', 'updateBias']);
  }
  for (const program of step.drop) assert.deepEqual(kinds(program), ['dropGradients']);
});

test('lower: tokens are loaded where the model begins and ends, once on a rank that holds both', () => {
  const loads = (name: '1f1b' | 'dualpipe' | 'dualpipev', numRanks: number): number[][] => {
    const schedule = pipelineSchedule({ name, numRanks, numMicroBatches: 2 * numRanks });
    const batches = Array.from({ length: 2 * numRanks }, (_, length) => batchOf(length));
    const { compute } = lower({ schedule, settings: stepSettings, normalizers, batches });
    return compute.map(({ instructions }) =>
      instructions.flatMap((each, index) => {
        if (each.kind !== 'loadMicroBatch') return [];
        assert.equal(each.batch.length, each.microBatch);
        // Right before the pass that reads it.
        const next = at(instructions, index + 1);
        const reader = next.kind === 'forwardBackward' ? next.forward : next;
        assert.ok('microBatch' in reader && reader.microBatch === each.microBatch);
        return [each.microBatch];
      }),
    );
  };
  const all = [0, 1, 2, 3, 4, 5, 6, 7];
  assert.deepEqual(loads('1f1b', 4), [all, [], [], all]);
  assert.deepEqual(loads('dualpipev', 4), [all, [], [], []]);
  // DualPipe's rank 0 begins one half of them and ends the other.
  const [first, second, third, last] = loads('dualpipe', 4);
  assert.deepEqual([first?.toSorted(), second, third, last?.toSorted()], [all, [], [], all]);
});

test('lower: passes carry their inner order when the stages are known, one for all alike', () => {
  const schedule = pipelineSchedule({ name: 'dualpipe', numRanks: 2, numMicroBatches: 6 });
  const stage: StageParts = {
    blocks: ['moe', 'moe'],
    hasSharedExperts: true,
    hasEmbedding: false,
    hasHead: false,
  };
  const stages = [
    { ...stage, hasEmbedding: true },
    { ...stage, hasHead: true },
  ];
  const { compute } = lower({ schedule, settings: stepSettings, normalizers, stages });
  const instructions = compute.flatMap((program) => program.instructions);
  const pairs = instructions.filter((each) => each.kind === 'forwardBackward');
  assert.ok(pairs.length > 2);
  for (const { forward, backward, order } of pairs) {
    const expected = pairOrder({
      forward: at(stages, forward.stage),
      backward: at(stages, backward.stage),
    });
    assert.deepEqual(order, expected);
  }
  assert.equal(new Set(pairs.map(({ order }) => order)).size, 2);
  for (const each of instructions) {
    if (each.kind === 'forward' || each.kind === 'backward') assert.ok(each.order !== undefined);
  }
});

test('lower: neighbours on one rank hand over without a message, all others with exactly one', () => {
  fc.assert(
    fc.property(scheduleChoices, (choice) => {
      const schedule = pipelineSchedule(choice);
      const { compute } = lower({ schedule, settings: stepSettings, normalizers });
      const messages = compute.flatMap(({ instructions }) =>
        instructions.filter(({ kind }) => kind === 'send' || kind === 'recv'),
      );
      const perMicroBatch = messages.length / schedule.numMicroBatches;
      // An activation up and a gradient down each boundary, sent and received.
      const boundaries =
        choice.name === 'dualpipev' ? schedule.numStages - 2 : schedule.numStages - 1;
      assert.equal(perMicroBatch, choice.numRanks === 1 ? 0 : 4 * boundaries);
    }),
    { numRuns: 60 },
  );
});

test('lower: stages and batches of another number than the schedule has are our own mistake', () => {
  const schedule = pipelineSchedule({ name: '1f1b', numRanks: 2, numMicroBatches: 2 });
  const step = { schedule, settings: stepSettings, normalizers };
  assert.throws(() => lower({ ...step, batches: [batchOf(1)] }), AssertionError);
  assert.throws(() => lower({ ...step, stages: [] }), AssertionError);
});
