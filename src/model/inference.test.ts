/**
 * Serving is the forward pass: however tokens are cut into prompts, chunks, single steps and
 * batches with other sequences, their logits are those of one pass over everything.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maxError } from '../../tests/support/golden.ts';
import { freshModel, type LoadedModel } from '../../tests/support/goldenModel.ts';
import { SequenceRunner } from '../../tests/support/greedyDecoder.ts';
import { runStep } from '../../tests/support/modelStep.ts';
import { tinyIds, tinyV3, tinyVariants } from '../../tests/support/tinyConfig.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import { createReferenceKernels } from '../kernels/reference.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { LossOptions } from './context.ts';
import { logitsOfRows, runRows, type States } from './inference.ts';
import { nextTokenBatch } from './microBatch.ts';
import { createLatentCaches, type SequenceRows, uploadServingRows } from './servingRows.ts';

const kernels = createReferenceKernels({ poison: true });
const LENGTH = 11;
/** Two orders of summation in float32, on logits of about 3. */
const NOISE = 5e-5;

function tokens(config: ModelConfig, seed = 5): number[] {
  const { vocabSize } = config;
  return tinyIds({ sequences: 1, length: LENGTH, vocabSize, seed })[0] ?? [];
}

/** Logits of the plain forward pass: `logits`, and `mtp_logits.k` per depth, row by row. */
async function forwardLogits(
  config: ModelConfig,
  ids: readonly number[],
  options: Partial<LossOptions> = {},
): Promise<{ loaded: LoadedModel; rowsOf: (name: string) => Promise<Float32Array[]> }> {
  const captured = new Map<string, Tensor>();
  const capture = (name: string, tensor: Tensor): unknown => captured.set(name, tensor);
  const loaded = freshModel(kernels, config, { capture, options });
  await runStep(loaded, [nextTokenBatch([[...ids]], config.numNextnPredictLayers)], 'none');
  const rowsOf = async (name: string): Promise<Float32Array[]> => {
    const tensor = captured.get(name);
    assert(tensor !== undefined);
    const all = (await kernels.read(tensor)) as Float32Array;
    const width = config.vocabSize;
    return Array.from({ length: all.length / width }, (_, i) =>
      all.slice(i * width, (i + 1) * width),
    );
  };
  return { loaded, rowsOf };
}

for (const [name, config] of Object.entries(tinyVariants)) {
  test(`${name}: prompt, chunk and single steps give the logits of one pass`, async () => {
    const ids = tokens(config);
    const { loaded, rowsOf } = await forwardLogits(config, ids);
    const expected = await rowsOf('logits');
    const runner = new SequenceRunner(loaded);
    let position = 0;
    for (const size of [4, 3, 1, 1, 2]) {
      const states = runner.run(ids.slice(position, position + size), position);
      for (const [i, logits] of (await runner.logits(states, 0, size)).entries()) {
        const error = maxError(logits, expected[position + i] ?? []);
        assert.ok(error <= NOISE, `position ${position + i}: ${error}`);
      }
      position += size;
    }
    assert.equal(position, LENGTH);
  });
}

for (const mtpHidden of ['postNorm', 'preNorm'] as const) {
  test(`MTP modules (${mtpHidden}) over their caches give the logits of one pass`, async () => {
    const ids = tokens(tinyV3);
    const { loaded, rowsOf } = await forwardLogits(tinyV3, ids, { mtpHidden });
    const expected = [await rowsOf('mtp_logits.0'), await rowsOf('mtp_logits.1')];
    const runner = new SequenceRunner(loaded);
    let position = 0;
    // The last two tokens are only ever embedded: depth 2 looks two places on.
    for (const size of [5, 1, 2, 1]) {
      let previous: States = runner.run(ids.slice(position, position + size), position);
      for (const depth of [1, 2]) {
        const next = ids.slice(position + depth, position + depth + size);
        previous = runner.draft(depth, { previous, next, firstPosition: position });
        for (const [i, logits] of (await runner.logits(previous, 0, size)).entries()) {
          const error = maxError(logits, expected[depth - 1]?.[position + i] ?? []);
          assert.ok(error <= NOISE, `depth ${depth}, position ${position + i}: ${error}`);
        }
      }
      position += size;
    }
  });
}

