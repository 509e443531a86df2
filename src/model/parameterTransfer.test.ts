/** Weights come back as they went in, in every dtype, and misfits are refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tinyV3 } from '../../tests/support/tinyConfig.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import { createReferenceKernels } from '../kernels/reference.ts';
import { encodeBf16 } from '../tensor/halfFloat.ts';
import { wholeModel } from './parameterLayout.ts';
import {
  checkpointTensors,
  createParameters,
  initializeParameters,
  type ParameterSet,
  type WeightDType,
} from './parameters.ts';
import {
  copyParameters,
  loadParameters,
  readTensor,
  type StoredWeight,
  storeTensor,
} from './parameterTransfer.ts';

const kernels = createReferenceKernels({ poison: true });
const arena = kernels.createArena('staging');

function setOf(
  config: ModelConfig,
  options: { seed?: number; dtypeOf?: (name: string) => WeightDType } = {},
): ParameterSet {
  const { seed, dtypeOf } = options;
  const set = createParameters({
    kernels,
    arena: kernels.createArena('weights'),
    config,
    stage: wholeModel(config),
    withGradients: dtypeOf === undefined,
    ...(dtypeOf === undefined ? {} : { dtypeOf }),
  });
  if (seed !== undefined) initializeParameters({ kernels, set, config, seed });
  return set;
}

async function valuesOf(set: ParameterSet): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>();
  for (const tensor of checkpointTensors(set)) {
    values.set(tensor.name, (await readTensor({ kernels, arena, tensor })).slice());
  }
  return values;
}

/** A checkpoint in memory: float32 values, stored as `dtype`. */
function reader(
  values: ReadonlyMap<string, Float32Array>,
  shapes: ReadonlyMap<string, readonly number[]>,
  dtype: 'f32' | 'bf16',
): (name: string) => Promise<StoredWeight> {
  return async (name) => {
    const all = values.get(name);
    assert(all !== undefined, `asked for ${name}`);
    const codes = dtype === 'f32' ? all : Uint16Array.from(all, encodeBf16);
    const bytes = new Uint8Array(codes.buffer, codes.byteOffset, codes.byteLength);
    const shape = shapes.get(name) ?? [];
    return { name, dtype, shape, bytes: unaligned(bytes), scales: null, block: null };
  };
}

/** As in a mapped file, where nothing promises alignment. */
function unaligned(bytes: Uint8Array): Uint8Array {
  const shifted = new Uint8Array(bytes.byteLength + 1);
  shifted.set(bytes, 1);
  return shifted.subarray(1);
}

function shapesOf(set: ParameterSet): Map<string, readonly number[]> {
  return new Map(checkpointTensors(set).map(({ name, view }) => [name, view.shape]));
}

test('A set loaded from another’s tensors is equal to it, copies and biases included', async () => {
  const from = setOf(tinyV3, { seed: 4 });
  const values = await valuesOf(from);
  const to = setOf(tinyV3);
  await loadParameters({ kernels, arena, set: to, read: reader(values, shapesOf(from), 'f32') });
  for (const [name, loaded] of await valuesOf(to)) assert.deepEqual(loaded, values.get(name), name);
});

test('BF16 weights kept as stored and BF16 weights widened are the same numbers', async () => {
  const from = setOf(tinyV3, { seed: 4 });
  const read = reader(await valuesOf(from), shapesOf(from), 'bf16');
  const [kept, wide] = [setOf(tinyV3, { dtypeOf: () => 'bf16' }), setOf(tinyV3)];
  for (const set of [kept, wide]) await loadParameters({ kernels, arena, set, read });
  const widened = await valuesOf(wide);
  for (const [name, values] of await valuesOf(kept)) {
    assert.deepEqual(values, widened.get(name), name);
  }
});

