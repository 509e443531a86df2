/** Where weights lie, what fresh ones are, and which dtype a parameter takes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tinyV3 } from '../../tests/support/tinyConfig.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import { createReferenceKernels } from '../kernels/reference.ts';
import { numElements } from '../tensor/tensor.ts';
import { type Stage, wholeModel } from './parameterLayout.ts';
import {
  checkpointGradients,
  checkpointTensors,
  createParameters,
  f32Values,
  initializeParameters,
  type ParameterSet,
  parameterNamed,
  trainedTensors,
  type WeightDType,
  zeroGradients,
} from './parameters.ts';

const kernels = createReferenceKernels({ poison: true });

function setOf(config: ModelConfig, stage: Stage = wholeModel(config), seed = 1): ParameterSet {
  const arena = kernels.createArena('weights');
  const set = createParameters({ kernels, arena, config, stage, withGradients: true });
  initializeParameters({ kernels, set, config, seed });
  return set;
}

async function valuesByName(set: ParameterSet): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>();
  for (const { name, view } of checkpointTensors(set)) {
    values.set(name, (await kernels.read(view)) as Float32Array);
  }
  return values;
}

test('Fresh weights: matrices have the stated deviation, gains are 1, biases 0', async () => {
  const config = { ...tinyV3, vocabSize: 500, hiddenSize: 64, initializerRange: 0.05 };
  for (const [name, values] of await valuesByName(setOf(config))) {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    if (name.endsWith('norm.weight'))
      assert.ok(
        values.every((value) => value === 1),
        name,
      );
    else if (name.endsWith('e_score_correction_bias')) {
      assert.ok(
        values.every((value) => value === 0),
        name,
      );
    } else if (values.length > 4000) {
      const squares = values.reduce((sum, value) => sum + value * value, 0) / values.length;
      assert.ok(Math.abs(Math.sqrt(squares) / 0.05 - 1) < 0.05, `${name}: ${squares}`);
      assert.ok(Math.abs(mean) < 0.005, `${name}: mean ${mean}`);
    }
  }
});

test('Fresh weights depend on seed and name alone, not on how layers are spread', async () => {
  const whole = await valuesByName(setOf(tinyV3));
  const stages: readonly Stage[] = [
    { first: 0, last: 1, hasEmbedding: true, hasHead: false },
    { first: 1, last: 2, hasEmbedding: false, hasHead: true },
  ];
  const seen = new Set<string>();
  for (const stage of stages) {
    for (const [name, values] of await valuesByName(setOf(tinyV3, stage))) {
      assert.deepEqual(values, whole.get(name), name);
      seen.add(name);
    }
  }
  assert.deepEqual([...seen].sort(), [...whole.keys()].sort());
  const other = await valuesByName(setOf(tinyV3, wholeModel(tinyV3), 2));
  const name = 'model.layers.1.mlp.experts.3.up_proj.weight';
  assert.notDeepEqual(other.get(name), whole.get(name));
  const sibling = 'model.layers.1.mlp.experts.4.up_proj.weight';
  assert.notDeepEqual(whole.get(sibling), whole.get(name));
});

test('Views are the packed parameter: gate rows, then up rows, expert after expert', async () => {
  const set = setOf(tinyV3);
  const { hiddenSize: H, moeIntermediateSize: F, nRoutedExperts: E } = tinyV3;
  const packed = parameterNamed(set, 'model.layers.1.mlp.experts.gate_up_proj.weight');
  assert.deepEqual(packed.shape, [E, 2 * F, H]);
  const all = await kernels.read(f32Values(packed));
  const byName = await valuesByName(set);
  for (let expert = 0; expert < E; expert++) {
    const start = expert * 2 * F * H;
    const prefix = `model.layers.1.mlp.experts.${expert}.`;
    const gate = byName.get(`${prefix}gate_proj.weight`);
    const up = byName.get(`${prefix}up_proj.weight`);
    assert.deepEqual(all.slice(start, start + F * H), gate);
    assert.deepEqual(all.slice(start + F * H, start + 2 * F * H), up);
  }
});

test('Embedding and head are one parameter each, with one gradient, under all their names', () => {
  const names = (config: ModelConfig, set: ParameterSet): string[] =>
    checkpointTensors(set)
      .filter(({ view }) => numElements(view.shape) === config.vocabSize * config.hiddenSize)
      .map(({ name }) => name);
  assert.deepEqual(names(tinyV3, setOf(tinyV3)), [
    'model.embed_tokens.weight',
    'model.layers.2.embed_tokens.weight',
    'model.layers.3.embed_tokens.weight',
    'lm_head.weight',
    'model.layers.2.shared_head.head.weight',
    'model.layers.3.shared_head.head.weight',
  ]);
  const tied = { ...tinyV3, tieWordEmbeddings: true };
  const set = setOf(tied);
  assert.ok(!names(tied, set).includes('lm_head.weight'));
  assert.equal(names(tied, set).length, 5);
  const gradients = checkpointGradients(set).map(({ name }) => name);
  assert.equal(gradients.filter((name) => /embed_tokens|head\.weight/.test(name)).length, 1);
});

test('Trained tensors are all but router biases; matrices decay, gains do not', () => {
  const set = setOf(tinyV3);
  for (const { name, value, isDecayed } of trainedTensors(set)) {
    assert.ok(!name.includes('e_score_correction_bias'));
    assert.equal(isDecayed, value.shape.length > 1, name);
  }
  assert.equal(set.buffers.size, 3, 'one MoE layer and two MTP modules');
});

test('Gradients start at zero and are zeroed again', async () => {
  const set = setOf(tinyV3);
  const [first] = trainedTensors(set);
  assert(first !== undefined);
  const isZero = async (): Promise<boolean> =>
    (await kernels.read(first.gradient)).every((value) => value === 0);
  assert.ok(await isZero());
  kernels.fill({ out: first.gradient, value: 3 });
  assert.ok(!(await isZero()));
  zeroGradients(kernels, set);
  assert.ok(await isZero());
});

function stored(config: ModelConfig, dtypeOf: (name: string) => WeightDType): ParameterSet {
  const arena = kernels.createArena('weights');
  const stage = wholeModel(config);
  return createParameters({ kernels, arena, config, stage, withGradients: false, dtypeOf });
}

test('Stored dtypes stay, but gains and biases are f32, and so are pieces of mixed dtypes', () => {
  const set = stored(tinyV3, (name) =>
    name.endsWith('experts.5.up_proj.weight') ? 'f16' : 'bf16',
  );
  const dtypeOf = (name: string): string => parameterNamed(set, name).weight.values.dtype;
  assert.equal(dtypeOf('model.embed_tokens.weight'), 'bf16');
  assert.equal(dtypeOf('model.norm.weight'), 'f32');
  assert.equal(dtypeOf('model.layers.1.mlp.gate.e_score_correction_bias'), 'f32');
  assert.equal(dtypeOf('model.layers.1.mlp.experts.down_proj.weight'), 'bf16');
  assert.equal(dtypeOf('model.layers.1.mlp.experts.gate_up_proj.weight'), 'f32');
});

test('FP8 pieces are packed where they begin on a block of scales, else kept as f32', () => {
  const isMatrix = (name: string): boolean => /_proj|_mqa/.test(name) && !name.includes('eh_proj');
  const dtypes = (width: number): ParameterSet =>
    stored({ ...tinyV3, moeIntermediateSize: width, hiddenSize: 200 }, (name) =>
      isMatrix(name) ? 'f8e4m3' : 'bf16',
    );
  const name = 'model.layers.1.mlp.experts.gate_up_proj.weight';
  const aligned = parameterNamed(dtypes(256), name);
  assert.equal(aligned.weight.values.dtype, 'f8e4m3');
  assert.deepEqual(aligned.weight.scales?.shape, [8, 4, 2]);
  const up = aligned.tensors.find((tensor) => tensor.name.endsWith('experts.2.up_proj.weight'));
  // Expert 2 begins at block row 8, its up half two blocks on; each block row has two scales.
  const offset = (up?.scales?.byteOffset ?? 0) - (aligned.weight.scales?.byteOffset ?? 0);
  assert.deepEqual(up?.scales?.shape, [2, 2]);
  assert.equal(offset, 4 * 2 * (2 * 4 + 2));
  assert.equal(parameterNamed(dtypes(192), name).weight.values.dtype, 'f32');
  // One piece per expert begins on a block whatever its size.
  const down = parameterNamed(dtypes(192), 'model.layers.1.mlp.experts.down_proj.weight');
  assert.equal(down.weight.values.dtype, 'f8e4m3');
  assert.deepEqual(down.weight.scales?.shape, [8, 2, 2]);
});

test('A parameter that was loaded to run has no gradient to ask for', () => {
  const set = stored(tinyV3, () => 'f32');
  assert.throws(() => trainedTensors(set), /loaded to run/);
  const narrow = stored(tinyV3, () => 'bf16');
  assert.throws(() => f32Values(parameterNamed(narrow, 'lm_head.weight')), /bf16, not f32/);
});
