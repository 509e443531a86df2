/**
 * `quantizeCheckpoint`: DeepSeek-V3's FP8 rule on whole checkpoints, shard by shard, and a model
 * that still says what it said.
 */
import assert from 'node:assert/strict';
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { checkpointTensors } from '../../src/checkpoint/parameterNames.ts';
import { openWeights, type Weights } from '../../src/checkpoint/weights.ts';
import type { ModelConfig } from '../../src/config/modelConfig.ts';
import { v3Mini } from '../../src/config/presets/small.ts';
import { createReferenceKernels } from '../../src/kernels/reference.ts';
import { openFolder } from '../../src/runtime/files.ts';
import { readModelConfig } from '../../src/runtime/openModel.ts';
import { quantizeCheckpoint } from '../../src/runtime/quantizeCheckpoint.ts';
import { writeRandomCheckpoint } from '../../src/runtime/randomCheckpoint.ts';
import { decodeE4m3, quantizeBlock128x128 } from '../../src/tensor/fp8.ts';
import { assertRefused, moebius, moebiusJson } from '../support/commandLine.ts';
import { goldenJson, goldenRoot } from '../support/golden.ts';
import { temporaryFolder } from '../support/scripts.ts';

const kernels = createReferenceKernels();
const tiny = join(goldenRoot, 'v3-tiny');

/** Half a step of three mantissa bits, 2⁻⁴, bounds the error of every normal code. */
const HALF_STEP = 2 ** -4;

async function open(path: string): Promise<{ weights: Weights; config: ModelConfig }> {
  const config = await readModelConfig(path);
  return { weights: await openWeights(await openFolder(path), config), config };
}

test('quantizeCheckpoint: projections and experts become codes and scales, the rest stays', async (context) => {
  const to = join(temporaryFolder(context), 'fp8');
  const { classes } = await quantizeCheckpoint({ from: tiny, to, kernels });
  const [before, after] = [await open(tiny), await open(to)];
  assert.deepEqual(after.config, { ...before.config, fp8WeightBlock: [128, 128] });
  const seen = new Set<string>();
  for (const { name, kind, dtype, shape } of checkpointTensors(after.config)) {
    // Copies of embedding and head are not in this checkpoint.
    if (kind === 'scale' || !before.weights.has(name)) continue;
    seen.add(dtype);
    const raw = await after.weights.rawTensor(name);
    if (dtype !== 'f8e4m3') {
      assert.deepEqual(raw.bytes, (await before.weights.rawTensor(name)).bytes, name);
      continue;
    }
    const [rows = 0, columns = 0] = shape;
    const values = await before.weights.readTensor(name);
    const { codes, scales } = quantizeBlock128x128({ values, rows, columns });
    assert.deepEqual(raw.bytes, codes, name);
    assert.deepEqual(raw.scales, scales, name);
  }
  assert.ok(seen.has('f8e4m3') && seen.size > 1, [...seen].join());
  assert.ok(!/embed|lm_head|norm|gate\.weight|gate$|eh_proj/.test(classes.map(nameOf).join(' ')));
  for (const { name, relativeRms, largest } of classes) {
    assert.ok(relativeRms > 0.01 && relativeRms < HALF_STEP, `${name}: ${relativeRms}`);
    assert.ok(largest > 0, name);
  }
});

test('quantizeCheckpoint: shards keep their names and tensors, other files come along', async (context) => {
  const folder = temporaryFolder(context);
  const [from, to] = [join(folder, 'bf16'), join(folder, 'fp8')];
  const config: ModelConfig = {
    ...v3Mini,
    vocabSize: 300,
    numHiddenLayers: 2,
    nRoutedExperts: 8,
    numExpertsPerTok: 2,
    torchDtype: 'bfloat16',
  };
  const texts = { 'tokenizer.json': '{}', 'generation_config.json': '{"a":1}' };
  await writeRandomCheckpoint({ path: from, config, seed: 1, texts, maxShardBytes: 1_500_000 });
  const { bytesBefore, bytesAfter } = await quantizeCheckpoint({ from, to, kernels });
  assert.ok(bytesAfter < 0.65 * bytesBefore, `${bytesAfter} of ${bytesBefore}`);
  const [before, after] = [await open(from), await open(to)];
  const files = new Set<string>();
  for (const { name } of checkpointTensors(before.config)) {
    const [was, is] = [before.weights.placeOf(name), after.weights.placeOf(name)];
    assert.equal(basename(is.file), basename(was.file), name);
    files.add(basename(is.file));
  }
  assert.ok(files.size > 2, [...files].join());
  assert.equal(readFileSync(join(to, 'generation_config.json'), 'utf8'), '{"a":1}');
  assert.ok(existsSync(join(to, 'tokenizer.json')));
});

test('moebius quantize: the quantised model predicts what the model predicts', async (context) => {
  const folder = temporaryFolder(context);
  const trained = join(goldenRoot, 'v3-tiny-trained');
  const to = join(folder, 'fp8');
  const { classes } = await moebiusJson('quantize', trained, to, '--kernels', 'reference');
  assert.ok(Array.isArray(classes) && classes.length > 5);
  const inputs = join(folder, 'inputs.json');
  const { runs } = goldenJson('v3-tiny-trained/decode.json') as { runs: { generated: number[] }[] };
  writeFileSync(inputs, JSON.stringify({ input_ids: runs.map(({ generated }) => generated) }));
  const main: number[] = [];
  for (const checkpoint of [trained, to]) {
    const output = join(folder, `${basename(checkpoint)}.safetensors`);
    const { losses } = await moebiusJson(
      ...['forward', '--checkpoint', checkpoint, '--inputs', inputs, '--output', output],
      ...['--kernels', 'reference'],
    );
    main.push((losses as { main: number }).main);
  }
  const [plain = 0, quantised = 0] = main;
  // Weights are off by 2.5 % each, independently: states by about as much, the mean loss by less.
  assert.ok(Math.abs(quantised - plain) < 0.02 * plain, main.join(' and '));
  assert.notEqual(quantised, plain);
});

test('moebius quantize: what is FP8 already, or would be written over, is refused', async (context) => {
  const folder = temporaryFolder(context);
  const fp8 = join(goldenRoot, 'v3-tiny-fp8');
  assertRefused(await moebius('quantize', fp8, join(folder, 'a')), 'quantize.isFp8');
  assert.ok(!existsSync(join(folder, 'a')));
  assertRefused(await moebius('quantize', tiny, folder), 'quantize.exists');
  assertRefused(await moebius('quantize', tiny, ''), 'quantize.noName');
  const damaged = join(folder, 'damaged');
  cpSync(tiny, damaged, { recursive: true });
  writeFileSync(join(damaged, 'model.safetensors'), 'nothing');
  assertRefused(await moebius('quantize', damaged, join(folder, 'b')), 'checkpoint.truncated');
});

test('Quantising: a code’s value is off by half a step at most', () => {
  for (let code = 8; code < 126; code++) {
    const [low, high] = [decodeE4m3(code), decodeE4m3(code + 1)];
    assert.ok((high - low) / 2 <= HALF_STEP * low, `${code}`);
  }
});

function nameOf({ name }: { readonly name: string }): string {
  return name;
}
