/** Programs that are right, and every way of spoiling them: each is refused by its own name. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stepSettings } from '../../../tests/support/pipelineStep.ts';
import { at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import type { Program, TrainingInstruction } from '../../program/instruction.ts';
import { checkPrograms } from './check.ts';
import { lower } from './lower.ts';
import { pipelineSchedule } from './pipelineSchedule.ts';

const schedule = pipelineSchedule({ name: 'dualpipe', numRanks: 4, numMicroBatches: 8 });
const good = lower({ schedule, settings: stepSettings, normalizers: { main: 1, mtp: [] } }).compute;

type Instructions = readonly TrainingInstruction[];

/** The good programs with one rank's list changed. */
function spoiled(
  rank: number,
  change: (instructions: Instructions) => Instructions,
): Program<TrainingInstruction>[] {
  return good.map((program) =>
    program.rank === rank ? { rank, instructions: change(program.instructions) } : program,
  );
}

function refusal(programs: readonly Program<TrainingInstruction>[], code: string): MoebiusError {
  try {
    checkPrograms(programs, schedule);
  } catch (error) {
    assert.ok(error instanceof MoebiusError, String(error));
    assert.equal(error.code, code, error.message);
    return error;
  }
  return assert.fail('the programs passed');
}

function indexOf(rank: number, kind: TrainingInstruction['kind']): number {
  const index = at(good, rank).instructions.findIndex((each) => each.kind === kind);
  assert.ok(index >= 0);
  return index;
}

const without = (index: number) => (instructions: Instructions) => instructions.toSpliced(index, 1);
const twice = (index: number) => (instructions: Instructions) =>
  instructions.toSpliced(index, 0, at(instructions, index));

test('checkPrograms: the programs of a schedule pass', () => {
  checkPrograms(good, schedule);
});

test('checkPrograms: no instruction of a pipeline can be left out or done twice unnoticed', () => {
  for (const { rank, instructions } of good) {
    for (const [index, { kind }] of instructions.entries()) {
      assert.throws(() => checkPrograms(spoiled(rank, without(index)), schedule), MoebiusError);
      if (kind === 'reduceGradients') continue;
      assert.throws(() => checkPrograms(spoiled(rank, twice(index)), schedule), MoebiusError);
    }
  }
});

test('checkPrograms: a backward before its forward names both and where', () => {
  const index = indexOf(0, 'backwardInput');
  const early = spoiled(0, (instructions) => [
    at(instructions, index),
    ...instructions.toSpliced(index, 1),
  ]);
  const error = refusal(early, 'program.order');
  assert.match(
    error.message,
    /^rank 0, instruction 0: backwardInput of stage 3, micro-batch 4 runs/,
  );
  assert.match(error.message, /before its forward on this rank/);
});

test('checkPrograms: a weight gradient before its input pass is refused', () => {
  const index = indexOf(0, 'backwardWeight');
  const early = spoiled(0, (instructions) => [
    at(instructions, index),
    ...instructions.toSpliced(index, 1),
  ]);
  assert.match(refusal(early, 'program.order').message, /weight gradient before its input pass/);
});

test('checkPrograms: a pass that begins before its input has come is refused', () => {
  const index = indexOf(1, 'recv');
  const late = spoiled(1, (instructions) => [
    ...instructions.toSpliced(index, 1),
    at(instructions, index),
  ]);
  assert.match(refusal(late, 'program.order').message, /before the activation of stage 0 is here/);
});

test('checkPrograms: a send before its result is refused', () => {
  const index = indexOf(0, 'send');
  const early = spoiled(0, (instructions) => [
    at(instructions, index),
    ...instructions.toSpliced(index, 1),
  ]);
  const error = refusal(early, 'program.order');
  assert.match(error.message, /^rank 0, instruction 0: send activation of stage 0, micro-batch 0/);
});

test('checkPrograms: a lonely send and a lonely receive are named with their rank and peer', () => {
  const send = indexOf(0, 'send');
  const unsent = refusal(spoiled(0, without(send)), 'program.message');
  assert.match(unsent.message, /^rank 1, .*recv activation .* from rank 0 is never sent/);
  const extra = spoiled(0, (instructions) => [
    ...instructions,
    { kind: 'send', content: 'activation', stage: 0, microBatch: 0, peer: 3 },
  ]);
  assert.match(refusal(extra, 'program.message').message, /to rank 3 is never received/);
});

test('checkPrograms: a lost micro-batch and one that runs on two ranks are refused', () => {
  const lost = refusal(
    good.map(({ rank }) => ({ rank, instructions: [] })),
    'program.order',
  );
  assert.match(lost.message, /no rank runs the forward of stage 0, micro-batch 0/);
  const first = at(at(good, 0).instructions, 0);
  const again = refusal(
    spoiled(3, (instructions) => [...instructions, first]),
    'program.order',
  );
  assert.match(again.message, /^rank 3, .* runs forward a second time/);
});

test('checkPrograms: a ring of waits is refused with every wait of the ring', () => {
  const pass = (stage: number, microBatch: number): TrainingInstruction => ({
    kind: 'forward',
    stage,
    microBatch,
    mtpWeight: 0,
    balanceCoefficient: 0,
    normalizers: { main: 1, mtp: [] },
    numMicroBatches: 2,
  });
  const message = (
    kind: 'send' | 'recv',
    content: 'activation' | 'gradient',
    pass: { stage: number; microBatch: number; peer: number },
  ): TrainingInstruction => ({ kind, content, ...pass });
  // Rank 0 wants the gradient of micro-batch 0 before it sends 1; rank 1 wants 1 before it answers.
  const ring: Program<TrainingInstruction>[] = [
    {
      rank: 0,
      instructions: [
        pass(0, 0),
        message('send', 'activation', { stage: 0, microBatch: 0, peer: 1 }),
        pass(0, 1),
        message('recv', 'gradient', { stage: 1, microBatch: 0, peer: 1 }),
        { kind: 'backward', stage: 0, microBatch: 0 },
        message('send', 'activation', { stage: 0, microBatch: 1, peer: 1 }),
        message('recv', 'gradient', { stage: 1, microBatch: 1, peer: 1 }),
        { kind: 'backward', stage: 0, microBatch: 1 },
      ],
    },
    {
      rank: 1,
      instructions: [
        message('recv', 'activation', { stage: 0, microBatch: 0, peer: 0 }),
        pass(1, 0),
        { kind: 'backward', stage: 1, microBatch: 0 },
        message('recv', 'activation', { stage: 0, microBatch: 1, peer: 0 }),
        message('send', 'gradient', { stage: 1, microBatch: 0, peer: 0 }),
        pass(1, 1),
        { kind: 'backward', stage: 1, microBatch: 1 },
        message('send', 'gradient', { stage: 1, microBatch: 1, peer: 0 }),
      ],
    },
  ];
  assert.throws(
    () => checkPrograms(ring),
    (error: unknown) => {
      assert.ok(error instanceof MoebiusError);
      assert.equal(error.code, 'program.deadlock');
      assert.match(error.message, /rank 0, instruction 3: recv gradient of stage 1, micro-batch 0/);
      assert.match(
        error.message,
        /rank 1, instruction 3: recv activation of stage 0, micro-batch 1/,
      );
      return true;
    },
  );
});

test('checkPrograms: a rank that never comes to the common sum holds up the others by name', () => {
  const missing = spoiled(2, (instructions) => instructions.slice(0, -1));
  const error = refusal(missing, 'program.deadlock');
  assert.match(error.message, /reduceGradients/);
  assert.match(error.message, /rank 2, instruction \d+: its program has ended/);
});
