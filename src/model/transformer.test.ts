/**
 * Laws of the passes: gradients are derivatives, for every variant of the architecture; a batch is
 * its sequences; halves, stages and interleaved passes are the plain pass, bit for bit.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freshModel, type LoadedModel } from '../../tests/support/goldenModel.ts';
import { readGradients, runStep } from '../../tests/support/modelStep.ts';
import { tinyIds, tinyV3, tinyVariants } from '../../tests/support/tinyConfig.ts';
import { Random } from '../base/random.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import { createReferenceKernels } from '../kernels/reference.ts';
import { drain } from './block.ts';
import type { LossOptions } from './context.ts';
import { nextTokenBatch, type TokenBatch, uploadMicroBatch } from './microBatch.ts';
import { f32Values, gradientOf, trainedTensors } from './parameters.ts';
import { stageForward } from './transformer.ts';

const kernels = createReferenceKernels({ poison: true });

function batchFor(config: ModelConfig, sequences = 2, length = 7, seed = 1): TokenBatch {
  const ids = tinyIds({ sequences, length, vocabSize: config.vocabSize, seed });
  return nextTokenBatch(ids, config.numNextnPredictLayers);
}

for (const [name, config] of Object.entries(tinyVariants)) {
  for (const mtpHidden of ['postNorm', 'preNorm'] as const) {
    // States before the norm change the chain of MTP modules and nothing else.
    if (mtpHidden === 'preNorm' && config !== tinyV3) continue;
    test(`${name} (${mtpHidden}): every gradient is the derivative of the loss`, async () => {
      await checkDerivatives(config, {
        mtpHidden,
        balanceCoefficient: 0.5,
        // The paper's form also jumps where raw affinities change order; goldens hold that one.
        balanceForm: 'selected',
      });
    });
  }
}

/**
 * Central differences along the gradient mixed with a random direction, one tensor after another. A
 * step that changes the choice of an expert is halved: there the loss jumps. Losses carry rounding
 * of about 1e-7, so steps of 2e-3 to 1e-4 leave up to 1e-3 of a derivative uncertain, and curvature
 * somewhat more: hence 1 %, where a missing path would cost tens.
 */
async function checkDerivatives(config: ModelConfig, options: Partial<LossOptions>): Promise<void> {
  const loaded = freshModel(kernels, config, { options, seed: 3 });
  const batch = batchFor(config);
  await runStep(loaded, [batch]);
  const lossAt = async (): Promise<{ loss: number; loads: string }> => {
    const { total } = await runStep(loaded, [batch], 'none');
    const { all } = loaded.context.counts;
    return { loss: total, loads: all === null ? '' : (await kernels.read(all)).join() };
  };
  const { loads } = await lossAt();
  for (const parameter of loaded.model.parameters.parameters.values()) {
    const value = f32Values(parameter);
    const before = (await kernels.read(value)).slice();
    const gradient = (await kernels.read(gradientOf(parameter))).slice();
    const direction = directionFor(parameter.name, gradient);
    const slope = gradient.reduce((sum, g, i) => sum + g * (direction[i] ?? 0), 0);
    const moved = async (distance: number): Promise<{ loss: number; loads: string }> => {
      kernels.write(
        value,
        before.map((v, i) => v + distance * (direction[i] ?? 0)),
      );
      return lossAt();
    };
    let step = 2e-3;
    let [up, down] = [await moved(step), await moved(-step)];
    while ((up.loads !== loads || down.loads !== loads) && step > 2e-4) {
      step /= 2;
      [up, down] = [await moved(step), await moved(-step)];
    }
    kernels.write(value, before);
    const measured = (up.loss - down.loss) / (2 * step);
    const error = Math.abs(measured - slope);
    assert.ok(
      error <= 0.01 * Math.abs(slope) + 1e-3,
      `${parameter.name}: ${measured} measured, ${slope} computed`,
    );
  }
}

function directionFor(name: string, gradient: Float32Array): Float32Array {
  const random = new Random(1, name);
  const noise = gradient.map(() => random.normal());
  const length = (v: Float32Array): number => Math.sqrt(v.reduce((sum, x) => sum + x * x, 0)) || 1;
  const [a, b] = [length(gradient), length(noise)];
  return gradient.map((g, i) => g / a + (noise[i] ?? 0) / b);
}

test('A batch of two sequences is the two alone: same losses, same gradients', async () => {
  const both = batchFor(tinyV3);
  const ids = tinyIds({ sequences: 2, length: 7, vocabSize: tinyV3.vocabSize });
  const singles = ids.map((each) => nextTokenBatch([each], tinyV3.numNextnPredictLayers));
  const [together, apart] = [freshModel(kernels, tinyV3), freshModel(kernels, tinyV3)];
  const [one, two] = [await runStep(together, [both]), await runStep(apart, singles)];
  for (const key of ['total', 'main', 'mtp', 'balance'] as const) {
    assert.ok(Math.abs(one[key] - two[key]) < 1e-6, `${key}: ${one[key]}, ${two[key]}`);
  }
  assertClose(await readGradients(together), await readGradients(apart), 1e-5);
});

test('Weight halves run later: every gradient is the same, bit for bit', async () => {
  const batches = [1, 2, 3].map((seed) => batchFor(tinyV3, 2, 6, seed));
  const [fused, split] = [freshModel(kernels, tinyV3), freshModel(kernels, tinyV3)];
  const now = await runStep(fused, batches, 'fused');
  assert.deepEqual(await runStep(split, batches, 'inputsThenWeights'), now);
  assertEqual(await readGradients(split), await readGradients(fused));
});

