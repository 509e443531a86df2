/** The memory plan: the published cache sizes, and what is refused with which advice. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MoebiusError } from '../base/errors.ts';
import { deepseekV3 } from './presets/deepseekV3.ts';
import { moonlight16bA3b } from './presets/moonshot.ts';
import {
  cacheBytesPerLayer,
  cacheBytesPerToken,
  planServingMemory,
  refuseUnlessFits,
  type ServingMemoryRequest,
} from './servingMemory.ts';

const GIB = 2 ** 30;

const moonlight: ServingMemoryRequest = {
  config: moonlight16bA3b,
  weightBytes: 15.5 * GIB,
  cacheDType: 'bf16',
  context: 8192,
  numSequences: 8,
  blockSize: 64,
  chunkTokens: 512,
  availableBytes: 23 * GIB,
};

test('cacheBytesPerToken: DeepSeek-V3 keeps 70,272 bytes in BF16 over its 61 layers', () => {
  const mainModel = { ...deepseekV3, numNextnPredictLayers: 0 };
  assert.equal(cacheBytesPerToken(mainModel, 'bf16'), 70_272);
  assert.equal(cacheBytesPerToken(deepseekV3, 'bf16'), 70_272 + 1152);
  const dtypes = ['f32', 'bf16', 'f8e4m3'] as const;
  assert.deepEqual(
    dtypes.map((dtype) => cacheBytesPerLayer(deepseekV3, dtype)),
    [2304, 1152, 656],
  );
});

test('planServingMemory: Moonlight in FP8 and eight sequences of 8,192 fit into 23 GiB', () => {
  const plan = planServingMemory(moonlight);
  const cache = plan.rows.find(({ name }) => name === 'cache');
  assert.equal(cache?.bytes, 8 * 8192 * 27 * 1152);
  assert.equal(plan.numBlocks, 8 * 128);
  assert.equal(plan.cacheBytesPerToken, 31_104);
  assert.ok(plan.doesFit);
  assert.equal(plan.largestContext, 8192);
  assert.deepEqual(plan.fixes, []);
  refuseUnlessFits(plan);
});

test('planServingMemory: what does not fit is refused with the largest context that would', () => {
  const request = { ...moonlight, numSequences: 64, cacheDType: 'f32' as const };
  const plan = planServingMemory(request);
  assert.ok(!plan.doesFit);
  assert.ok(plan.largestContext > 0 && plan.largestContext < 8192, `${plan.largestContext}`);
  assert.throws(
    () => refuseUnlessFits(plan),
    (error: unknown) => {
      assert.ok(error instanceof MoebiusError);
      assert.equal(error.code, 'memory.doesNotFit');
      assert.equal(error.values.largestContext, plan.largestContext);
      assert.match(error.hint ?? '', /Lower the context from 8192 to \d+\./);
      assert.match(error.hint ?? '', /A cache in bf16 allows a context of \d+\./);
      assert.match(error.hint ?? '', /serve \d+ sequences at once in place of 64/);
      return true;
    },
  );
});

test('planServingMemory: weights beyond the memory are said to be that, whatever the context', () => {
  const bf16 = { ...moonlight, weightBytes: 29.8 * GIB };
  const plan = planServingMemory(bf16);
  assert.equal(plan.largestContext, 0);
  assert.deepEqual(plan.fixes, [
    'Take a machine with more memory, or quantize it to FP8: the weights alone do not fit.',
  ]);
});

test('planServingMemory: the largest context fits and a block more does not', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 64 }),
      fc.constantFrom('f32', 'bf16', 'f8e4m3'),
      fc.integer({ min: 16, max: 64 }),
      (numSequences, cacheDType, gibibytes) => {
        const request = { ...moonlight, numSequences, cacheDType, availableBytes: gibibytes * GIB };
        const { largestContext } = planServingMemory(request);
        if (largestContext > 0) {
          assert.ok(planServingMemory({ ...request, context: largestContext }).doesFit);
        }
        if (largestContext < request.config.maxPositionEmbeddings) {
          const more = largestContext + request.blockSize;
          assert.ok(!planServingMemory({ ...request, context: more }).doesFit);
        }
      },
    ),
    { numRuns: 200, seed: 1 },
  );
});
