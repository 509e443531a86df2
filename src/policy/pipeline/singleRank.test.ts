/** The step of one rank, instruction by instruction. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stepSettings as settings } from '../../../tests/support/pipelineStep.ts';
import type { MicroBatch } from '../../program/microBatch.ts';
import { singleRankStep } from './singleRank.ts';

function batchOf(targets: readonly number[], mtpTargets: readonly number[]): MicroBatch {
  return {
    numSequences: 1,
    length: targets.length,
    ids: new Int32Array(targets.length),
    targets: Int32Array.from(targets),
    mtpTargets: [Int32Array.from(mtpTargets)],
  };
}

const batches = [batchOf([5, -1, 6], [6, -1]), batchOf([1, 2, 3], [-1, 3])];

test('singleRankStep: passes alternate, so one micro-batch is alive at a time', () => {
  const [program] = singleRankStep(batches, settings).compute;
  const words = program?.instructions.map((instruction) =>
    'microBatch' in instruction
      ? `${instruction.kind} ${instruction.microBatch}`
      : instruction.kind,
  );
  assert.deepEqual(words, [
    'loadMicroBatch 0',
    'forward 0',
    'backward 0',
    'loadMicroBatch 1',
    'forward 1',
    'backward 1',
    'reduceGradients',
  ]);
});

test('singleRankStep: every forward carries the valid targets of the whole step', () => {
  const [program] = singleRankStep(batches, settings).compute;
  const forwards = program?.instructions.filter((instruction) => instruction.kind === 'forward');
  assert.equal(forwards?.length, 2);
  for (const forward of forwards ?? []) {
    assert.deepEqual(forward.normalizers, { main: 5, mtp: [2] });
    assert.equal(forward.numMicroBatches, 2);
    assert.equal(forward.mtpWeight, 0.3);
    assert.equal(forward.balanceCoefficient, 1e-4);
  }
});

test('singleRankStep: applying updates weights, then biases; dropping only drops', () => {
  const { apply, drop } = singleRankStep(batches, settings);
  assert.deepEqual(apply, [
    {
      rank: 0,
      instructions: [
        { kind: 'optimizerStep', ...settings.optimizer },
        { kind: 'updateBias', speed: 0.001 },
      ],
    },
  ]);
  assert.deepEqual(drop, [{ rank: 0, instructions: [{ kind: 'dropGradients' }] }]);
});

test('singleRankStep: a step without micro-batches is our own mistake', () => {
  assert.throws(() => singleRankStep([], settings), /without micro-batches/);
});
