/** The plan of memory against what a model then takes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import { MoebiusError } from '../../src/base/errors.ts';
import { deepseekV3 } from '../../src/config/presets/deepseekV3.ts';
import { moonlight16bA3b } from '../../src/config/presets/moonshot.ts';
import { v3Mini } from '../../src/config/presets/small.ts';
import {
  CACHE_DTYPES,
  cacheBytesPerLayer,
  planServingMemory,
  refuseUnlessFits,
} from '../../src/config/servingMemory.ts';
import { cacheBytesPerToken } from '../../src/kernels/latentCache.ts';
import { createReferenceKernels } from '../../src/kernels/reference.ts';
import { BlockManager } from '../../src/policy/cache/blockManager.ts';
import { LocalServingExecutor } from '../../src/runtime/localServingExecutor.ts';
import { machineMemory } from '../../src/runtime/machineMemory.ts';
import { type ModelFacts, openModel } from '../../src/runtime/openModel.ts';
import { generateTokens } from '../../src/serving/generate.ts';
import type { Arena } from '../../src/tensor/arena.ts';
import { goldenRoot } from '../support/golden.ts';

const [blockSize, numBlocks] = [4, 16];

for (const folder of ['v3-tiny', 'v3-tiny-fp8']) {
  test(`planServingMemory: a prompt takes what was planned, and not half of it (${folder})`, async () => {
    const plain = createReferenceKernels();
    const arenas = new Map<string, Arena>();
    const kernels = {
      ...plain,
      createArena: (label: string) => {
        const arena = plain.createArena(label);
        arenas.set(label, arena);
        return arena;
      },
    };
    let facts: ModelFacts | undefined;
    const opened = await openModel({
      path: `${goldenRoot}/${folder}`,
      kernels,
      beforeLoading: (about) => {
        facts = about;
      },
    });
    const { config, model, weightBytes } = opened;
    const context = blockSize * numBlocks;
    const numTokens = 48;
    const executor = new LocalServingExecutor({
      ...{ kernels, model, clock: new ManualClock(), numBlocks, blockSize },
      ...{ maxPositions: context, mtpHidden: 'postNorm' },
    });
    const generation = generateTokens(executor, new BlockManager({ numBlocks, blockSize }), {
      sequenceId: 0,
      promptIds: Array.from({ length: numTokens }, (_, i) => (7 * i) % config.vocabSize),
      maxTokens: 1,
      sampling: { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 },
      endIds: new Set(),
      numDrafts: 0,
      maxContext: context,
    });
    while ((await generation.next()).done !== true);
    assert.ok(facts !== undefined);
    // Padding to cache lines is all that is not counted.
    assert.ok(Math.abs(facts.weightBytes - weightBytes) < 0.05 * weightBytes);
    const { rows } = planServingMemory({
      ...{ config, weightBytes, cacheDType: 'f32', context, numSequences: 1, blockSize },
      ...{ chunkTokens: numTokens, availableBytes: 2 ** 40 },
    });
    const planned = (...names: readonly string[]): number =>
      rows.filter(({ name }) => names.includes(name)).reduce((sum, { bytes }) => sum + bytes, 0);
    const taken = arenas.get('serving')?.peakBytes ?? 0;
    const activations = planned('activations', 'logits');
    assert.ok(taken <= activations, `${taken} of ${activations}`);
    assert.ok(activations < 2.5 * taken, `${activations} for ${taken}`);
  });
}

test('openModel: what would not fit is refused before anything is loaded', async () => {
  const kernels = createReferenceKernels();
  const opening = openModel({
    path: `${goldenRoot}/v3-tiny`,
    kernels,
    beforeLoading: ({ config, weightBytes, maxPositions }) =>
      refuseUnlessFits(
        planServingMemory({
          ...{ config, weightBytes, cacheDType: 'bf16', context: maxPositions, numSequences: 1 },
          ...{ blockSize, chunkTokens: 64, availableBytes: 2 ** 20 },
        }),
      ),
  });
  await assert.rejects(opening, (error: unknown) => {
    return error instanceof MoebiusError && error.code === 'memory.doesNotFit';
  });
});

/** Files of a machine, by path. */
function machine(files: Readonly<Record<string, string>>): (path: string) => string | null {
  return (path) => files[path] ?? null;
}

const MEMINFO = 'MemTotal:       24684112 kB\nMemFree: 1 kB\nMemAvailable:   22000000 kB\n';

test('machineMemory: the smallest of memory, container and process limit counts', () => {
  const plain = machineMemory(machine({ '/proc/meminfo': MEMINFO }));
  assert.deepEqual(plain, {
    availableBytes: 22000000 * 1024,
    totalBytes: 24684112 * 1024,
    limitedBy: 'memory',
  });
  const container = {
    '/proc/meminfo': MEMINFO,
    '/sys/fs/cgroup/memory.max': '8000000000\n',
    '/sys/fs/cgroup/memory.current': '5000000000\n',
    '/sys/fs/cgroup/memory.stat': 'anon 1\ninactive_file 1000000000\n',
  };
  assert.equal(machineMemory(machine(container)).availableBytes, 4_000_000_000);
  assert.equal(machineMemory(machine(container)).limitedBy, 'container');
  const unlimited = { ...container, '/sys/fs/cgroup/memory.max': 'max\n' };
  assert.equal(machineMemory(machine(unlimited)).limitedBy, 'memory');
  const limited = {
    ...container,
    '/proc/self/limits': 'Max address space         6000000000           6000000000    bytes\n',
    '/proc/self/status': 'VmSize:\t 3000000 kB\n',
  };
  assert.deepEqual(machineMemory(machine(limited)), {
    availableBytes: 6_000_000_000 - 3_000_000 * 1024,
    totalBytes: plain.totalBytes,
    limitedBy: 'process limit',
  });
});

test('machineMemory: this machine has memory', () => {
  const { availableBytes, totalBytes } = machineMemory();
  assert.ok(availableBytes > 0 && availableBytes <= totalBytes);
});

test('cacheBytesPerLayer: a cache takes what the kernels lay out', () => {
  for (const config of [deepseekV3, moonlight16bA3b, v3Mini, { ...v3Mini, kvLoraRank: 200 }]) {
    const widths = { latent: config.kvLoraRank, rope: config.qkRopeHeadDim };
    for (const dtype of CACHE_DTYPES) {
      assert.equal(cacheBytesPerLayer(config, dtype), cacheBytesPerToken(dtype, widths));
    }
  }
});
