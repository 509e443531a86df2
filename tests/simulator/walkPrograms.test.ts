/** Walking programs: times on paper, messages on one port, agreement with the check of programs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { at } from '../../src/base/assert.ts';
import { MoebiusError } from '../../src/base/errors.ts';
import { checkPrograms } from '../../src/policy/pipeline/check.ts';
import { pipelineSchedule } from '../../src/policy/pipeline/pipelineSchedule.ts';
import type { Program, TrainingInstruction } from '../../src/program/instruction.ts';
import { prepareWalk } from '../../src/simulator/prepareWalk.ts';
import { pricesOf, walkPrepared, walkPrograms } from '../../src/simulator/walkPrograms.ts';
import { passCosts } from '../support/passCosts.ts';
import { programsOf, scheduleChoices } from '../support/pipelineStep.ts';

const costs = passCosts({ F: 1, B: 2, W: 1, FB: 2.5 });

test('walkPrograms: a pipeline of two, on paper', () => {
  const schedule = pipelineSchedule({ name: '1f1b', numRanks: 2, numMicroBatches: 2 });
  const walk = walkPrograms(
    programsOf(schedule),
    passCosts({ F: 1, B: 2, W: 1, FB: 3, message: 0.25 }),
  );
  const words = walk.spans
    .filter(({ name }) => ['forward', 'backward', 'send', 'recv'].includes(name))
    .map(
      ({ rank, name, microBatch, start, end }) => `${rank} ${name} ${microBatch} ${start}-${end}`,
    );
  assert.deepEqual(words, [
    '0 forward 0 0-1',
    '0 send 0 1-1.25',
    '0 forward 1 1-2',
    '0 send 1 2-2.25',
    '0 recv 0 2-4.5',
    '0 backward 0 4.5-6.5',
    '0 recv 1 6.5-7.5',
    '0 backward 1 7.5-9.5',
    '1 recv 0 0-1.25',
    '1 forward 0 1.25-2.25',
    '1 backward 0 2.25-4.25',
    '1 send 0 4.25-4.5',
    '1 recv 1 4.25-4.25',
    '1 forward 1 4.25-5.25',
    '1 backward 1 5.25-7.25',
    '1 send 1 7.25-7.5',
  ]);
  assert.equal(walk.makespan, 9.5);
  assert.deepEqual([...walk.busy], [6, 6]);
  assert.deepEqual([...walk.bubble], [3.5, 3.5]);
});

test('walkPrograms: messages of one rank leave one after another', () => {
  const message = (kind: 'send' | 'recv', microBatch: number, peer: number) =>
    ({ kind, content: 'activation', stage: 0, microBatch, peer }) as const;
  const programs: Program<TrainingInstruction>[] = [
    { rank: 0, instructions: [message('send', 0, 1), message('send', 1, 1)] },
    { rank: 1, instructions: [message('recv', 1, 0), message('recv', 0, 0)] },
  ];
  const { spans } = walkPrograms(programs, passCosts({ F: 0, B: 0, W: 0, FB: 0, message: 2 }));
  const times = spans.map(({ name, start, end }) => `${name} ${start}-${end}`);
  assert.deepEqual(times, ['send 0-2', 'send 2-4', 'recv 0-4', 'recv 4-4']);
});

test('walkPrograms: gradients are summed when the last rank has come, and all go on from there', () => {
  const programs: Program<TrainingInstruction>[] = [0, 1].map((rank) => ({
    rank,
    instructions: [{ kind: 'reduceGradients' }, { kind: 'updateBias', speed: 0 }],
  }));
  const walk = walkPrograms(programs, {
    seconds: (rank, { kind }) => (kind === 'updateBias' ? 1 : 2 + rank),
    transferSeconds: () => 0,
  });
  assert.deepEqual([...walk.ends], [4, 4]);
  assert.deepEqual([...walk.busy], [3, 4]);
});

test('walkPrograms: times only and times with spans are the same times', () => {
  fc.assert(
    fc.property(scheduleChoices, (choice) => {
      const programs = programsOf(pipelineSchedule(choice));
      const walk = walkPrograms(programs, costs);
      const prepared = prepareWalk(programs);
      const { makespan, ends, busy, bubble } = walkPrepared(prepared, pricesOf(prepared, costs));
      assert.equal(makespan, walk.makespan);
      assert.deepEqual([ends, busy, bubble], [walk.ends, walk.busy, walk.bubble]);
    }),
    { numRuns: 60 },
  );
});

test('walkPrograms: spans of one stream never overlap and fill what the rank was busy', () => {
  fc.assert(
    fc.property(scheduleChoices, fc.integer({ min: 0, max: 8 }), (choice, eighths) => {
      const programs = programsOf(pipelineSchedule(choice));
      const seconds = { F: 1, B: 2, W: 1, FB: 2.5, message: eighths / 8 };
      const walk = walkPrograms(programs, passCosts(seconds));
      for (const { rank } of programs) {
        const mine = walk.spans.filter((span) => span.rank === rank);
        for (const stream of ['compute', 'send', 'recv']) {
          let end = 0;
          for (const span of mine.filter((each) => each.stream === stream)) {
            assert.ok(span.start >= end && span.end >= span.start);
            end = span.end;
          }
        }
        const compute = mine.filter(({ stream }) => stream === 'compute');
        const busy = compute
          .filter(({ name }) => name !== 'reduceGradients')
          .reduce((sum, { start, end }) => sum + end - start, 0);
        assert.equal(busy, walk.busy[rank]);
      }
    }),
    { numRuns: 40 },
  );
});

test('walkPrograms: slower messages never end a step earlier', () => {
  fc.assert(
    fc.property(scheduleChoices, (choice) => {
      const programs = programsOf(pipelineSchedule(choice));
      const ends = [0, 0.25, 1, 3].map(
        (message) =>
          walkPrograms(programs, passCosts({ F: 1, B: 2, W: 1, FB: 2.5, message })).makespan,
      );
      assert.deepEqual(
        ends,
        ends.toSorted((a, b) => a - b),
      );
    }),
    { numRuns: 40 },
  );
});

test('walkPrograms: what the check of programs lets pass, it walks to the end', () => {
  const schedule = pipelineSchedule({ name: 'dualpipe', numRanks: 4, numMicroBatches: 8 });
  const good = programsOf(schedule);
  let walked = 0;
  for (const { rank, instructions } of good) {
    for (let index = 1; index < instructions.length; index++) {
      const swapped = instructions
        .with(index - 1, at(instructions, index))
        .with(index, at(instructions, index - 1));
      const programs = good.with(rank, { rank, instructions: swapped });
      try {
        checkPrograms(programs, schedule);
      } catch (error) {
        assert.ok(error instanceof MoebiusError);
        continue;
      }
      assert.ok(walkPrograms(programs, costs).makespan > 0);
      walked++;
    }
  }
  assert.ok(walked > 0);
});

test('walkPrograms: a deadlock is refused with the ring of waits, a lonely message with its place', () => {
  const wait = (peer: number, microBatch: number) =>
    ({ kind: 'recv', content: 'activation', stage: 0, microBatch, peer }) as const;
  const answer = (peer: number, microBatch: number) => ({
    ...wait(peer, microBatch),
    kind: 'send',
  });
  const ring = [
    { rank: 0, instructions: [wait(1, 0), answer(1, 1)] },
    { rank: 1, instructions: [wait(0, 1), answer(0, 0)] },
  ] as Program<TrainingInstruction>[];
  assert.throws(
    () => walkPrograms(ring, costs),
    (error: unknown) => {
      assert.ok(error instanceof MoebiusError && error.code === 'program.deadlock');
      assert.match(error.message, /rank 0, instruction 0: recv .*; rank 1, instruction 0: recv /);
      return true;
    },
  );
  const lonely = [{ rank: 0, instructions: [wait(1, 0)] }];
  assert.throws(
    () => walkPrograms(lonely, costs),
    (error: unknown) => error instanceof MoebiusError && error.code === 'program.message',
  );
});

test('walkPrograms: 2,048 ranks in 128 pipelines end together, each as one alone', () => {
  const schedule = pipelineSchedule({ name: 'dualpipe', numRanks: 16, numMicroBatches: 32 });
  const one = programsOf(schedule);
  const many = Array.from({ length: 128 }, (_, pipeline) =>
    one.map(({ rank, instructions }) => ({
      rank: rank + 16 * pipeline,
      instructions: instructions.map((each) =>
        'peer' in each ? { ...each, peer: each.peer + 16 * pipeline } : each,
      ),
    })),
  ).flat();
  const alone = walkPrograms(one, costs);
  const prepared = prepareWalk(many);
  const together = walkPrepared(prepared, pricesOf(prepared, costs));
  assert.equal(together.makespan, alone.makespan);
  for (const [rank, bubble] of together.bubble.entries()) {
    assert.equal(bubble, alone.bubble[rank % 16]);
  }
});
