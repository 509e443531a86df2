/** Shards and their index: written as the Hub has them, and refused where the two disagree. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { goldenFolder } from '../../tests/support/golden.ts';
import { type MemoryFolder, memoryFolder } from '../../tests/support/memoryFolder.ts';
import type { TensorToWrite } from './safetensors.ts';
import { openCheckpoint, writeCheckpoint } from './shards.ts';

const INDEX = 'model.safetensors.index.json';

/** `count` tensors of 100 bytes, each filled with its number. */
function tensors(count: number): readonly TensorToWrite[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `t${index}`,
    dtype: 'U8' as const,
    shape: [100],
    bytes: () => new Uint8Array(100).fill(index),
  }));
}

async function sharded(count: number, maxShardBytes: number): Promise<MemoryFolder> {
  const folder = memoryFolder();
  await writeCheckpoint(tensors(count), { create: folder.create, maxShardBytes });
  return folder;
}

function readIndex(folder: MemoryFolder): { weight_map: Record<string, unknown> } {
  return JSON.parse(new TextDecoder().decode(folder.files.get(INDEX)));
}

function setIndex(folder: MemoryFolder, index: unknown): void {
  const text = typeof index === 'string' ? index : JSON.stringify(index);
  folder.files.set(INDEX, new TextEncoder().encode(text));
}

test('Shards: a model that fits is one file without an index', async () => {
  const folder = await sharded(5, 500);
  assert.deepEqual([...folder.files.keys()], ['model.safetensors']);
  const checkpoint = await openCheckpoint(folder);
  assert.deepEqual(await checkpoint.bytes('t3'), new Uint8Array(100).fill(3));
});

test('Shards: a larger model is split in order, with an index of every tensor', async () => {
  const folder = memoryFolder();
  const options = { create: folder.create, maxShardBytes: 250 };
  const files = await writeCheckpoint(tensors(5), options);
  const [a, b, c] = [1, 2, 3].map((n) => `model-0000${n}-of-00003.safetensors`);
  assert.deepEqual(files, [a, b, c, INDEX]);
  assert.deepEqual(readIndex(folder), {
    metadata: { total_size: 500 },
    weight_map: { t0: a, t1: a, t2: b, t3: b, t4: c },
  });
  const checkpoint = await openCheckpoint(folder);
  assert.equal(checkpoint.tensors.size, 5);
  for (let i = 0; i < 5; i++) {
    assert.deepEqual(await checkpoint.bytes(`t${i}`), new Uint8Array(100).fill(i));
  }
});

test('Shards: a tensor larger than a shard has one of its own', async () => {
  const folder = await sharded(3, 10);
  assert.equal(folder.files.size, 4);
  assert.equal((await openCheckpoint(folder)).tensors.size, 3);
});

test('Shards: the metadata that Transformers looks for is written', async () => {
  const folder = await sharded(1, 1000);
  const bytes = folder.files.get('model.safetensors') ?? new Uint8Array();
  assert.match(new TextDecoder().decode(bytes.subarray(8, 60)), /"__metadata__":\{"format":"pt"\}/);
});

test('Shards: a golden model opens', async () => {
  const { tensors: found } = await openCheckpoint(goldenFolder('v3-tiny-trained'));
  assert.equal(found.size, 135);
  assert.deepEqual(found.get('lm_head.weight')?.shape, [24, 48]);
});

test('Shards: asking for a tensor that is not there is an error with its name', async () => {
  const checkpoint = await openCheckpoint(await sharded(1, 1000));
  await assert.rejects(checkpoint.bytes('t9'), { code: 'checkpoint.noTensor', message: /"t9"/ });
});

test('Shards: a folder without weights says what to do about what it has', async () => {
  const cases: readonly (readonly [files: readonly string[], hint: RegExp])[] = [
    [['config.json'], /folder that holds the weights/],
    [['model-00001-of-00002.safetensors'], /index\.json too/],
    [['pytorch_model.bin'], /Convert pytorch_model\.bin/],
  ];
  for (const [files, hint] of cases) {
    const folder = memoryFolder(files.map((file) => [file, new Uint8Array()]));
    await assert.rejects(openCheckpoint(folder), { code: 'checkpoint.missing', hint });
  }
});

