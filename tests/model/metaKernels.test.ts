/**
 * The model runs unchanged on kernels that have no numbers: every operation of a training step and
 * of serving is one the meta kernels know, and what they record is the model's arithmetic.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { oneRank } from '../../src/kernels/collectives.ts';
import { createMetaKernels } from '../../src/kernels/meta.ts';
import { drain } from '../../src/model/block.ts';
import type { StepContext } from '../../src/model/context.ts';
import { logitsOfRows, runRows } from '../../src/model/inference.ts';
import { nextTokenBatch, uploadMicroBatch } from '../../src/model/microBatch.ts';
import { createModel, createRoutingCounts } from '../../src/model/model.ts';
import { wholeModel } from '../../src/model/parameterLayout.ts';
import { createParameters } from '../../src/model/parameters.ts';
import { createLatentCaches, uploadServingRows } from '../../src/model/servingRows.ts';
import { stageBackward, stageForward } from '../../src/model/transformer.ts';
import { tinyIds, tinyV3, tinyVariants } from '../support/tinyConfig.ts';

for (const [name, config] of Object.entries(tinyVariants)) {
  test(`${name}: a training step on meta kernels records forward and twice that backward`, () => {
    const meta = createMetaKernels();
    const { kernels } = meta;
    const arena = kernels.createArena('all');
    const stage = wholeModel(config);
    const parameters = createParameters({ kernels, arena, config, stage, withGradients: true });
    const model = createModel({ kernels, arena, config, parameters });
    const context = contextFor(kernels);
    const numMtpDepths = config.numNextnPredictLayers;
    const ids = tinyIds({ sequences: 2, length: 8, vocabSize: config.vocabSize });
    const tokens = nextTokenBatch(ids, numMtpDepths);
    const sizes = { vocabSize: config.vocabSize, maxPositions: 32, numMtpDepths };
    const batch = uploadMicroBatch({ kernels, arena, batch: tokens, ...sizes });
    const settings = {
      isTraining: true,
      numMtpDepths,
      normalizers: { main: 14, mtp: [12, 10] },
      numMicroBatches: 1,
    };
    const products = (): number =>
      meta.records
        .filter(({ operation }) => operation === 'matmul' || operation === 'groupedMatmul')
        .reduce((sum, { flops }) => sum + flops, 0);
    const { saved } = drain(stageForward(context, model, { batch, hidden: null, settings }));
    assert(saved !== null);
    const forward = products();
    drain(stageBackward(context, model, { saved, dHidden: null, weights: 'now' }));
    assert.ok(forward > 0);
    // Every product has an input gradient and a weight gradient of its own size.
    assert.equal(products() - forward, 2 * forward);

    function contextFor(on: typeof kernels): StepContext {
      const counts = createRoutingCounts({ kernels: on, arena, config, stage });
      const options = {
        mtpWeight: 0.3,
        balanceCoefficient: 1e-4,
        balanceForm: 'paper',
        mtpHidden: 'postNorm',
      } as const;
      return { kernels: on, arena, collectives: oneRank, options, counts };
    }
  });
}

test('Serving on meta kernels: a decode costs by its context, a prompt not', () => {
  const meta = createMetaKernels();
  const { kernels } = meta;
  const arena = kernels.createArena('all');
  const config = { ...tinyV3, numNextnPredictLayers: 0 };
  const stage = wholeModel(config);
  const parameters = createParameters({ kernels, arena, config, stage, withGradients: false });
  const model = createModel({ kernels, arena, config, parameters });
  const context: StepContext = {
    kernels,
    arena,
    collectives: oneRank,
    options: {
      mtpWeight: 0,
      balanceCoefficient: 0,
      balanceForm: 'paper',
      mtpHidden: 'postNorm',
    },
    counts: createRoutingCounts({ kernels, arena, config, stage }),
  };
  const caches = createLatentCaches({ arena, config, layers: [0, 1], numBlocks: 8, blockSize: 4 });
  const attentionFlops = (ids: readonly number[], firstPosition: number): number => {
    const before = meta.records.length;
    const sequences = [{ ids, firstPosition, blocks: [0, 1, 2, 3, 4, 5, 6, 7] }];
    const sizes = { vocabSize: config.vocabSize, maxPositions: 32 };
    const rows = uploadServingRows({ kernels, arena, sequences, caches, ...sizes });
    const states = runRows(context, model, { rows, caches });
    logitsOfRows(context, model, { states, rows: rows.ids });
    return meta.records
      .slice(before)
      .filter(({ operation }) => operation === 'absorbedAttention')
      .reduce((sum, { flops }) => sum + flops, 0);
  };
  assert.equal(attentionFlops([1, 2, 3], 0), 0);
  const [early, late] = [attentionFlops([4], 9), attentionFlops([4], 19)];
  assert.equal(late, 2 * early, 'ten positions against twenty');
});
