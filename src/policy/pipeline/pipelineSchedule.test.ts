/** Every schedule: all passes once and in order, nothing deferred for ever, and what is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { scheduleChoices as choices, programsOf } from '../../../tests/support/pipelineStep.ts';
import { MoebiusError } from '../../base/errors.ts';
import { type ScheduleName, scheduleNames } from '../../config/parallelPlan.ts';
import { checkPrograms } from './check.ts';
import {
  chunksOf,
  numStagesOf,
  pipelineSchedule,
  type ScheduleChoice,
} from './pipelineSchedule.ts';

test('every schedule: each pass runs once, in order, with its messages, and all programs end', () => {
  fc.assert(
    fc.property(choices, (choice) => {
      const schedule = pipelineSchedule(choice);
      assert.equal(schedule.ranks.length, choice.numRanks);
      checkPrograms(programsOf(schedule), schedule);
    }),
    { numRuns: 150 },
  );
});

test('every schedule: weight gradients are made in the order in which they were put off', () => {
  fc.assert(
    fc.property(choices, (choice) => {
      for (const actions of pipelineSchedule(choice).ranks) {
        const deferred: string[] = [];
        for (const action of actions) {
          if (action.kind === 'backwardInput') {
            deferred.push(`${action.stage} ${action.microBatch}`);
          } else if (action.kind === 'backwardWeight') {
            assert.equal(deferred.shift(), `${action.stage} ${action.microBatch}`);
          }
        }
        assert.equal(deferred.length, 0);
      }
    }),
    { numRuns: 100 },
  );
});

test('every schedule: stages are as many as their count says, and each rank has its chunks', () => {
  fc.assert(
    fc.property(choices, (choice) => {
      const { name, numRanks } = choice;
      const chunksPerRank = choice.chunksPerRank ?? chunksOf(name) ?? 2;
      const schedule = pipelineSchedule(choice);
      assert.equal(schedule.numStages, numStagesOf({ name, numRanks, chunksPerRank }));
      for (const actions of schedule.ranks) {
        const stages = actions.map((each) => ('stage' in each ? each.stage : each.forward.stage));
        assert.equal(new Set(stages).size, chunksPerRank);
      }
    }),
    { numRuns: 60 },
  );
});

function refusal(choice: ScheduleChoice): MoebiusError {
  try {
    pipelineSchedule(choice);
  } catch (error) {
    assert.ok(error instanceof MoebiusError);
    assert.equal(error.code, 'pipeline.schedule');
    return error;
  }
  return assert.fail(`${choice.name} took ${choice.numRanks}, ${choice.numMicroBatches}`);
}

test('DualPipe: odd ranks, odd or too few micro-batches are refused with numbers that work', () => {
  const odd = refusal({ name: 'dualpipe', numRanks: 5, numMicroBatches: 20 });
  assert.match(odd.message, /P is 5/);
  assert.match(odd.hint ?? '', /pp to 6 or 4, or use dualpipev/);
  const half = refusal({ name: 'dualpipe', numRanks: 4, numMicroBatches: 9 });
  assert.match(half.hint ?? '', /Use 10 micro-batches/);
  const few = refusal({ name: 'dualpipe', numRanks: 8, numMicroBatches: 14 });
  assert.match(few.hint ?? '', /from 14 to 16/);
  // Any even number of either will do: no divisibility between them is asked for.
  assert.equal(
    pipelineSchedule({ name: 'dualpipe', numRanks: 6, numMicroBatches: 14 }).numStages,
    6,
  );
});

test('DualPipeV: odd ranks and micro-batches are taken, fewer than two per rank are not', () => {
  assert.equal(
    pipelineSchedule({ name: 'dualpipev', numRanks: 3, numMicroBatches: 7 }).numStages,
    6,
  );
  const few = refusal({ name: 'dualpipev', numRanks: 3, numMicroBatches: 5 });
  assert.match(few.hint ?? '', /from 5 to 6/);
});

test('interleaved 1F1B: micro-batches that leave a group short are refused with the next number', () => {
  const error = refusal({ name: 'interleaved-1f1b', numRanks: 4, numMicroBatches: 10 });
  assert.match(error.message, /groups of 4, not 10/);
  assert.match(error.hint ?? '', /Use 12 micro-batches/);
});

test('every schedule: counts that are no counts, and chunks that it cannot have, are refused', () => {
  for (const name of scheduleNames) {
    for (const wrong of [0, -2, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      refusal({ name, numRanks: wrong, numMicroBatches: 8 });
      refusal({ name, numRanks: 2, numMicroBatches: wrong });
    }
  }
  const fixed: readonly ScheduleName[] = ['gpipe', '1f1b', 'zb1p', 'dualpipe', 'dualpipev'];
  for (const name of fixed) {
    const error = refusal({ name, numRanks: 2, numMicroBatches: 8, chunksPerRank: 3 });
    assert.match(error.message, /not 3/);
  }
});