test('FP8 weights kept with scales and FP8 weights widened are the same numbers', async () => {
  const config = { ...tinyV3, moeIntermediateSize: 128, hiddenSize: 160 };
  const codes = (index: number): number => ((index * 37) % 100) + (index % 2) * 128;
  const shapes = shapesOf(setOf(config));
  const isMatrix = (name: string): boolean => /_proj|_mqa/.test(name) && !name.includes('eh_proj');
  const read = async (name: string): Promise<StoredWeight> => {
    const shape = shapes.get(name) ?? [];
    const size = shape.reduce((product, dim) => product * dim, 1);
    const plain = { name, shape, scales: null, block: null };
    if (!isMatrix(name)) {
      const bytes = new Uint8Array(Float32Array.from({ length: size }, (_, i) => i % 7).buffer);
      return { ...plain, dtype: 'f32', bytes };
    }
    const [rows = 0, columns = 0] = shape.map((dim) => Math.ceil(dim / 128));
    return {
      name,
      shape,
      dtype: 'f8e4m3',
      bytes: Uint8Array.from({ length: size }, (_, i) => codes(i)),
      scales: Float32Array.from({ length: rows * columns }, (_, i) => 0.01 * (i + 1)),
      block: [128, 128],
    };
  };
  const dtypeOf = (name: string): WeightDType => (isMatrix(name) ? 'f8e4m3' : 'f32');
  const [kept, wide] = [setOf(config, { dtypeOf }), setOf(config)];
  for (const set of [kept, wide]) await loadParameters({ kernels, arena, set, read });
  const widened = await valuesOf(wide);
  let numKept = 0;
  for (const tensor of checkpointTensors(kept)) {
    if (tensor.view.dtype === 'f8e4m3') numKept++;
    const values = await readTensor({ kernels, arena, tensor });
    assert.deepEqual(values, widened.get(tensor.name), tensor.name);
  }
  assert.ok(numKept > 50, `${numKept} tensors kept in FP8`);
});

test('A copy of a set is equal to it', async () => {
  const [from, out] = [setOf(tinyV3, { seed: 2 }), setOf(tinyV3, { seed: 3 })];
  copyParameters(kernels, { out, from });
  assert.deepEqual(await valuesOf(out), await valuesOf(from));
});

test('A V2 gate, whose bias no checkpoint has, starts with zeros', async () => {
  const config: ModelConfig = { ...tinyV3, topkMethod: 'greedy', nGroup: 1, topkGroup: 1 };
  const from = setOf(config, { seed: 1 });
  const set = setOf(config);
  const read = reader(await valuesOf(from), shapesOf(from), 'f32');
  await loadParameters({ kernels, arena, set, read });
  for (const { weight, name } of set.buffers.values()) {
    const values = await kernels.read(weight.values);
    assert.ok(
      values.every((value) => value === 0),
      name,
    );
  }
});

test('Tensors of another shape, or with other scales, are refused', () => {
  const set = setOf(tinyV3);
  const tensor = checkpointTensors(set).find(({ name }) => name.endsWith('eh_proj.weight'));
  assert(tensor !== undefined);
  const { name, view } = tensor;
  const [rows = 0, columns = 0] = view.shape;
  const f32 = { name, dtype: 'f32' as const, bytes: new Uint8Array(), scales: null, block: null };
  const refuse = (stored: StoredWeight, code: string): void =>
    assert.throws(() => storeTensor({ kernels, arena, tensor, stored }), { code });
  refuse({ ...f32, shape: [columns, rows] }, 'model.tensorShape');
  refuse({ ...f32, shape: [rows * columns] }, 'model.tensorShape');
  const fp8 = {
    name,
    dtype: 'f8e4m3' as const,
    shape: view.shape,
    bytes: new Uint8Array(rows * columns),
    scales: new Float32Array(1),
  };
  refuse({ ...fp8, block: [64, 64] }, 'model.scaleBlock');
  refuse({ ...fp8, block: [128, 128], scales: new Float32Array(2) }, 'model.scaleBlock');
  refuse({ ...fp8, block: null, scales: null }, 'model.scaleBlock');
});
