/** Loading a model's weights: the golden checkpoints, round trips, and every way to be refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { goldenFolder, goldenJson, maxError } from '../../tests/support/golden.ts';
import { type MemoryFolder, memoryFolder } from '../../tests/support/memoryFolder.ts';
import { type ByteSource, byteSourceOf } from '../base/byteSource.ts';
import { Random } from '../base/random.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import { parseModelConfig } from '../config/parseModelConfig.ts';
import { deepseekV3 } from '../config/presets/deepseekV3.ts';
import { v3Mini } from '../config/presets/small.ts';
import { bytesPerElement } from '../tensor/dtype.ts';
import { numElements } from '../tensor/tensor.ts';
import { checkpointTensors, type TensorSpec } from './parameterNames.ts';
import type { TensorToWrite } from './safetensors.ts';
import { writeCheckpoint } from './shards.ts';
import { storedNames } from './storedDType.ts';
import { openWeights, tensorsToWrite } from './weights.ts';

/** Every kind of tensor, in under 100 KB. */
const TINY: ModelConfig = {
  ...v3Mini,
  vocabSize: 20,
  hiddenSize: 24,
  intermediateSize: 40,
  moeIntermediateSize: 16,
  numHiddenLayers: 2,
  numNextnPredictLayers: 1,
  numAttentionHeads: 2,
  qLoraRank: 12,
  kvLoraRank: 8,
  qkNopeHeadDim: 6,
  qkRopeHeadDim: 4,
  vHeadDim: 6,
  nRoutedExperts: 4,
  numExpertsPerTok: 2,
  nGroup: 2,
  topkGroup: 1,
};

const BIAS = 'model.layers.1.mlp.gate.e_score_correction_bias';

/** Reproducible values for a name, so that nothing but the name need be kept. */
function valuesOf(config: ModelConfig): (name: string) => Float32Array {
  const sizes = new Map(
    [...checkpointTensors(config)].map(({ name, shape }) => [
      name,
      shape.reduce((a, b) => a * b, 1),
    ]),
  );
  return (name) => {
    const random = new Random(7, name);
    return Float32Array.from({ length: sizes.get(name) ?? 0 }, () => random.normal());
  };
}

async function saved(
  config: ModelConfig,
  change: (tensors: TensorToWrite[]) => TensorToWrite[] = (tensors) => tensors,
): Promise<MemoryFolder> {
  const folder = memoryFolder();
  const tensors = change([...tensorsToWrite(config, valuesOf(config))]);
  await writeCheckpoint(tensors, { create: folder.create });
  return folder;
}

const isMtp = ({ name }: { name: string }): boolean => name.startsWith('model.layers.2.');

function replaced(name: string, values: readonly number[]) {
  return (tensors: TensorToWrite[]): TensorToWrite[] =>
    tensors.map((tensor) =>
      tensor.name === name
        ? { ...tensor, bytes: () => new Uint8Array(Float32Array.from(values).buffer) }
        : tensor,
    );
}

test('Weights: saved in float32, every tensor comes back bit for bit', async () => {
  const weights = await openWeights(await saved(TINY), TINY);
  const read = valuesOf(TINY);
  for (const { name, kind, of, shape } of checkpointTensors(TINY)) {
    assert.deepEqual(await weights.readTensor(name), read(of ?? name), `${name} (${kind})`);
    assert.deepEqual(weights.shapeOf(name), shape);
  }
  assert.equal(weights.mtpPresent, true);
  assert.deepEqual(weights.ignored, []);
  assert.deepEqual(weights.notices, []);
  assert.equal(weights.copies.length, 2);
});

test('Weights: saved in BF16 and F16 they are off by half a step at most', async () => {
  for (const [torchDtype, step] of [
    ['bfloat16', 2 ** -8],
    ['float16', 2 ** -11],
  ] as const) {
    const config: ModelConfig = { ...TINY, torchDtype };
    const weights = await openWeights(await saved(config), config);
    const read = valuesOf(config);
    for (const { name, of, kind, dtype } of checkpointTensors(config)) {
      const [actual, exact] = [await weights.readTensor(name), read(of ?? name)];
      for (const [i, value] of exact.entries()) {
        assert(Math.abs((actual[i] ?? 0) - value) <= Math.abs(value) * step, name);
      }
      assert.equal((await weights.rawTensor(name)).dtype, dtype);
      if (kind === 'routerBias') assert.deepEqual(actual, exact, 'the bias stays float32');
    }
  }
});

