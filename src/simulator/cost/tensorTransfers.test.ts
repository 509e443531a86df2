/** Tensor parallelism's transfers: widths on paper, and none where nothing is sharded. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recomputePolicies } from '../../config/parallelPlan.ts';
import { deepseekV3 } from '../../config/presets/deepseekV3.ts';
import { llama31_405b, mixtral_8x7b } from '../../config/presets/dense.ts';
import { partsOfPass, type StageWork } from './stageWork.ts';
import { type StageShape, StageTracer } from './traceStage.ts';

const shape: StageShape = {
  model: llama31_405b,
  ...{ tp: 8, ep: 1, microBatchSize: 1, sequenceLength: 256, imbalance: 1 },
  precision: 'bf16',
  fp8Scaling: 'tensor',
  recompute: recomputePolicies.none,
  engine: {},
  mtp: false,
};

const stage = { first: 3, last: 4, hasEmbedding: false, hasHead: false };
const passes = ['forward', 'backwardInput', 'backwardWeight'] as const;

/** Widths in BF16 by pass, `+` gathered and `−` scattered. */
function widths(work: StageWork, part: string): string[] {
  return passes.map((pass) =>
    partsOfPass(work, pass)
      .filter((each) => each.part === part)
      .flatMap(({ tensorTransfers }) => tensorTransfers)
      .map(({ kind, bytes }) => (kind === 'allGather' ? '+' : '−') + bytes / 2 / 256)
      .join(' '),
  );
}

test('tensorTransfersOf: a dense layer gathers and scatters its hidden rows around both halves', () => {
  const work = new StageTracer(shape).stage(stage);
  for (const part of ['attention', 'experts']) {
    assert.deepEqual(widths(work, part), ['+16384 −16384', '+16384 −16384', '+16384']);
  }
});

test('tensorTransfersOf: MLA gathers 1,536 + 512 + 64 latents', () => {
  const work = new StageTracer({ ...shape, model: deepseekV3, ep: 8 }).stage(stage);
  assert.deepEqual(widths(work, 'attention'), ['+2112 −7168', '+7168 −2112', '+2112']);
});

test('tensorTransfersOf: a layer of routed experts alone sends nothing but their tokens', () => {
  const work = new StageTracer({ ...shape, model: mixtral_8x7b, ep: 8 }).stage(stage);
  assert.deepEqual(widths(work, 'experts'), ['', '', '']);
  assert.deepEqual(widths(work, 'attention'), ['+4096 −4096', '+4096 −4096', '+4096']);
});

test('tensorTransfersOf: an embedding scatters, a head gathers, and back the other way', () => {
  const ends = { first: 0, last: 0, hasEmbedding: true, hasHead: true };
  const work = new StageTracer(shape).stage(ends);
  assert.deepEqual(widths(work, 'embedding'), ['−16384', '', '+16384']);
  assert.deepEqual(widths(work, 'head'), ['+16384', '−16384', '+16384']);
});
