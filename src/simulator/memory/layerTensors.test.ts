/**
 * The list of saved tensors against the model's own code: forward and both halves of backward run
 * on the meta kernels, and whatever of forward's memory a half reads was saved for it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tinyV2, tinyV3 } from '../../../tests/support/tinyConfig.ts';
import { at } from '../../base/assert.ts';
import type { ModelConfig } from '../../config/modelConfig.ts';
import { recomputePolicies } from '../../config/parallelPlan.ts';
import { deepseekV2Lite } from '../../config/presets/deepseekV2.ts';
import { deepseekV3 } from '../../config/presets/deepseekV3.ts';
import { oneRank } from '../../kernels/collectives.ts';
import { createMetaKernels, type OperationRecord } from '../../kernels/meta.ts';
import { drain } from '../../model/block.ts';
import type { StepContext } from '../../model/context.ts';
import { nextTokenBatch, uploadMicroBatch } from '../../model/microBatch.ts';
import { createModel, createRoutingCounts } from '../../model/model.ts';
import { wholeModel } from '../../model/parameterLayout.ts';
import { createParameters } from '../../model/parameters.ts';
import { stageBackward, stageBackwardWeight, stageForward } from '../../model/transformer.ts';
import type { Arena } from '../../tensor/arena.ts';
import { bytesPerElement, type DType } from '../../tensor/dtype.ts';
import { numElements, type Tensor } from '../../tensor/tensor.ts';
import { endBytes, joinBytes } from './endBytes.ts';
import { layerBytes } from './layerBytes.ts';
import { layerKind, layerTensors } from './layerTensors.ts';
import { type MemoryRecipe, memoryRecipes, type TensorRole } from './memoryRecipe.ts';

/** Everything in float32 and nothing folded: what our own code keeps. */
const inFloat32: MemoryRecipe = {
  ...memoryRecipes.bf16,
  formats: Object.fromEntries(
    Object.keys(memoryRecipes.bf16.formats).map((role) => [role, 'f32']),
  ) as Record<TensorRole, 'f32'>,
  deferredGradient: 'f32',
  returnedRows: 'kept',
};

interface Allocation {
  readonly tensor: Tensor;
  readonly bytes: number;
}

/** What one whole pass of the real code allocates, and what each half reads of it. */
function runOnShapes(config: ModelConfig, tokens: number) {
  const meta = createMetaKernels();
  const { kernels } = meta;
  const stage = wholeModel(config);
  const state = kernels.createArena('state');
  const parameters = createParameters({
    kernels,
    arena: state,
    config,
    stage,
    withGradients: true,
  });
  const model = createModel({ kernels, arena: state, config, parameters, maxPositions: tokens });
  const counts = createRoutingCounts({ kernels, arena: state, config, stage });
  const numMtp = config.numNextnPredictLayers;
  const ids = Array.from({ length: tokens }, () => 1);
  const batch = uploadMicroBatch({
    kernels,
    arena: state,
    batch: nextTokenBatch([ids], numMtp),
    vocabSize: config.vocabSize,
    maxPositions: tokens,
    numMtpDepths: numMtp,
  });
  const made: Allocation[] = [];
  const context: StepContext = {
    kernels,
    arena: noting(kernels.createArena('activations'), made),
    collectives: oneRank,
    counts,
    options: {
      mtpWeight: 0.3,
      balanceCoefficient: 1e-4,
      balanceForm: 'paper',
      mtpHidden: 'postNorm',
    },
  };
  const normalizers = { main: 1, mtp: Array.from({ length: numMtp }, () => 1) };
  const settings = { isTraining: true, numMtpDepths: numMtp, normalizers, numMicroBatches: 1 };
  const { saved } = drain(stageForward(context, model, { batch, hidden: null, settings }));
  assert.ok(saved !== null);
  const forward = made.splice(0);
  const products = meta.records.filter(
    ({ kind, operation }) => kind === 'compute' && operation !== 'headCrossEntropy',
  );
  const forwardFlops = products.reduce((sum, { flops }) => sum + flops, 0);
  meta.records.length = 0;
  const { deferred } = drain(
    stageBackward(context, model, { saved, dHidden: null, weights: 'later' }),
  );
  assert.ok(deferred !== null);
  const gradients = made.splice(0);
  const inputRecords = meta.records.splice(0);
  drain(stageBackwardWeight(context, model, deferred));
  const weightRecords = meta.records.splice(0);
  return {
    forwardFlops,
    saved: readBy(forward, [...inputRecords, ...weightRecords]),
    savedForWeights: readBy(forward, weightRecords),
    gradients: sumOf(gradients),
    gradientsForWeights: readBy(gradients, weightRecords),
  };
}

function noting(arena: Arena, made: Allocation[]): Arena {
  return {
    allocate: <D extends DType>(dtype: D, shape: readonly number[]): Tensor<D> => {
      const tensor = arena.allocate(dtype, shape);
      made.push({ tensor, bytes: numElements(shape) * bytesPerElement(dtype) });
      return tensor;
    },
    mark: () => arena.mark(),
    release: (mark) => arena.release(mark),
    free: () => arena.free(),
    usedBytes: 0,
    peakBytes: 0,
    reservedBytes: 0,
  };
}

/** Bytes of those allocations that an operation has among its arguments. */
function readBy(made: readonly Allocation[], records: readonly OperationRecord[]): number {
  const met = new Set<Allocation>();
  for (const { args } of records) {
    for (const tensor of tensorsIn(args)) {
      const found = made.find(
        ({ tensor: { memory, byteOffset }, bytes }) =>
          memory === tensor.memory &&
          tensor.byteOffset >= byteOffset &&
          tensor.byteOffset < byteOffset + bytes,
      );
      if (found) met.add(found);
    }
  }
  return sumOf([...met]);
}

