/**
 * `moebius random-model`: what it writes is a checkpoint like any other, from its headers to text
 * that comes out of it; here in Moonlight's architecture at a small size.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkpointSize, checkpointTensors } from '../../src/checkpoint/parameterNames.ts';
import { openWeights } from '../../src/checkpoint/weights.ts';
import type { ModelConfig } from '../../src/config/modelConfig.ts';
import { moonlight16bA3b } from '../../src/config/presets/moonshot.ts';
import { serializeModelConfig } from '../../src/config/serializeModelConfig.ts';
import { openFolder } from '../../src/runtime/files.ts';
import { readModelConfig } from '../../src/runtime/openModel.ts';
import { loadTokenizer } from '../../src/tokenizer/byteLevelBpe.ts';
import { assertRefused, moebius, moebiusJson } from '../support/commandLine.ts';
import { temporaryFolder } from '../support/scripts.ts';

/** Moonlight with narrower matrices and fewer of them; routing and attention are its own. */
const small: ModelConfig = {
  ...moonlight16bA3b,
  vocabSize: 5000,
  bosTokenId: null,
  eosTokenId: null,
  hiddenSize: 256,
  intermediateSize: 512,
  moeIntermediateSize: 128,
  numHiddenLayers: 3,
  numAttentionHeads: 4,
  kvLoraRank: 128,
  qkNopeHeadDim: 32,
  qkRopeHeadDim: 16,
  vHeadDim: 32,
  nRoutedExperts: 16,
  maxPositionEmbeddings: 512,
};

function writeConfig(folder: string): string {
  const file = join(folder, 'small.json');
  writeFileSync(file, JSON.stringify(serializeModelConfig(small)));
  return file;
}

test('moebius random-model: an FP8 checkpoint in shards loads, answers and is inspected', async (context) => {
  const folder = temporaryFolder(context);
  const out = join(folder, 'model');
  const written = await moebiusJson(
    ...['random-model', out, '--model', writeConfig(folder)],
    ...['--shard-bytes', '3000000'],
  );
  assert.equal(written.hasTokenizer, true);
  const config = await readModelConfig(out);
  assert.deepEqual(config, {
    ...small,
    fp8WeightBlock: [128, 128],
    bosTokenId: 0,
    eosTokenId: 1,
  });
  assert.ok(readdirSync(out).filter((file) => file.endsWith('.safetensors')).length > 2);
  const inspected = await moebiusJson('inspect', out, '--memory', '--context', '512');
  const { memory, checkpointTensors: count } = inspected as {
    memory: { doesFit: boolean; numBlocks: number };
    checkpointTensors: number;
  };
  assert.equal(count, checkpointSize(config).tensors);
  assert.deepEqual([memory.doesFit, memory.numBlocks], [true, 8]);
  const generated = await moebiusJson(
    ...['generate', '--checkpoint', out, '--prompt', 'the sun is', '--max-tokens', '8'],
    '--ignore-eos',
  );
  assert.equal(generated.finishReason, 'length', JSON.stringify(generated));
});

test('moebius random-model: weights are finite, as wide as they should be, and the seed’s', async (context) => {
  const folder = temporaryFolder(context);
  const model = writeConfig(folder);
  const paths = ['a', 'b', 'c'].map((name) => join(folder, name));
  for (const [i, out] of paths.entries()) {
    await moebiusJson('random-model', out, '--model', model, '--seed', String(i === 2 ? 1 : 0));
  }
  const [a = '', b = '', c = ''] = paths.map((path) => join(path, 'model.safetensors'));
  assert.deepEqual(readFileSync(a), readFileSync(b));
  assert.notDeepEqual(readFileSync(a), readFileSync(c));
  const config = await readModelConfig(paths[0] ?? '');
  const weights = await openWeights(await openFolder(paths[0] ?? ''), config);
  for (const { name, kind, shape } of checkpointTensors(config)) {
    if (kind !== 'weight' || shape.length < 2) continue;
    const values = await weights.readTensor(name);
    const square = values.reduce((sum, value) => sum + value * value, 0) / values.length;
    const wanted = name.includes('embed_tokens') ? 1 : 1 / (shape[1] ?? 1);
    // Scales are off by a quarter each way, squares by more; NaN would be neither.
    assert.ok(square > 0.5 * wanted && square < 1.65 * wanted, `${name}: ${square}`);
  }
});

test('moebius random-model: other dtypes, and what cannot be', async (context) => {
  const folder = temporaryFolder(context);
  const model = writeConfig(folder);
  const out = join(folder, 'bf16');
  await moebiusJson('random-model', out, '--model', model, '--dtype', 'bf16');
  assert.equal((await readModelConfig(out)).fp8WeightBlock, null);
  assertRefused(await moebius('random-model', out, '--model', model), 'randomModel.exists');
  const other = join(folder, 'other');
  const wrong = await moebius('random-model', other, '--model', model, '--dtype', 'f8');
  assertRefused(wrong, 'randomModel.dtype');
  const inherited = await moebius('random-model', other, '--model', model, '--dtype', '__proto__');
  assertRefused(inherited, 'randomModel.dtype');
  const unknown = await moebius('random-model', other, '--model', 'moonlight-16b');
  assertRefused(unknown, 'config.unknownPreset');
  assert.ok(!existsSync(other));
  const narrow = await moebius('inspect', out, '--memory', '--cache-dtype', 'fp8');
  assertRefused(narrow, 'inspect.cacheDtype');
});

test('moebius random-model: its tokenizer has every id of the model, and reads what it writes', async (context) => {
  const folder = temporaryFolder(context);
  const out = join(folder, 'model');
  await moebiusJson('random-model', out, '--model', writeConfig(folder));
  const tokenizer = loadTokenizer(readFileSync(join(out, 'tokenizer.json')));
  assert.equal(tokenizer.vocabSize, small.vocabSize);
  for (const text of ['the sun is 7 times', 'Grüße, 世界 🌍\n', '']) {
    assert.equal(tokenizer.decode([...tokenizer.encode(text)]), text);
  }
  for (let id = 264; id < small.vocabSize; id++) {
    assert.match(tokenizer.decode([id]), /^[ A-Za-z0-9.]{2,3}$/);
  }
});
