/**
 * Decode passes that are laid out once, held to passes that are laid out each time: the same bits,
 * whatever changes from one step to the next.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at } from '../../src/base/assert.ts';
import { Random } from '../../src/base/random.ts';
import { type Kernels, MAX_DECODE_ROWS, type SamplingRule } from '../../src/kernels/kernels.ts';
import { DecodePasses } from '../../src/model/decodePasses.ts';
import { logitsOfRows, runRows } from '../../src/model/inference.ts';
import type { WantedRows } from '../../src/model/recordedDraw.ts';
import { sampleRows } from '../../src/model/sampler.ts';
import {
  createLatentCaches,
  type LatentCaches,
  type SequenceRows,
  uploadServingRows,
} from '../../src/model/servingRows.ts';
import type { Arena } from '../../src/tensor/arena.ts';
import { freshModel, kernelsUnderTest, type LoadedModel } from '../support/goldenModel.ts';
import { tinyV3 } from '../support/tinyConfig.ts';

const CONFIG = { ...tinyV3, maxPositionEmbeddings: 80 };
const { vocabSize, maxPositionEmbeddings: maxPositions } = CONFIG;
const [BLOCK_SIZE, NUM_BLOCKS] = [2, 200];
const RULE: SamplingRule = { temperature: 1, topK: 0, topP: 1, minP: 0, seed: 4 };

interface Sampled {
  readonly ids: number[];
  readonly logProbabilities: number[];
}

/** One model with caches of its own, stepped in one of two ways. */
class Stepper {
  readonly kernels: Kernels;
  readonly loaded: LoadedModel;
  readonly passes: DecodePasses;
  readonly #caches: LatentCaches;

  readonly arena: Arena;

  constructor(kernels: Kernels, seed = 1, maxBytes?: number) {
    this.kernels = kernels;
    this.loaded = freshModel(kernels, CONFIG, { seed });
    const [arena, layers] = [kernels.createArena('caches'), [0, 1]];
    const sizes = { numBlocks: NUM_BLOCKS, blockSize: BLOCK_SIZE };
    this.#caches = createLatentCaches({ arena, config: CONFIG, layers, ...sizes });
    this.arena = kernels.createArena('passes');
    const context = { ...this.loaded.context, arena: this.arena };
    const { model } = this.loaded;
    const args = { caches: this.#caches, maxPositions };
    this.passes = new DecodePasses(
      context,
      model,
      maxBytes === undefined ? args : { ...args, maxBytes },
    );
  }

  /** Laid out anew. */
  async plain(sequences: readonly SequenceRows[], wanted: WantedRows): Promise<Sampled> {
    const { context, model } = this.loaded;
    const { kernels, arena } = context;
    const caches = this.#caches;
    const mark = arena.mark();
    const limits = { caches, vocabSize, maxPositions };
    const rows = uploadServingRows({ kernels, arena, sequences, ...limits });
    const states = runRows(context, model, { rows, caches });
    const chosen = arena.allocate('i32', [wanted.chosen.length]);
    kernels.write(chosen, Int32Array.from(wanted.chosen));
    const logits = logitsOfRows(context, model, { states, rows: chosen });
    const sampled = await sampleRows(context, { logits, ...wanted });
    arena.release(mark);
    return { ids: [...sampled.ids], logProbabilities: [...sampled.logProbabilities] };
  }

  async recorded(sequences: readonly SequenceRows[], wanted: WantedRows): Promise<Sampled> {
    const pass = this.passes.run(sequences);
    const { ids, logProbabilities } = await pass.sample(wanted);
    return { ids: [...ids], logProbabilities: [...logProbabilities] };
  }
}

/** Sequences that grow, in blocks that lie anywhere. */
class Sequences {
  readonly #random = new Random(3, 'decode passes');
  readonly #lengths: number[] = [];
  readonly #blocks: number[][] = [];
  readonly #free = this.#shuffled(NUM_BLOCKS);

  #shuffled(count: number): number[] {
    const all = Array.from({ length: count }, (_, i) => i);
    return all.toSorted((a, b) => ((a * 37) % count) - ((b * 37) % count));
  }