function tensorsIn(value: unknown): Tensor[] {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return [];
  if ('memory' in value && 'byteOffset' in value) return [value as Tensor];
  return Object.values(value).flatMap(tensorsIn);
}

function sumOf(made: readonly Allocation[]): number {
  return made.reduce((sum, { bytes }) => sum + bytes, 0);
}

const configs: Readonly<Record<string, ModelConfig>> = {
  'tiny V3': { ...tinyV3, numNextnPredictLayers: 0 },
  'tiny V3 with MTP': { ...tinyV3, numNextnPredictLayers: 1 },
  'tiny V2': tinyV2,
  'without shared experts': { ...tinyV3, nSharedExperts: 0, numNextnPredictLayers: 0 },
  'four layers of V3 without MTP': {
    ...deepseekV3,
    numHiddenLayers: 4,
    numNextnPredictLayers: 0,
  },
  'five layers of V3': { ...deepseekV3, numHiddenLayers: 5 },
  'V2-Lite': deepseekV2Lite,
};

/** The same from the lists; MTP's rows are fewer by its depth. */
function fromLists(config: ModelConfig, tokens: number) {
  const sums = { kept: 0, deferred: 0, gradients: 0 };
  const D = config.hiddenSize;
  const rowsOf = (count: number) => ({
    tokens: count,
    routed: count * config.numExpertsPerTok,
    context: tokens,
  });
  const addLayer = (layer: number, count: number): void => {
    const kind = layerKind(config, layer);
    const input = { model: config, recipe: inFloat32, rows: rowsOf(count) };
    const bytes = layerBytes(input, kind, recomputePolicies.none);
    // First row of every expert, and one more: integers of a layer, not of a token.
    const offsets = kind === 'moe' ? 4 * (config.nRoutedExperts + 1) : 0;
    sums.kept += bytes.kept + offsets;
    sums.deferred += bytes.deferred + offsets;
    for (const { width, per } of layerTensors(config, kind).gradients) {
      sums.gradients += 4 * width * (per === 'token' ? count : count * config.numExpertsPerTok);
    }
    // Its output's gradient is the input's of what comes behind it.
    sums.gradients -= 4 * D * count;
  };
  const numMtp = config.numNextnPredictLayers;
  assert.ok(numMtp <= 1);
  for (let layer = 0; layer < config.numHiddenLayers; layer++) addLayer(layer, tokens);
  const head = (count: number) => ({ model: config, recipe: inFloat32, tokens: count });
  const main = endBytes(head(tokens));
  sums.kept += main.kept;
  // The gradient of the embedding's output waits too.
  sums.deferred += main.deferred + 4 * D * tokens;
  // The end's input gradient, and the buffer that carries it back from block to block.
  sums.gradients += 2 * 4 * D * tokens;
  if (numMtp === 1) {
    const rows = tokens - 1;
    addLayer(config.numHiddenLayers, rows);
    const join = joinBytes(head(rows), { norm: false });
    sums.kept += endBytes(head(rows)).kept + join.kept;
    sums.deferred += endBytes(head(rows)).deferred + join.deferred;
    // The end's and the joined inputs' (embedding, state and both side by side).
    sums.gradients += (1 + 2 + 1 + 1) * 4 * D * rows;
  }
  return sums;
}

for (const [name, config] of Object.entries(configs)) {
  test(`layerTensors: what ${name} saves is what its backward reads, byte for byte`, () => {
    const tokens = 12;
    const real = runOnShapes(config, tokens);
    const lists = fromLists(config, tokens);
    assert.equal(real.saved, lists.kept);
    assert.equal(real.savedForWeights + real.gradientsForWeights, lists.deferred);
    assert.equal(real.gradients, lists.gradients);
  });
}

for (const [name, config] of Object.entries(configs)) {
  if (config.numNextnPredictLayers > 0) continue;
  test(`layerBytes: making all of ${name} again costs the FLOPs of the code's own forward`, () => {
    const tokens = 12;
    const rows = { tokens, routed: tokens * config.numExpertsPerTok, context: tokens };
    const input = { model: config, recipe: inFloat32, rows };
    // Without what norms and SwiGLU cost: the products and attention alone.
    const elementwise = { ...recomputePolicies.norm, mlaUpProjection: false, swiglu: true };
    let flops = 0;
    for (let layer = 0; layer < config.numHiddenLayers; layer++) {
      const kind = layerKind(config, layer);
      flops += layerBytes(input, kind, recomputePolicies.full).remadeFlops;
      flops -= layerBytes(input, kind, elementwise).remadeFlops;
    }
    assert.equal(flops, runOnShapes(config, tokens).forwardFlops);
  });
}

test('layerBytes: V3’s two up-projections are 2 · (512 · 32,768 + 1,536 · 24,576) FLOPs a token', () => {
  const rows = { tokens: 1, routed: 8, context: 4096 };
  const input = { model: deepseekV3, recipe: memoryRecipes.fp8, rows };
  const only = { ...recomputePolicies.none, mlaUpProjection: true };
  const { remadeFlops } = layerBytes(input, 'moe', only);
  assert.equal(remadeFlops, 2 * (512 * 32_768 + 1536 * 24_576));
});

test('layerTensors: what V3 keeps of keys and values is its cache, 70,272 bytes a token', () => {
  const { saved } = layerTensors(deepseekV3, 'moe');
  const kept = saved.filter(({ name }) => name === 'latent and rope key');
  assert.equal(kept.length, 1);
  assert.equal(at(kept, 0).width * 2 * deepseekV3.numHiddenLayers, 70_272);
});
