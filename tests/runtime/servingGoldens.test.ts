/**
 * The serving executor under the real generation loop, on the golden decodes: greedy tokens, what
 * the MTP module drafts, and how many passes speculation saves.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import type { Kernels } from '../../src/kernels/kernels.ts';
import { createReferenceKernels } from '../../src/kernels/reference.ts';
import { BlockManager } from '../../src/policy/cache/blockManager.ts';
import type { Sampling } from '../../src/program/instruction.ts';
import { LocalServingExecutor } from '../../src/runtime/localServingExecutor.ts';
import { openModel, readJson } from '../../src/runtime/openModel.ts';
import { type GenerationSummary, generateTokens } from '../../src/serving/generate.ts';

interface Decode {
  readonly prompt: number[];
  readonly generated: number[];
}

interface TrainedRun extends Decode {
  readonly spec_depth1: {
    readonly main_passes_including_prefill: number;
    readonly drafts_accepted: number;
  };
}

const greedy: Sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 };

function goldenPath(folder: string): string {
  return new URL(`../golden/${folder}`, import.meta.url).pathname;
}

async function openExecutor(
  folder: string,
  kernels: Kernels,
): Promise<{ executor: LocalServingExecutor; cache: BlockManager }> {
  const { model, maxPositions } = await openModel({ path: goldenPath(folder), kernels });
  const [numBlocks, blockSize] = [20, 4];
  const executor = new LocalServingExecutor({
    kernels,
    model,
    clock: new ManualClock(),
    numBlocks,
    blockSize,
    maxPositions,
    mtpHidden: 'postNorm',
  });
  return { executor, cache: new BlockManager({ numBlocks, blockSize }) };
}

async function generateAll(
  opened: Awaited<ReturnType<typeof openExecutor>>,
  { decode, numDrafts, sampling }: { decode: Decode; numDrafts: number; sampling: Sampling },
): Promise<{ ids: number[]; summary: GenerationSummary }> {
  const generation = generateTokens(opened.executor, opened.cache, {
    sequenceId: 0,
    promptIds: decode.prompt,
    maxTokens: decode.generated.length,
    sampling,
    endIds: new Set(),
    numDrafts,
    maxContext: 64,
  });
  const ids: number[] = [];
  let next = await generation.next();
  for (; next.done !== true; next = await generation.next()) ids.push(next.value.id);
  return { ids, summary: next.value };
}

test('LocalServingExecutor: greedy tokens are the golden ones, drafts or not', async () => {
  const decode = (await readJson(`${goldenPath('v3-tiny')}/decode.json`)) as Decode;
  const opened = await openExecutor('v3-tiny', createReferenceKernels({ poison: true }));
  for (const numDrafts of [0, 1, 3]) {
    const { ids } = await generateAll(opened, { decode, numDrafts, sampling: greedy });
    assert.deepEqual(ids, decode.generated, `${numDrafts} drafts`);
  }
});

test('LocalServingExecutor: a trained MTP module saves the golden number of passes', async () => {
  const { runs } = (await readJson(`${goldenPath('v3-tiny-trained')}/decode.json`)) as {
    runs: TrainedRun[];
  };
  const opened = await openExecutor('v3-tiny-trained', createReferenceKernels({ poison: true }));
  for (const run of runs) {
    const plain = await generateAll(opened, { decode: run, numDrafts: 0, sampling: greedy });
    assert.deepEqual(plain.ids, run.generated);
    const drafted = await generateAll(opened, { decode: run, numDrafts: 1, sampling: greedy });
    assert.deepEqual(drafted.ids, run.generated);
    const { main_passes_including_prefill, drafts_accepted } = run.spec_depth1;
    assert.equal(drafted.summary.numPasses + 1, main_passes_including_prefill);
    // The golden run accepts one draft past the last token that is asked for, where it can.
    assert.equal(drafted.summary.numAccepted, run.generated.length - main_passes_including_prefill);
    assert.ok([0, 1].includes(drafts_accepted - drafted.summary.numAccepted));
  }
});

test('LocalServingExecutor: sampled tokens do not depend on drafting', async () => {
  const { runs } = (await readJson(`${goldenPath('v3-tiny-trained')}/decode.json`)) as {
    runs: TrainedRun[];
  };
  const opened = await openExecutor('v3-tiny-trained', createReferenceKernels());
  const [run] = runs;
  assert.ok(run !== undefined);
  const decode = { ...run, generated: run.generated.slice(0, 24) };
  let accepted = 0;
  for (const seed of [1, 2]) {
    const sampling = { temperature: 1, topK: 0, topP: 0.95, minP: 0, seed };
    const plain = await generateAll(opened, { decode, numDrafts: 0, sampling });
    for (const numDrafts of [1, 2]) {
      const drafted = await generateAll(opened, { decode, numDrafts, sampling });
      assert.deepEqual(drafted.ids, plain.ids, `seed ${seed}, ${numDrafts} drafts`);
      accepted += drafted.summary.numAccepted;
    }
  }
  assert.ok(accepted > 0);
});