test('Weights: saved in FP8 they have scales, and linear layers only', async () => {
  const config: ModelConfig = { ...TINY, torchDtype: 'bfloat16', fp8WeightBlock: [128, 128] };
  const weights = await openWeights(await saved(config), config);
  const name = 'model.layers.0.mlp.down_proj.weight';
  const raw = await weights.rawTensor(name);
  assert.equal(raw.dtype, 'f8e4m3');
  assert.equal(raw.bytes.byteLength, 24 * 40);
  assert.deepEqual(raw.block, [128, 128]);
  assert.equal(raw.scales?.length, 1);
  const exact = valuesOf(config)(name);
  const largest = Math.max(...exact.map(Math.abs));
  assert(maxError(await weights.readTensor(name), exact) <= largest * 2 ** -4);
  assert.equal((await weights.rawTensor('model.embed_tokens.weight')).dtype, 'bf16');
});

test('Weights: FP8 blocks of another size are not written', () => {
  const config: ModelConfig = { ...TINY, fp8WeightBlock: [64, 64] };
  assert.throws(() => tensorsToWrite(config, valuesOf(config)), { code: 'checkpoint.block' });
});

/** A file whose data is all zeros and takes no memory: enough for what reads headers alone. */
async function hollow(file: string, specs: readonly TensorSpec[]): Promise<ByteSource> {
  let end = 0;
  const entries = specs.map(({ name, shape, dtype }): [string, unknown] => {
    const begin = end;
    end += numElements(shape) * bytesPerElement(dtype);
    return [name, { dtype: storedNames[dtype], shape, data_offsets: [begin, end] }];
  });
  const header = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const start = new Uint8Array(8 + header.byteLength);
  new DataView(start.buffer).setBigUint64(0, BigInt(header.byteLength), true);
  start.set(header, 8);
  return {
    name: file,
    byteLength: start.byteLength + end,
    read: async (offset, length) => {
      const bytes = new Uint8Array(length);
      bytes.set(start.subarray(offset, offset + length));
      return bytes;
    },
  };
}

test('Weights: DeepSeek-V3’s 163 shards are opened and verified by their headers', async () => {
  // Copies, which are compared, are left out.
  const specs = [...checkpointTensors(deepseekV3)].filter(({ kind }) => kind !== 'copy');
  const perShard = Math.ceil(specs.length / 163);
  const shards = new Map<string, ByteSource>();
  const weightMap: Record<string, string> = {};
  for (let i = 0; i < 163; i++) {
    const file = `model-${String(i + 1).padStart(5, '0')}-of-000163.safetensors`;
    const inShard = specs.slice(i * perShard, (i + 1) * perShard);
    for (const { name } of inShard) weightMap[name] = file;
    shards.set(file, await hollow(file, inShard));
  }
  const index = new TextEncoder().encode(JSON.stringify({ weight_map: weightMap }));
  shards.set('model.safetensors.index.json', byteSourceOf(index, 'index'));
  const weights = await openWeights(
    {
      name: 'hollow V3',
      list: async () => [...shards.keys()],
      open: async (file) => shards.get(file) ?? byteSourceOf(new Uint8Array()),
    },
    deepseekV3,
  );
  assert.deepEqual([weights.mtpPresent, weights.notices, weights.copies], [true, [], []]);
  const raw = await weights.rawTensor('model.layers.61.mlp.experts.255.down_proj.weight');
  assert.deepEqual([raw.dtype, raw.scales?.length], ['f8e4m3', 56 * 16]);
});

test('Weights: readInto fills the caller’s memory, at any place in it', async () => {
  const weights = await openWeights(await saved(TINY), TINY);
  const memory = new Float32Array(24 + 2);
  await weights.readInto('model.norm.weight', memory.subarray(1, 25));
  assert.deepEqual(memory.subarray(1, 25), valuesOf(TINY)('model.norm.weight'));
  assert.deepEqual([memory[0], memory[25]], [0, 0]);
});

test('Weights: a golden model is read as it is stored', async () => {
  const config = parseModelConfig(goldenJson('v3-tiny-trained/config.json'), 'v3-tiny-trained');
  const weights = await openWeights(goldenFolder('v3-tiny-trained'), config, { checkFinite: true });
  assert.equal(weights.mtpPresent, true);
  const head = await weights.readTensor('lm_head.weight');
  assert.deepEqual(await weights.readTensor('model.layers.3.shared_head.head.weight'), head);
  const { bytes } = await weights.rawTensor('lm_head.weight');
  assert.deepEqual(new Uint8Array(head.buffer), bytes.slice());
});

