/**
 * Weights by the addon's threads: the bytes that a plain load gives, a model that answers before
 * all of them are there, and what is said when a file fails.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import { MoebiusError } from '../../src/base/errors.ts';
import { openWeights } from '../../src/checkpoint/weights.ts';
import { v3Mini } from '../../src/config/presets/small.ts';
import { createNativeKernels } from '../../src/kernels/native.ts';
import { wholeModel } from '../../src/model/parameterLayout.ts';
import { createParameters, type ParameterSet } from '../../src/model/parameters.ts';
import { BlockManager } from '../../src/policy/cache/blockManager.ts';
import { openFolder } from '../../src/runtime/files.ts';
import { loadAddon } from '../../src/runtime/loadAddon.ts';
import { LocalServingExecutor } from '../../src/runtime/localServingExecutor.ts';
import { type OpenedModel, openModel, readModelConfig } from '../../src/runtime/openModel.ts';
import { writeRandomCheckpoint } from '../../src/runtime/randomCheckpoint.ts';
import { WeightLoader, type WeightLoaderOptions } from '../../src/runtime/weightLoader.ts';
import { generateTokens } from '../../src/serving/generate.ts';
import { hostArray } from '../../src/tensor/tensor.ts';

const loaded = loadAddon();
assert.ok('addon' in loaded, 'native kernels are built');
const { addon } = loaded;
const kernels = createNativeKernels(addon, { threads: 2 });

const folder = mkdtempSync(join(tmpdir(), 'moebius-loading-'));
after(() => rmSync(folder, { recursive: true }));

/** FP8 in three shards, wide enough for blocks of scales. */
const sharded = join(folder, 'sharded');
const config = { ...v3Mini, numHiddenLayers: 4, numNextnPredictLayers: 1, vocabSize: 512 };
await writeRandomCheckpoint({
  path: sharded,
  config: { ...config, torchDtype: 'bfloat16', fp8WeightBlock: [128, 128] },
  seed: 3,
  texts: {},
  maxShardBytes: 6_000_000,
});
const inBf16 = join(folder, 'bf16');
await writeRandomCheckpoint({
  path: inBf16,
  config: { ...config, torchDtype: 'bfloat16', fp8WeightBlock: null },
  seed: 3,
  texts: {},
});

const golden = (name: string): string => new URL(`../golden/${name}`, import.meta.url).pathname;

for (const path of [sharded, inBf16, golden('v3-tiny'), golden('v3-tiny-fp8')]) {
  test(`openModel: threads give the bytes that a plain load gives (${path.split('/').at(-1)})`, async () => {
    const plain = await openModel({ path, kernels });
    const progress: number[] = [];
    const opened = await openModel({
      path,
      kernels,
      addon,
      onProgress: ({ bytes, totalBytes }) => progress.push(bytes / totalBytes),
    });
    assert.deepEqual(bytesOf(opened.parameters), bytesOf(plain.parameters));
    assert.equal(progress.at(-1), 1);
    assert.deepEqual(progress, progress.toSorted());
    assert.equal(opened.kernels, kernels);
  });
}

for (const path of [inBf16, golden('v3-tiny')]) {
  test(`openModel: tokens while loading are those of the whole model (${path.split('/').at(-1)})`, async () => {
    const whole = await openModel({ path, kernels, addon });
    const wanted = await tokensOf(whole);
    for (let round = 0; round < 4; round++) {
      const opened = await openModel({ path, kernels, addon, until: 'firstToken' });
      assert.notEqual(opened.kernels, kernels);
      const [first] = await Promise.all([tokensOf(opened), opened.loading.whenComplete]);
      assert.deepEqual(first, wanted);
      assert.deepEqual(await tokensOf(opened), wanted, 'and afterwards');
    }
  });
}

test('openModel: an FP8 model answers while it loads, and as a whole model afterwards', async () => {
  const wanted = await tokensOf(await openModel({ path: sharded, kernels, addon }));
  const opened = await openModel({ path: sharded, kernels, addon, until: 'firstToken' });
  const executor = executorOf(opened);
  assert.equal((await tokensOf(opened, executor)).length, wanted.length);
  await opened.loading.whenComplete;
  const { progress } = opened.loading;
  assert.equal(progress?.bytes, progress?.totalBytes);
  assert.deepEqual(await tokensOf(opened, executor), wanted);
});

test('openModel: a load that was given up before it began says so', async () => {
  const abort = new AbortController();
  abort.abort();
  await assert.rejects(openModel({ path: sharded, kernels, addon, signal: abort.signal }));
});

test('WeightLoader: a load that is given up ends there and says so', async () => {
  const abort = new AbortController();
  const loader = new WeightLoader({ ...(await emptySet(sharded)), signal: abort.signal });
  await loader.loadFirst();
  abort.abort();
  await assert.rejects(loader.loadRest(), { code: 'loading.aborted' });
  assert.ok(!loader.isComplete);
});

test('WeightLoader: a file that is cut short while it loads is an error with its name', async () => {
  const path = join(folder, 'cut');
  await writeRandomCheckpoint({ path, config, seed: 3, texts: {} });
  const empty = await emptySet(path);
  truncateSync(join(path, 'model.safetensors'), 5_000_000);
  const loader = new WeightLoader(empty);
  await assert.rejects(
    loader.loadFirst().then(() => loader.loadRest()),
    (error: unknown) => {
      assert.ok(error instanceof MoebiusError, String(error));
      assert.equal(error.code, 'loading.failed');
      assert.match(error.message, /model\.safetensors ended while it was being read/);
      return true;
    },
  );
});

/** A checkpoint's parameters before anything is read. */
async function emptySet(path: string): Promise<WeightLoaderOptions> {
  const config = await readModelConfig(path);
  const weights = await openWeights(await openFolder(path), config);
  const set = createParameters({
    kernels,
    arena: kernels.createArena('weights'),
    config,
    stage: wholeModel(config),
    withGradients: false,
    dtypeOf: weights.dtypeOf,
  });
  return { addon, kernels, set, weights };
}

function bytesOf(set: ParameterSet): Map<string, Buffer> {
  const bytes = new Map<string, Buffer>();
  for (const parameter of [...set.parameters.values(), ...set.buffers.values()]) {
    for (const { name, view, scales } of parameter.tensors) {
      const { buffer, byteOffset, byteLength } = hostArray(view);
      bytes.set(name, Buffer.from(buffer, byteOffset, byteLength));
      if (scales === null) continue;
      const factors = hostArray(scales);
      bytes.set(
        `${name} scales`,
        Buffer.from(factors.buffer, factors.byteOffset, factors.byteLength),
      );
    }
  }
  return bytes;
}

function executorOf({ kernels, model }: OpenedModel): LocalServingExecutor {
  return new LocalServingExecutor({
    kernels,
    model,
    clock: new ManualClock(),
    numBlocks: 16,
    blockSize: 8,
    maxPositions: 64,
    mtpHidden: 'postNorm',
  });
}

async function tokensOf(
  opened: OpenedModel,
  executor: LocalServingExecutor = executorOf(opened),
): Promise<number[]> {
  const generation = generateTokens(executor, new BlockManager({ numBlocks: 16, blockSize: 8 }), {
    sequenceId: 0,
    promptIds: [5, 9, 2, 44, 13, 28],
    maxTokens: 12,
    sampling: { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 },
    endIds: new Set(),
    numDrafts: 1,
    maxContext: 64,
  });
  const ids: number[] = [];
  for (let next = await generation.next(); next.done !== true; next = await generation.next()) {
    ids.push(next.value.id);
  }
  return ids;
}