test('Shards: one file and an index side by side are refused', async () => {
  const folder = await sharded(2, 100);
  folder.files.set('model.safetensors', new Uint8Array());
  await assert.rejects(openCheckpoint(folder), { code: 'checkpoint.ambiguous' });
});

test('Shards: missing shard files are all named', async () => {
  const folder = await sharded(12, 100);
  for (const file of [...folder.files.keys()].slice(0, 11)) folder.files.delete(file);
  await assert.rejects(openCheckpoint(folder), {
    code: 'checkpoint.missingShard',
    message: /11 of 12 shards: model-00001-of-00012.*, and 1 more/,
  });
});

test('Shards: an index that leads out of the folder is refused', async () => {
  const paths = [
    '../model-00001-of-00002.safetensors',
    '/etc/passwd',
    '/etc/model.safetensors',
    'sub/model.safetensors',
    'sub\\model.safetensors',
    '..\\model.safetensors',
    'C:model.safetensors',
    'C:\\model.safetensors',
    '..safetensors',
    'a..b.safetensors',
    '.hidden.safetensors',
    'model.safetensors\0',
    'model.safetensors\n',
    'http://x/model.safetensors',
    'config.json',
    '',
    3,
    null,
  ];
  for (const path of paths) {
    const folder = await sharded(2, 100);
    const index = readIndex(folder);
    setIndex(folder, { ...index, weight_map: { ...index.weight_map, t0: path } });
    await assert.rejects(openCheckpoint(folder), { code: 'checkpoint.unsafePath' }, String(path));
  }
});

test('Shards: an index without a map, or that is not JSON, is refused', async () => {
  const cases: readonly (readonly [index: unknown, code: string])[] = [
    [{}, 'index'],
    [[], 'index'],
    [{ weight_map: [] }, 'index'],
    [{ weight_map: {} }, 'index'],
    ['{"weight_map":', 'notJson'],
    ['{"weight_map":{"t0":"a.safetensors","t0":"b.safetensors"}}', 'duplicateKey'],
  ];
  for (const [index, code] of cases) {
    const folder = await sharded(2, 100);
    setIndex(folder, index);
    await assert.rejects(openCheckpoint(folder), { code: `checkpoint.${code}` });
  }
});

test('Shards: a tensor in the index alone is named, and one in a shard alone', async () => {
  const listed = await sharded(2, 100);
  const index = readIndex(listed);
  setIndex(listed, { weight_map: { ...index.weight_map, ghost: index.weight_map.t0 } });
  await assert.rejects(openCheckpoint(listed), {
    code: 'checkpoint.shards',
    message: /1 listed but absent: ghost \(model-00001-of-00002\.safetensors\)/,
  });
  const unlisted = await sharded(4, 200);
  const { t1, ...rest } = readIndex(unlisted).weight_map;
  assert(t1 !== undefined);
  setIndex(unlisted, { weight_map: rest });
  await assert.rejects(openCheckpoint(unlisted), {
    code: 'checkpoint.shards',
    message: /1 present but not listed: t1/,
  });
});

test('Shards: the same tensor in two shards is refused', async () => {
  const folder = await sharded(2, 100);
  const [first] = [...folder.files.entries()];
  assert(first !== undefined);
  const index = readIndex(folder);
  folder.files.set('model-more.safetensors', first[1]);
  setIndex(folder, {
    weight_map: { ...index.weight_map, t9: 'model-more.safetensors' },
  });
  await assert.rejects(openCheckpoint(folder), {
    code: 'checkpoint.shards',
    message: /t9 .*present but not listed: t0/s,
  });
});

test('Shards: a damaged shard is refused by its name', async () => {
  const folder = await sharded(2, 100);
  const file = 'model-00002-of-00002.safetensors';
  folder.files.set(file, (folder.files.get(file) ?? new Uint8Array()).slice(0, -1));
  await assert.rejects(openCheckpoint(folder), {
    code: 'checkpoint.offsets',
    message: /model-00002-of-00002/,
  });
});