test('Evaluation gives the losses of training and leaves gradients alone', async () => {
  const loaded = freshModel(kernels, tinyV3);
  const batch = batchFor(tinyV3);
  const trained = await runStep(loaded, [batch]);
  const before = await readGradients(loaded);
  assert.deepEqual(await runStep(loaded, [batch], 'none'), trained);
  assertEqual(await readGradients(loaded), before);
});

test('Evaluation gives each block’s memory back: more layers cost no more', async () => {
  const peakOf = async (numHiddenLayers: number): Promise<number> => {
    const config = { ...tinyV3, numHiddenLayers, numNextnPredictLayers: 0 };
    const loaded = freshModel(kernels, config);
    await runStep(loaded, [batchFor(config)], 'none');
    return loaded.context.arena.peakBytes;
  };
  const [few, many] = [await peakOf(2), await peakOf(8)];
  // One float per extra MoE layer for its balance loss, and its padding.
  assert.ok(many <= few + 64, `${few} bytes with 2 layers, ${many} with 8`);
});

test('A masked target leaves the loss by exactly its row, at every depth', async () => {
  const config = { ...tinyV3, numNextnPredictLayers: 1 };
  const batch = batchFor(config, 1, 6);
  const mask = (targets: Int32Array, row: number): Int32Array =>
    targets.map((target, i) => (i === row ? -1 : target));
  const masked: TokenBatch = {
    ...batch,
    targets: mask(batch.targets, 2),
    mtpTargets: batch.mtpTargets.map((each) => mask(each, 1)),
  };
  const loaded = freshModel(kernels, config);
  const [all, some] = [await lossRows(loaded, batch), await lossRows(loaded, masked)];
  const [mainRows, masks] = [6, [2, 6 + 1]];
  assert.equal(all.length, mainRows + 5);
  for (const [row, loss] of all.entries()) {
    // The last position of each depth has no target to begin with.
    const isIgnored = masks.includes(row) || row === 5 || row === 10;
    assert.equal(some[row], isIgnored ? 0 : loss, `row ${row}`);
  }
  const sum = (values: Float32Array, from: number, to: number): number =>
    values.subarray(from, to).reduce((total, value) => total + value, 0);
  const report = await runStep(loaded, [masked], 'none');
  assert.ok(Math.abs(report.main - sum(some, 0, mainRows) / 4) < 1e-6);
  assert.ok(Math.abs(report.mtp - sum(some, mainRows, some.length) / 3) < 1e-6);
});

async function lossRows(
  { config, context, model }: LoadedModel,
  tokens: TokenBatch,
): Promise<Float32Array> {
  const { kernels: on, arena } = context;
  const { vocabSize, maxPositionEmbeddings: maxPositions } = config;
  const numMtpDepths = config.numNextnPredictLayers;
  const sizes = { vocabSize, maxPositions, numMtpDepths };
  const batch = uploadMicroBatch({ kernels: on, arena, batch: tokens, ...sizes });
  const normalizers = { main: 1, mtp: tokens.mtpTargets.map(() => 1) };
  const settings = { isTraining: false, numMtpDepths, normalizers, numMicroBatches: 1 };
  const { record } = drain(stageForward(context, model, { batch, hidden: null, settings }));
  assert(record.losses !== null);
  return (await on.read(record.losses)).slice();
}

test('A step without any valid target has loss 0 and gradients 0, not NaN', async () => {
  const batch = batchFor(tinyV3, 2, 5);
  const nothing: TokenBatch = {
    ...batch,
    targets: batch.targets.map(() => -1),
    mtpTargets: batch.mtpTargets.map((each) => each.map(() => -1)),
  };
  const loaded = freshModel(kernels, tinyV3, { options: { balanceCoefficient: 0 } });
  const report = await runStep(loaded, [nothing]);
  assert.deepEqual([report.total, report.main, report.mtp], [0, 0, 0]);
  for (const { name, gradient } of trainedTensors(loaded.model.parameters)) {
    const values = await kernels.read(gradient);
    assert.ok(
      values.every((value) => value === 0),
      name,
    );
  }
});

test('Sequences too short for an MTP depth train the depths they can', async () => {
  const loaded = freshModel(kernels, tinyV3);
  const { mtpPerDepth, total } = await runStep(loaded, [batchFor(tinyV3, 2, 2)]);
  assert.ok(Number.isFinite(total));
  // Two tokens: one main target, and no token two places on.
  assert.deepEqual(mtpPerDepth, [0, 0]);
});

function assertClose(
  actual: ReadonlyMap<string, Float32Array>,
  expected: ReadonlyMap<string, Float32Array>,
  tolerance: number,
): void {
  for (const [name, values] of expected) {
    const largest = values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    const other = actual.get(name);
    const error = values.reduce(
      (max, value, i) => Math.max(max, Math.abs(value - (other?.[i] ?? Number.NaN))),
      0,
    );
    assert.ok(error <= tolerance * largest, `${name}: ${error} of ${largest}`);
  }
}

function assertEqual(
  actual: ReadonlyMap<string, Float32Array>,
  expected: ReadonlyMap<string, Float32Array>,
): void {
  for (const [name, values] of expected) assert.deepEqual(actual.get(name), values, name);
}
