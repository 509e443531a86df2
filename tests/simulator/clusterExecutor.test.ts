/** The seam with many ranks: an executor of a described cluster obeys the programs of a step. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLayout, type TrainingPlan } from '../../src/config/parallelPlan.ts';
import { deepseekV3 } from '../../src/config/presets/deepseekV3.ts';
import type { TrainingExecutor } from '../../src/executor/executor.ts';
import { planPrograms } from '../../src/planner/pipelinePlan.ts';
import { wallSeconds } from '../../src/program/span.ts';
import { SimulatedClusterExecutor } from '../../src/simulator/simulatedClusterExecutor.ts';

const plan: TrainingPlan = {
  layout: parseLayout('pp4,zero1', 4),
  schedule: 'dualpipe',
  chunksPerRank: 2,
  globalBatch: 20,
  microBatchSize: 1,
  sequenceLength: 4096,
  precision: 'fp8',
  recompute: 'none',
  mtp: false,
};
const stages = [0, 1, 2, 3].map((stage) => ({
  first: 15 * stage,
  last: stage === 3 ? 61 : 15 * (stage + 1),
  hasEmbedding: stage === 0,
  hasHead: stage === 3,
}));
const { programs } = planPrograms(deepseekV3, plan, stages);

/** F 1, B 2, W 1, a pair 2.5; messages and updates take nothing: as in the published makespans. */
const executor: TrainingExecutor = new SimulatedClusterExecutor({
  seconds: (_rank, { kind }) => {
    if (kind === 'forward' || kind === 'backwardWeight' || kind === 'backwardInput') return 1;
    if (kind === 'backward') return 2;
    return kind === 'forwardBackward' ? 2.5 : 0;
  },
  transferSeconds: () => 0,
});

test('SimulatedClusterExecutor: a step of DualPipe, and the next behind it', async () => {
  const first = await executor.run(programs);
  const second = await executor.run(programs);
  assert.deepEqual(first.outcomes, []);
  const [begun, ended] = [0, wallSeconds(first.spans)];
  assert.equal(Math.min(...first.spans.map(({ start }) => start)), begun);
  assert.equal(Math.min(...second.spans.map(({ start }) => start)), ended);
  assert.equal(wallSeconds(second.spans), ended);
  for (const { rank, instructions } of programs) {
    const own = first.spans.filter((span) => span.rank === rank);
    assert.deepEqual(
      own.map(({ instruction }) => instruction).sort((a, b) => a - b),
      instructions.map((_, index) => index),
    );
  }
});

test('SimulatedClusterExecutor: programs without their partner are refused', async () => {
  await assert.rejects(executor.run(programs.slice(0, 2)), /rank|program|send|recv/i);
});
