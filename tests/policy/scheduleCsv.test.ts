/** Schedules through the CSV and back: what TorchTitan would read runs here as it was. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MoebiusError } from '../../src/base/errors.ts';
import { checkPrograms } from '../../src/policy/pipeline/check.ts';
import { pipelineSchedule } from '../../src/policy/pipeline/pipelineSchedule.ts';
import { formatScheduleCsv, parseScheduleCsv } from '../../src/program/notation.ts';
import { scheduleOf } from '../../src/program/pipelineAction.ts';
import { walkPrograms } from '../../src/simulator/walkPrograms.ts';
import { passCosts } from '../support/passCosts.ts';
import { programsOf, scheduleChoices } from '../support/pipelineStep.ts';

const costs = passCosts({ F: 1, B: 2, W: 1, FB: 2.5 });
const oneRankPerStage = scheduleChoices.filter(({ name }) => name !== 'dualpipe');

test('schedule CSV: a schedule that is read back passes the check and takes as long as before', () => {
  fc.assert(
    fc.property(oneRankPerStage, (choice) => {
      const schedule = pipelineSchedule(choice);
      const csv = formatScheduleCsv(schedule.ranks, { pairs: 'together' });
      const again = scheduleOf(parseScheduleCsv(csv));
      assert.equal(again.numStages, schedule.numStages);
      assert.equal(again.numMicroBatches, schedule.numMicroBatches);
      const programs = programsOf(again);
      checkPrograms(programs, schedule);
      // Without batches shared between directions nothing waits earlier, so nothing ends later.
      const { makespan } = walkPrograms(programsOf(schedule), costs);
      assert.ok(walkPrograms(programs, costs).makespan <= makespan);
    }),
    { numRuns: 80 },
  );
});

test('schedule CSV: a schedule with a hole, or in the wrong order, is refused by name', () => {
  const code = (csv: string): string => {
    try {
      checkPrograms(programsOf(scheduleOf(parseScheduleCsv(csv))));
    } catch (error) {
      assert.ok(error instanceof MoebiusError, String(error));
      return `${error.code}: ${error.message}`;
    }
    return 'passed';
  };
  assert.equal(code('0F0,0B0\n1F0,1B0\n'), 'passed');
  assert.match(
    code('0F0,0F1,0B0,0B1\n1F0,1B0\n'),
    /^program.order: no rank runs the forward of sta/,
  );
  assert.match(
    code('0F0,0B0\n1B0,1F0\n'),
    /^program.order: rank 1, .* backward before its forward/,
  );
  assert.match(
    code('0F0,0I0\n1F0,1B0\n'),
    /no rank runs the weight gradient of stage 0, micro-batch 0/,
  );
  // Either rank holds back what the other waits for.
  assert.match(code('0F0,0B0,0F1,0B1\n1F0,1F1,1B0,1B1\n'), /^program.deadlock: /);
});