test('Weights: an FP8 golden model has partial blocks, each with its own scale', async () => {
  const config = parseModelConfig(goldenJson('v3-tiny-fp8/config.json'), 'v3-tiny-fp8');
  const weights = await openWeights(goldenFolder('v3-tiny-fp8'), config);
  const name = 'model.layers.0.self_attn.q_a_proj.weight';
  const { scales, bytes, shape } = await weights.rawTensor(name);
  assert.deepEqual([shape, scales?.length], [[136, 160], 4]);
  const values = await weights.readTensor(name);
  // The last element lies in the block of 8 × 32 at the corner; codes of 0x38 are 1.0.
  const decoded = (code: number): number => {
    const exponent = (code >> 3) & 15;
    const mantissa = code & 7;
    const sign = code & 0x80 ? -1 : 1;
    return exponent === 0
      ? sign * mantissa * 2 ** -9
      : sign * (8 + mantissa) * 2 ** (exponent - 10);
  };
  for (const [row, column, block] of [
    [0, 0, 0],
    [127, 128, 1],
    [128, 127, 2],
    [135, 159, 3],
  ] as const) {
    const index = row * 160 + column;
    const exact = decoded(bytes[index] ?? 0) * (scales?.[block] ?? 0);
    assert.equal(values[index], Math.fround(exact));
  }
});

test('Weights: a checkpoint without its MTP layer loads and says so', async () => {
  const folder = await saved(TINY, (tensors) => tensors.filter((tensor) => !isMtp(tensor)));
  const weights = await openWeights(folder, TINY);
  assert.equal(weights.mtpPresent, false);
  assert.match(weights.notices.join(), /MTP \(layer 2\)/);
});

test('Weights: copies of embedding and head may be missing, one or both', async () => {
  const folder = await saved(TINY, (tensors) =>
    tensors.filter(({ name }) => name !== 'model.layers.2.embed_tokens.weight'),
  );
  const weights = await openWeights(folder, TINY);
  assert.equal(weights.mtpPresent, true);
  assert.deepEqual(weights.copies, ['model.layers.2.shared_head.head.weight']);
});

test('Weights: a copy that differs from its original is refused', async () => {
  const copy = 'model.layers.2.shared_head.head.weight';
  const values = valuesOf(TINY)('lm_head.weight').map((value, i) => (i === 100 ? 0 : value));
  await assert.rejects(openWeights(await saved(TINY, replaced(copy, [...values])), TINY), {
    code: 'checkpoint.copies',
    message: /shared_head\.head.*lm_head/,
  });
});

test('Weights: a tied model may carry its head, which then must be the embedding', async () => {
  const tied: ModelConfig = { ...TINY, tieWordEmbeddings: true };
  const embedding = valuesOf(tied)('model.embed_tokens.weight');
  const withHead = (values: Float32Array): Promise<MemoryFolder> =>
    saved(tied, (tensors) => [
      ...tensors,
      {
        name: 'lm_head.weight',
        dtype: 'F32',
        shape: [20, 24],
        bytes: () => new Uint8Array(values.buffer),
      },
    ]);
  assert.equal((await openWeights(await withHead(embedding), tied)).copies.length, 3);
  const other = await withHead(embedding.map((value) => -value));
  await assert.rejects(openWeights(other, tied), { code: 'checkpoint.copies' });
});

test('Weights: stored rotary frequencies are ignored, and listed', async () => {
  const name = 'model.layers.0.self_attn.rotary_emb.inv_freq';
  const folder = await saved(TINY, (tensors) => [
    ...tensors,
    { name, dtype: 'F32', shape: [2], bytes: () => new Uint8Array(8) },
  ]);
  assert.deepEqual((await openWeights(folder, TINY)).ignored, [name]);
});

test('Weights: what is missing, extra or misshapen comes in one error, ten of each', async () => {
  const folder = await saved(TINY, (tensors) => [
    ...tensors
      .filter(({ name }) => !name.startsWith('model.layers.1.mlp.experts.'))
      .map((tensor) =>
        tensor.name === 'model.norm.weight' ? { ...tensor, shape: [4, 6] } : tensor,
      ),
    { name: 'model.layers.0.bias', dtype: 'F32', shape: [1], bytes: () => new Uint8Array(4) },
  ]);
  await assert.rejects(openWeights(folder, TINY), {
    code: 'checkpoint.mismatch',
    message: new RegExp(
      '12 missing: model\\.layers\\.1\\.mlp\\.experts\\.0.*, and 2 more; ' +
        '1 not known to the config: model\\.layers\\.0\\.bias; ' +
        '1 of another shape or dtype: model\\.norm\\.weight is \\[4,6\\], not \\[24\\]',
    ),
    values: { missing: 12, extra: 1, misshapen: 1 },
  });
});

test('Weights: half an MTP layer is an error, and so is one the config does not know', async () => {
  const half = await saved(TINY, (tensors) =>
    tensors.filter((tensor) => !isMtp(tensor) || tensor.name.includes('norm')),
  );
  await assert.rejects(openWeights(half, TINY), {
    code: 'checkpoint.mismatch',
    message: /missing: model\.layers\.2\.eh_proj\.weight/,
  });
  await assert.rejects(openWeights(await saved(TINY), { ...TINY, numNextnPredictLayers: 0 }), {
    code: 'checkpoint.mismatch',
    hint: /num_nextn_predict_layers/,
  });
});

