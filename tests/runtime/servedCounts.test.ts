/** What an executor counts and keeps: rows that experts got, and bytes of cached tokens. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import { latentBytesPerToken } from '../../src/config/modelCounts.ts';
import { deepseekV3 } from '../../src/config/presets/deepseekV3.ts';
import { MAX_DECODE_ROWS } from '../../src/kernels/kernels.ts';
import { cacheBytesPerToken } from '../../src/kernels/latentCache.ts';
import { f32Values } from '../../src/model/parameters.ts';
import type { ServingInstruction } from '../../src/program/instruction.ts';
import { LocalServingExecutor } from '../../src/runtime/localServingExecutor.ts';
import { freshModel, kernelsUnderTest } from '../support/goldenModel.ts';
import { tinyIds, tinyV3 } from '../support/tinyConfig.ts';

test('A token of V3 takes 2304, 1152 or 656 bytes a layer, and kernels say the same', () => {
  const bytes = { f32: 2304, bf16: 1152, f8e4m3: 656 };
  for (const dtype of ['f32', 'bf16', 'f8e4m3'] as const) {
    assert.equal(latentBytesPerToken(deepseekV3, dtype), bytes[dtype]);
    for (const config of [deepseekV3, tinyV3]) {
      const widths = { latent: config.kvLoraRank, rope: config.qkRopeHeadDim };
      assert.equal(cacheBytesPerToken(dtype, widths), latentBytesPerToken(config, dtype));
    }
  }
});

for (const kernels of kernelsUnderTest()) {
  test(`${kernels.name}: every row is counted once in every layer that routes it`, async () => {
    const config = { ...tinyV3, maxPositionEmbeddings: 80 };
    const [ids = []] = tinyIds({ sequences: 1, length: 80, vocabSize: config.vocabSize });
    const blocks = Array.from({ length: 20 }, (_, i) => i);
    const { model } = freshModel(kernels, config);
    const executor = new LocalServingExecutor({
      kernels,
      model,
      clock: new ManualClock(),
      numBlocks: 20,
      blockSize: 4,
      maxPositions: 80,
      mtpHidden: 'postNorm',
    });
    // Fresh ones are zero, which nobody could tell from none.
    const routers = [...model.blocks, ...model.mtp.map(({ block }) => block)].flatMap(
      ({ feedForward }) => feedForward.routed?.router ?? [],
    );
    for (const { layer, bias } of routers) {
      kernels.write(f32Values(bias), new Float32Array(config.nRoutedExperts).fill(layer / 8));
    }
    const biasOf = async (layer: number): Promise<number[]> => {
      const found = routers.find((router) => router.layer === layer) ?? assert.fail();
      return [...(await kernels.read(f32Values(found.bias)))];
    };
    const tokens = (first: number, count: number) => {
      const part = ids.slice(first, first + count);
      return [{ sequenceId: 0, ids: part, firstPosition: first, blocks }];
    };
    const run = async (instructions: ServingInstruction[]): Promise<Map<number, number>> => {
      // biome-ignore lint/suspicious/noThenProperty: a word of the instruction, and no function
      const report = { kind: 'reportExperts', then: 'reset' } as const;
      const { outcomes } = await executor.run([
        { rank: 0, instructions: [...instructions, report] },
      ]);
      const loads = outcomes.find(({ kind }) => kind === 'expertLoads');
      assert.ok(loads?.kind === 'expertLoads');
      for (const { layer, bias } of loads.layers) assert.deepEqual(bias, await biasOf(layer));
      const perToken = config.numExpertsPerTok;
      return new Map(
        loads.layers.map(({ layer, tokensPerExpert }) => [
          layer,
          tokensPerExpert.reduce((sum, count) => sum + count, 0) / perToken,
        ]),
      );
    };
    const main = (rows: number): Map<number, number> =>
      new Map([
        [1, rows],
        [2, 0],
        [3, 0],
      ]);
    assert.deepEqual(await run([{ kind: 'prefill', sequences: tokens(0, 20) }]), main(20));
    const chunk = { kind: 'prefill' as const, sequences: tokens(0, 5) };
    const fill = { kind: 'fillDrafts' as const, sequences: [{ sequenceId: 0, nextIds: [7, 8] }] };
    const filled = await run([chunk, fill]);
    assert.deepEqual(filled, new Map([1, 2, 3].map((layer) => [layer, 5])));
    // The second time a pass of this shape is replayed.
    for (const first of [5, 6]) {
      const decode = { kind: 'decode' as const, sequences: tokens(first, 1) };
      assert.deepEqual(await run([decode]), main(1));
    }
    const many = 2 * MAX_DECODE_ROWS + 1;
    const groups = { kind: 'decode' as const, sequences: tokens(7, many) };
    assert.deepEqual(await run([groups]), main(many));
  });
}