test('Sequences in one batch, prompts beside decodes, get the logits they get alone', async () => {
  const [a, b, c] = [tokens(tinyV3, 1), tokens(tinyV3, 2), tokens(tinyV3, 3)];
  const { loaded } = await forwardLogits(tinyV3, a);
  const { context, model } = loaded;
  const caches = createLatentCaches({
    arena: kernels.createArena('cache'),
    config: tinyV3,
    layers: [0, 1],
    numBlocks: 9,
    blockSize: 4,
  });
  const run = async (sequences: readonly SequenceRows[], lastRows: boolean) => {
    const { vocabSize, maxPositionEmbeddings: maxPositions } = tinyV3;
    const sizes = { caches, vocabSize, maxPositions };
    const rows = uploadServingRows({ kernels, arena: context.arena, sequences, ...sizes });
    const states = runRows(context, model, { rows, caches });
    const wanted = sequences.map(({ ids }, i) => {
      return (rows.firstRows[i] ?? 0) + (lastRows ? ids.length - 1 : 0);
    });
    const chosen = context.arena.allocate('i32', [wanted.length]);
    kernels.write(chosen, Int32Array.from(wanted));
    return kernels.read(logitsOfRows(context, model, { states, rows: chosen }));
  };
  const blocks = { a: [8, 1, 4], b: [0, 7, 2], c: [3, 5, 6] };
  await run([{ ids: a.slice(0, 5), firstPosition: 0, blocks: blocks.a.slice(0, 2) }], true);
  await run([{ ids: c.slice(0, 9), firstPosition: 0, blocks: blocks.c }], true);
  // A decode, a whole prompt, and two drafts at once, in an order that is not the machine's.
  const together = await run(
    [
      { ids: a.slice(5, 6), firstPosition: 5, blocks: blocks.a.slice(0, 2) },
      { ids: b.slice(0, 7), firstPosition: 0, blocks: blocks.b.slice(0, 2) },
      { ids: c.slice(9, 11), firstPosition: 9, blocks: blocks.c },
    ],
    true,
  );
  const alone = await Promise.all(
    [a.slice(0, 6), b.slice(0, 7), c].map(async (ids) => {
      const { rowsOf } = await forwardLogits(tinyV3, ids);
      return (await rowsOf('logits')).at(-1) ?? new Float32Array();
    }),
  );
  for (const [i, expected] of alone.entries()) {
    const logits = together.slice(i * tinyV3.vocabSize, (i + 1) * tinyV3.vocabSize);
    assert.ok(maxError(logits, expected) <= NOISE, `sequence ${i}`);
  }
});

test('A pass over cached rows needs only scratch memory, and gives it back', async () => {
  const ids = tokens(tinyV3);
  const { loaded } = await forwardLogits(tinyV3, ids);
  const { arena } = loaded.context;
  const runner = new SequenceRunner(loaded);
  runner.run(ids.slice(0, 4), 0);
  const mark = arena.mark();
  const before = arena.usedBytes;
  runner.run(ids.slice(4, 5), 4);
  const kept = arena.usedBytes - before;
  arena.release(mark);
  // Ids, positions, slots, table, and two states, each padded to 64 bytes; the rest is returned.
  assert.ok(kept <= 10 * 64, `${kept} bytes kept`);
});

test('Positions beyond the table and ids beyond the vocabulary are refused', async () => {
  const { loaded } = await forwardLogits(tinyV3, tokens(tinyV3));
  const runner = new SequenceRunner(loaded);
  assert.throws(() => runner.run([1, 2], 31), { code: 'input.tooLong' });
  assert.throws(() => runner.run([40], 0), { code: 'input.tokenOutOfRange' });
  assert.throws(() => runner.run([-1], 0), { code: 'input.tokenOutOfRange' });
});