test('Weights: integers are no weights', async () => {
  const folder = await saved(TINY, (tensors) =>
    tensors.map((t) => (t.name === 'model.norm.weight' ? { ...t, dtype: 'I32' } : t)),
  );
  await assert.rejects(openWeights(folder, TINY), {
    code: 'checkpoint.mismatch',
    message: /model\.norm\.weight is I32/,
  });
});

test('Weights: FP8 needs its scales, and only FP8 may have them', async () => {
  const fp8: ModelConfig = { ...TINY, fp8WeightBlock: [128, 128] };
  const weight = 'model.layers.0.mlp.up_proj.weight';
  const scale = `${weight}_scale_inv`;
  const without = await saved(fp8, (tensors) => tensors.filter(({ name }) => name !== scale));
  await assert.rejects(openWeights(without, fp8), { message: new RegExp(`1 missing: ${scale}`) });
  // The config does not know blocks: the same tensors are extra, and FP8 unreadable.
  await assert.rejects(openWeights(await saved(fp8), TINY), {
    code: 'checkpoint.mismatch',
    message: /scale_inv.*is F8_E4M3/s,
  });
  const narrow = await saved(fp8, (tensors) =>
    tensors.map((tensor) =>
      tensor.name === scale ? { ...tensor, dtype: 'BF16', bytes: () => new Uint8Array(2) } : tensor,
    ),
  );
  await assert.rejects(openWeights(narrow, fp8), { message: new RegExp(`${scale} is BF16`) });
  const exact = valuesOf(fp8)(weight);
  const asFloat = (tensors: TensorToWrite[]): TensorToWrite[] =>
    tensors.map((tensor) =>
      tensor.name === weight
        ? { ...tensor, dtype: 'F32', bytes: () => new Uint8Array(exact.buffer) }
        : tensor,
    );
  await assert.rejects(openWeights(await saved(fp8, asFloat), fp8), {
    message: new RegExp(`1 not known to the config: ${scale}`),
  });
  const turned = await saved(fp8, (t) => asFloat(t).filter(({ name }) => name !== scale));
  assert.deepEqual(await (await openWeights(turned, fp8)).readTensor(weight), exact);
});

test('Weights: a router bias that is not finite is refused when opened', async () => {
  for (const [value, shown] of [
    [Number.NaN, 'NaN'],
    [Number.POSITIVE_INFINITY, 'Infinity'],
  ] as const) {
    const folder = await saved(TINY, replaced(BIAS, [0, 0, value, 0]));
    await assert.rejects(openWeights(folder, TINY), {
      code: 'checkpoint.routerBias',
      values: { name: BIAS, element: 2, value: shown },
    });
  }
});

test('Weights: a router bias in BF16 loads with a notice', async () => {
  const folder = await saved(TINY, (tensors) =>
    tensors.map((tensor) =>
      tensor.name === BIAS ? { ...tensor, dtype: 'BF16', bytes: () => new Uint8Array(8) } : tensor,
    ),
  );
  assert.match((await openWeights(folder, TINY)).notices.join(), /1 router biases are BF16/);
});

test('Weights: other non-finite values are found when asked for', async () => {
  const name = 'model.layers.1.post_attention_layernorm.weight';
  const folder = await saved(TINY, replaced(name, [...Array(23).fill(1), Number.NaN]));
  const careless = await openWeights(folder, TINY);
  assert(Number.isNaN((await careless.readTensor(name))[23]));
  const careful = await openWeights(folder, TINY, { checkFinite: true });
  await careful.readTensor('model.norm.weight');
  await assert.rejects(careful.readTensor(name), {
    code: 'checkpoint.nonFinite',
    values: { name, element: 23, value: 'NaN' },
  });
});

test('Weights: a value beyond float16 is not saved as infinity', async () => {
  const config: ModelConfig = { ...TINY, torchDtype: 'float16' };
  const read = valuesOf(config);
  const tensors = tensorsToWrite(config, (name) =>
    name === 'model.norm.weight' ? read(name).map((_, i) => (i === 3 ? 65520 : 1)) : read(name),
  );
  const folder = memoryFolder();
  await assert.rejects(writeCheckpoint(tensors, { create: folder.create }), {
    code: 'checkpoint.overflow',
    values: { name: 'model.norm.weight', element: 3, value: 65520 },
  });
});

test('Weights: a name that is not there is an error with its name', async () => {
  const weights = await openWeights(await saved(TINY), TINY);
  assert.equal(weights.has('lm_head.bias'), false);
  assert.throws(() => weights.shapeOf('lm_head.bias'), { code: 'checkpoint.noTensor' });
  await assert.rejects(weights.readTensor('lm_head.bias'), { code: 'checkpoint.noTensor' });
});
