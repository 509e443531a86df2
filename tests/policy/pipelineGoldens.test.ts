/**
 * Action lists and message batches of DualPipe and DualPipeV, against an independent evaluation of
 * the published schedule (tests/golden/README.md).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pipelineSchedule } from '../../src/policy/pipeline/pipelineSchedule.ts';
import type { PipelineAction, PipelinePass } from '../../src/program/pipelineAction.ts';
import { goldenJson } from '../support/golden.ts';
import { programsOf } from '../support/pipelineStep.ts';

const cases = [
  { golden: 'dualpipe-pp4-mb10', name: 'dualpipe', numRanks: 4, numMicroBatches: 10 },
  { golden: 'dualpipe-pp8-mb20', name: 'dualpipe', numRanks: 8, numMicroBatches: 20 },
  { golden: 'dualpipev-pp4-mb10', name: 'dualpipev', numRanks: 4, numMicroBatches: 10 },
] as const;

type Case = (typeof cases)[number];

/** The golden files count chunks per direction; DualPipeV's directions are its two ways. */
function place({ name, numRanks, numMicroBatches }: Case, { stage, microBatch }: PipelinePass) {
  if (name === 'dualpipev') return { chunk: microBatch, dir: stage < numRanks ? 0 : 1 };
  const half = numMicroBatches / 2;
  return { chunk: microBatch % half, dir: microBatch < half ? 0 : 1 };
}

function goldenAction(of: Case, rank: number, action: PipelineAction): object {
  const words = (pass: PipelinePass) => {
    const { chunk, dir } = place(of, pass);
    const isFarHalf = of.name === 'dualpipe' && rank >= of.numRanks / 2;
    return { chunk, phase: isFarHalf ? 1 - dir : dir, dir };
  };
  switch (action.kind) {
    case 'forward':
      return { op: 'F', ...words(action) };
    case 'backward':
      return { op: 'B', ...words(action), zb: false };
    case 'backwardInput':
      return { op: 'B', ...words(action), zb: true };
    case 'backwardWeight':
      return { op: 'W', ...words(action) };
    case 'forwardBackward': {
      const { chunk, phase, dir } = words(action.backward);
      return { op: 'FB', ...words(action.forward), bchunk: chunk, bphase: phase, bdir: dir };
    }
    default:
      return action satisfies never;
  }
}

/** Instructions of one rank → its batches, each with the index of the action behind it. */
function goldenBatches(of: Case, rank: number): object[] {
  const [program] = programsOf(pipelineSchedule(of)).filter((each) => each.rank === rank);
  const batches: { before_action: number; ops: object[] }[] = [];
  let actions = 0;
  let isOpen = false;
  for (const instruction of program?.instructions ?? []) {
    if (instruction.kind !== 'send' && instruction.kind !== 'recv') {
      actions++;
      isOpen = false;
      continue;
    }
    const { kind, content, stage, microBatch, peer } = instruction;
    // The golden direction is that of the pass on this rank, which a receive names by its sender.
    const own = kind === 'send' ? stage : stage + (content === 'activation' ? 1 : -1);
    const what = content === 'activation' ? 'act' : 'grad';
    const { dir, chunk } = place(of, { stage: own, microBatch });
    if (!isOpen) batches.push({ before_action: actions, ops: [] });
    isOpen = true;
    batches.at(-1)?.ops.push({ kind, what, dir, chunk, peer });
  }
  return batches;
}

for (const of of cases) {
  const { golden, numRanks } = of;
  const ranks = Array.from({ length: numRanks }, (_, rank) => rank);

  test(`${golden}: every rank does what the published schedule does, action by action`, () => {
    const schedule = pipelineSchedule(of);
    const expected = goldenJson(`pipeline/${golden}.json`) as Record<string, object[]>;
    assert.deepEqual(Object.keys(expected), ranks.map(String));
    for (const [rank, actions] of schedule.ranks.entries()) {
      const found = actions.map((action) => goldenAction(of, rank, action));
      assert.deepEqual(found, expected[rank], `rank ${rank}`);
    }
  });

  test(`${golden}: messages travel in the published batches, in front of the same actions`, () => {
    const expected = goldenJson(`pipeline/${golden}-comm.json`) as Record<string, object[]>;
    assert.deepEqual(Object.keys(expected), ranks.map(String));
    for (const rank of ranks) assert.deepEqual(goldenBatches(of, rank), expected[rank]);
  });
}
