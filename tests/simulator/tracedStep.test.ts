/**
 * Laws between the model's counts and what its own code does on the meta kernels: one is arithmetic
 * on a config, the other the trace of a real step.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ModelConfig } from '../../src/config/modelConfig.ts';
import { countParameters, flopsPerToken } from '../../src/config/modelCounts.ts';
import { findPreset } from '../../src/config/presets/presets.ts';
import { wholeModel } from '../../src/model/parameterLayout.ts';
import { singleRankStep } from '../../src/policy/pipeline/singleRank.ts';
import type { MicroBatch } from '../../src/program/microBatch.ts';
import { createCostModel } from '../../src/simulator/costModel.ts';
import { SimulatedTrainingExecutor } from '../../src/simulator/simulatedExecutor.ts';
import {
  type SimulatedRankOptions,
  type TracedOperation,
  TracedRank,
} from '../../src/simulator/traceTraining.ts';
import { stepSettings as settings } from '../support/pipelineStep.ts';

function optionsOf(config: ModelConfig): SimulatedRankOptions {
  return {
    config,
    stage: wholeModel(config),
    momentDType: 'f32',
    maxPositions: config.maxPositionEmbeddings,
    lossForm: { balanceForm: 'paper', mtpHidden: 'postNorm' },
  };
}

function batchOf(config: ModelConfig, length: number): MicroBatch {
  return {
    numSequences: 1,
    length,
    ids: new Int32Array(length),
    targets: new Int32Array(length),
    mtpTargets: Array.from(
      { length: config.numNextnPredictLayers },
      (_, depth) => new Int32Array(length - depth - 1),
    ),
  };
}

function traceStep(config: ModelConfig, length: number): readonly TracedOperation[] {
  const rank = new TracedRank(optionsOf(config));
  const { compute, apply } = singleRankStep([batchOf(config, length)], settings);
  return [...compute, ...apply].flatMap(({ instructions }) =>
    instructions.flatMap((instruction) => rank.trace(instruction)),
  );
}

const PRODUCTS = ['matmul', 'groupedMatmul', 'mlaAttention', 'mlaAttentionBackward'];

test('A traced step: its products are the published FLOPs per token, within 0.5 %', () => {
  const cases = [
    ['v3-mini', 512],
    ['moonlight-16b-a3b', 4096],
    ['deepseek-v2-lite', 4096],
    ['deepseek-v3', 4096],
  ] as const;
  for (const [name, length] of cases) {
    const config = findPreset(name);
    const { numHiddenLayers, firstKDenseReplace, numNextnPredictLayers } = config;
    const { nRoutedExperts, hiddenSize } = config;
    const operations = traceStep(config, length);
    const flops = operations
      .filter(({ family }) =>
        PRODUCTS.concat('headCrossEntropy').includes(family.split(' ')[0] ?? ''),
      )
      .reduce((sum, operation) => sum + operation.flops - operation.recomputedFlops, 0);
    const counted = { context: length, causal: true, mtp: true, training: true };
    // The gate is in no published figure; here it runs in every MoE layer, MTP's included.
    const moeLayers = numHiddenLayers - firstKDenseReplace + numNextnPredictLayers;
    const gate = 6 * moeLayers * nRoutedExperts * hiddenSize;
    const ratio = flops / ((flopsPerToken(config, counted) + gate) * length);
    assert.ok(Math.abs(ratio - 1) < 0.005, `${name}: ${ratio}`);
  }
});

test('A traced step: the optimiser touches every parameter once', () => {
  for (const name of ['v3-mini', 'deepseek-v3']) {
    const config = findPreset(name);
    const { total, mtp } = countParameters(config);
    const operations = traceStep(config, 64);
    const bytes = operations
      .filter(({ family }) => family.startsWith('adamw'))
      .reduce((sum, operation) => sum + operation.bytes, 0);
    // Parameter and both moments read and written, the gradient read: 7 × 4 bytes.
    assert.equal(bytes, (total + mtp) * 28);
  }
});

test('SimulatedTrainingExecutor: time is the sum of prices, in spans without gaps', async () => {
  const config = findPreset('v3-mini');
  const roofline = { fmaPeak: 1e11, readBandwidth: 1e10, copyBandwidth: 5e9 };
  const cost = createCostModel({ name: 'made up', threads: 1, roofline, samples: [] });
  const executor = new SimulatedTrainingExecutor({ ...optionsOf(config), cost });
  const { compute, apply } = singleRankStep([batchOf(config, 128)], settings);
  const spans = [...(await executor.run(compute)).spans, ...(await executor.run(apply)).spans];
  const expected = traceStep(config, 128).reduce((sum, each) => sum + cost.seconds(each), 0);
  let clock = 0;
  for (const { start, end } of spans) {
    assert.ok(Math.abs(start - clock) < 1e-9 && end >= start);
    clock = end;
  }
  assert.ok(Math.abs(clock / expected - 1) < 1e-9);
});

test('SimulatedTrainingExecutor: what it cannot price it refuses', async () => {
  const config = findPreset('v3-mini');
  const roofline = { fmaPeak: 1e11, readBandwidth: 1e10, copyBandwidth: 5e9 };
  const cost = createCostModel({ name: 'made up', threads: 1, roofline, samples: [] });
  const executor = new SimulatedTrainingExecutor({ ...optionsOf(config), cost });
  const snapshot = { rank: 0, instructions: [{ kind: 'snapshot' }] } as const;
  await assert.rejects(executor.run([snapshot]), { code: 'simulate.instruction' });
  await assert.rejects(executor.run([snapshot, snapshot]), { code: 'program.ranks' });
});