  /** The next tokens of one of them. */
  next(sequence: number, count: number): SequenceRows {
    const firstPosition = this.#lengths[sequence] ?? 0;
    const blocks = this.#blocks[sequence] ?? [];
    while (blocks.length * BLOCK_SIZE < firstPosition + count) blocks.push(this.#free.pop() ?? -1);
    this.#lengths[sequence] = firstPosition + count;
    this.#blocks[sequence] = blocks;
    const ids = Array.from({ length: count }, () => this.#random.integer(vocabSize));
    return { ids, firstPosition, blocks: [...blocks] };
  }
}

/** Every last row, by rules and positions of its own. */
function lastRows(sequences: readonly SequenceRows[], salt: number): WantedRows {
  const ends: number[] = [];
  for (const { ids } of sequences) ends.push((ends.at(-1) ?? 0) + ids.length);
  return {
    chosen: ends.map((end) => end - 1),
    rules: ends.map((_, i) => ({ ...RULE, seed: i + salt })),
    positions: sequences.map(({ ids, firstPosition }) => firstPosition + ids.length),
  };
}

for (const makeKernels of kernelsUnderTest().map((_, i) => () => at(kernelsUnderTest(), i))) {
  const { name } = makeKernels();

  test(`${name}: passes of many shapes give the bits of passes laid out each time`, async () => {
    const [one, other] = [new Stepper(makeKernels()), new Stepper(makeKernels())];
    const sequences = new Sequences();
    const prompts = [5, 1, 33, 8].map((length, s) => sequences.next(s, length));
    for (const stepper of [one, other]) await stepper.plain(prompts, lastRows(prompts, 0));
    // Sequences and their new rows: one alone, drafts, others joining and leaving, back again.
    const steps: [sequence: number, rows: number][][] = [
      ...Array.from({ length: 4 }, (): [number, number][] => [[0, 1]]),
      [[1, 3]],
      [[2, 1]],
      [[0, 1]],
      [
        [0, 1],
        [1, 1],
      ],
      [
        [1, 2],
        [0, 1],
      ],
      [
        [1, 1],
        [2, 2],
      ],
      [
        [3, 1],
        [0, 1],
        [2, 1],
        [1, 1],
      ],
      [[2, MAX_DECODE_ROWS]],
      [
        [0, 2],
        [3, 4],
      ],
      // More shapes than are remembered.
      ...Array.from({ length: 12 }, (_, i): [number, number][] => [[i % 2, i + 3]]).slice(0, 6),
      ...Array.from({ length: 8 }, (_, i): [number, number][] => [
        [3, 1],
        [0, i + 1],
      ]),
      [[3, 1]],
      [[0, 1]],
    ];
    for (const [salt, step] of steps.entries()) {
      const rows = step.map(([sequence, count]) => sequences.next(sequence, count));
      const wanted = lastRows(rows, salt);
      const expected = await other.plain(rows, wanted);
      assert.deepEqual(await one.recorded(rows, wanted), expected, `step ${salt}`);
    }
  });

  test(`${name}: chosen rows, weights and given back memory are looked at anew`, async () => {
    const [one, other] = [new Stepper(makeKernels()), new Stepper(makeKernels())];
    const sequences = new Sequences();
    const prompt = [sequences.next(0, 4)];
    const steppers = [one, other];
    for (const stepper of steppers) await stepper.plain(prompt, lastRows(prompt, 0));
    const seen: Sampled[] = [];
    const step = async (chosen: number[]): Promise<void> => {
      const rows = [sequences.next(0, 3)];
      const rules = chosen.map(() => RULE);
      const wanted = { chosen, rules, positions: chosen.map((row) => row + 9) };
      const expected = await other.plain(rows, wanted);
      seen.push(await one.recorded(rows, wanted));
      assert.deepEqual(seen.at(-1), expected);
    };
    for (const chosen of [[0, 1, 2], [2], [0], [1, 2], [2, 1], [0]]) await step(chosen);
    for (const { kernels, loaded } of steppers) {
      for (const { weight } of loaded.model.parameters.parameters.values()) {
        kernels.scale({ x: weight.values as never, factor: 0.75 });
      }
    }
    await step([0]);
    const scratch = one.kernels.createArena('scratch');
    scratch.allocate('f32', [64]);
    scratch.free();
    await step([0]);
    await step([1, 2]);
  });

  test(`${name}: passes that take more than their bytes are forgotten, and made anew`, async () => {
    const maxBytes = 3000;
    const [one, other] = [new Stepper(makeKernels(), 1, maxBytes), new Stepper(makeKernels())];
    const sequences = new Sequences();
    const prompt = [sequences.next(0, 4)];
    for (const stepper of [one, other]) await stepper.plain(prompt, lastRows(prompt, 0));
    const begin = one.arena.usedBytes;
    const used: number[] = [];
    for (let salt = 0; salt < 24; salt++) {
      const rows = [sequences.next(0, 1 + (salt % 5))];
      const wanted = lastRows(rows, salt);
      assert.deepEqual(await one.recorded(rows, wanted), await other.plain(rows, wanted));
      used.push(one.arena.usedBytes - begin);
    }
    const numForgotten = used.filter((bytes, i) => bytes < (used[i - 1] ?? 0)).length;
    assert.ok(numForgotten >= 3, `${used}`);
    // The last pass is made whatever it takes.
    assert.ok(Math.max(...used) <= 1.5 * maxBytes, `${used}`);
  });

  test(`${name}: two models on the same kernels keep their own passes`, async () => {
    const kernels = makeKernels();
    const steppers = [1, 2].map((seed) => new Stepper(kernels, seed));
    const others = [1, 2].map((seed) => new Stepper(makeKernels(), seed));
    const sequences = new Sequences();
    const prompt = [sequences.next(0, 4)];
    for (const each of [...steppers, ...others]) await each.plain(prompt, lastRows(prompt, 0));
    for (let salt = 0; salt < 3; salt++) {
      const rows = [sequences.next(0, 1)];
      const wanted = lastRows(rows, salt);
      const got: Sampled[] = [];
      for (const [i, stepper] of steppers.entries()) {
        got.push(await stepper.recorded(rows, wanted));
        assert.deepEqual(got[i], await at(others, i).plain(rows, wanted));
      }
      assert.notDeepEqual(got[0]?.logProbabilities, got[1]?.logProbabilities);
    }
  });

  test(`${name}: what cannot be run is refused by a pass that is known, which stays good`, async () => {
    const [one, other] = [new Stepper(makeKernels()), new Stepper(makeKernels())];
    const sequences = new Sequences();
    const prompt = [sequences.next(0, 4)];
    for (const stepper of [one, other]) await stepper.plain(prompt, lastRows(prompt, 0));
    const good = [sequences.next(0, 1)];
    const wanted = lastRows(good, 0);
    const expected = await other.plain(good, wanted);
    assert.deepEqual(await one.recorded(good, wanted), expected);
    const with_ = (change: Partial<SequenceRows>): SequenceRows[] => [
      { ...at(good, 0), ...change },
    ];
    const { passes } = one;
    assert.throws(() => passes.run(with_({ ids: [vocabSize] })), { code: 'input.tokenOutOfRange' });
    assert.throws(() => passes.run(with_({ ids: [-1] })), { code: 'input.tokenOutOfRange' });
    const late = with_({ firstPosition: maxPositions, blocks: Array(16).fill(1) });
    assert.throws(() => passes.run(late), { code: 'input.tooLong' });
    assert.throws(() => passes.run(with_({ blocks: [0] })), /blocks for every position/);
    const foreign = with_({ blocks: [0, 1, NUM_BLOCKS] });
    assert.throws(() => passes.run(foreign), /blocks \[0,1,200\] of 200/);
    assert.throws(() => passes.run(with_({ ids: [] })), /a sequence runs one token or more/);
    const pass = passes.run(good);
    const hot = { ...wanted, rules: [{ ...RULE, topP: 3 }] };
    assert.throws(() => pass.sample(hot), { code: 'sampling.invalid' });
    assert.throws(() => pass.sample({ ...wanted, chosen: [1] }), /embedding: id 1/);
    assert.deepEqual(await one.recorded(good, wanted), expected);
  });

  test(`${name}: a prompt's rows may be decoded, too many rows are refused`, async () => {
    const { passes } = new Stepper(makeKernels());
    const sequences = new Sequences();
    assert.equal(passes.run([sequences.next(0, 4)]).shape.numRows, 4);
    const many = [sequences.next(0, MAX_DECODE_ROWS + 1)];
    assert.throws(() => passes.run(many), /rows in a pass over few/);
  });
}
