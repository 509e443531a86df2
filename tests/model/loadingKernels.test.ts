/**
 * Kernels that fetch experts: with every expert's weights wiped until it is asked for, tokens are
 * those of the whole model, and what nobody chose is never fetched.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import type { Kernels, Weight } from '../../src/kernels/kernels.ts';
import { type ExpertSource, loadingKernels } from '../../src/kernels/loadingKernels.ts';
import { createNativeKernels } from '../../src/kernels/native.ts';
import { createReferenceKernels } from '../../src/kernels/reference.ts';
import type { ParameterSet } from '../../src/model/parameters.ts';
import { BlockManager } from '../../src/policy/cache/blockManager.ts';
import { loadAddon } from '../../src/runtime/loadAddon.ts';
import { LocalServingExecutor } from '../../src/runtime/localServingExecutor.ts';
import { type OpenedModel, openModel } from '../../src/runtime/openModel.ts';
import { generateTokens } from '../../src/serving/generate.ts';
import { entry, hostArray } from '../../src/tensor/tensor.ts';

const loaded = loadAddon();
assert.ok('addon' in loaded, 'native kernels are built');
const backends: readonly Kernels[] = [createReferenceKernels(), createNativeKernels(loaded.addon)];

/** Experts whose bytes are all ones (NaN in every float) until they are needed. */
class WipedExperts implements ExpertSource {
  isComplete = false;
  readonly #kept = new Map<Weight, { values: Uint8Array[]; scales: Uint8Array[] }>();
  /** The two stacks of a layer, which come together. */
  readonly #layers: Weight[][];
  readonly fetched = new Set<string>();

  constructor(set: ParameterSet) {
    const stacks = [...set.parameters.values()].filter(({ name }) => name.includes('.experts.'));
    const byLayer = Map.groupBy(stacks, ({ name }) => name.split('.experts.')[0]);
    this.#layers = [...byLayer.values()].map((layer) => layer.map(({ weight }) => weight));
    for (const { weight } of stacks) {
      const all = expertBytes(weight);
      this.#kept.set(weight, {
        values: all.values.map((bytes) => bytes.slice()),
        scales: all.scales.map((bytes) => bytes.slice()),
      });
      for (const bytes of [...all.values, ...all.scales]) bytes.fill(255);
    }
  }

  get numExperts(): number {
    return this.#layers.reduce((sum, layer) => sum + (layer[0]?.values.shape[0] ?? 0), 0);
  }

  isPartial(weight: Weight): boolean {
    return this.#kept.has(weight);
  }

  need(weight: Weight, experts: readonly number[]): void {
    const index = this.#layers.findIndex((each) => each.includes(weight));
    for (const expert of experts) {
      this.fetched.add(`${index}.${expert}`);
      for (const stack of this.#layers[index] ?? []) {
        const kept = this.#kept.get(stack);
        const { values, scales } = expertBytes(stack);
        values[expert]?.set(kept?.values[expert] ?? []);
        scales[expert]?.set(kept?.scales[expert] ?? []);
      }
    }
  }

  fetchAll(): void {
    for (const [stack] of this.#kept) {
      this.need(
        stack,
        Array.from({ length: stack.values.shape[0] ?? 0 }, (_, expert) => expert),
      );
    }
    this.isComplete = true;
  }
}

function expertBytes({ values, scales }: Weight): { values: Uint8Array[]; scales: Uint8Array[] } {
  const each = (tensor: Weight['values']): Uint8Array[] =>
    Array.from({ length: tensor.shape[0] ?? 0 }, (_, expert) => {
      const { buffer, byteOffset, byteLength } = hostArray(entry(tensor, expert));
      return new Uint8Array(buffer, byteOffset, byteLength);
    });
  return { values: each(values), scales: scales === undefined ? [] : each(scales) };
}

for (const kernels of backends) {
  for (const folder of ['v3-tiny', 'v3-tiny-fp8']) {
    test(`loadingKernels: only chosen experts are fetched (${kernels.name}, ${folder})`, async () => {
      const path = new URL(`../golden/${folder}`, import.meta.url).pathname;
      const opened = await openModel({ path, kernels });
      const wanted = await tokensOf(opened, executorOf(opened, kernels));
      const source = new WipedExperts(opened.parameters);
      const arena = kernels.createArena('loading');
      const executor = executorOf(opened, loadingKernels(kernels, source, arena));
      assert.deepEqual(await tokensOf(opened, executor), wanted);
      const numFetched = source.fetched.size;
      assert.ok(numFetched > 0 && numFetched < source.numExperts, `${numFetched} were fetched`);
      source.fetchAll();
      assert.deepEqual(await tokensOf(opened, executor), wanted, 'when all are there');
      assert.equal(arena.usedBytes, 0);
    });
  }
}

function executorOf({ model }: OpenedModel, kernels: Kernels): LocalServingExecutor {
  return new LocalServingExecutor({
    kernels,
    model,
    clock: new ManualClock(),
    numBlocks: 16,
    blockSize: 4,
    maxPositions: 64,
    mtpHidden: 'postNorm',
  });
}

async function tokensOf(opened: OpenedModel, executor: LocalServingExecutor): Promise<number[]> {
  const generation = generateTokens(executor, new BlockManager({ numBlocks: 16, blockSize: 4 }), {
    sequenceId: 0,
    promptIds: [5],
    maxTokens: 3,
    sampling: { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 },
    endIds: new Set(),
    numDrafts: opened.model.mtp.length,
    maxContext: 64,
  });
  const ids: number[] = [];
  for (let next = await generation.next(); next.done !== true; next = await generation.next()) {
    ids.push(next.value.id);
  }
  return ids;
}
