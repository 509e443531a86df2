/**
 * Logits through paged caches of every type, in batches, chunks, behind shared prefixes, after
 * preemption and with drafts, held to two things: the goldens, and a forward pass in doubles that
 * attends to the very numbers that are cached (`../support/plainModel.ts`).
 *
 * The second is tight whatever a cache's type. The first is then the rounding of the cache alone:
 * each cached number errs by 2⁻⁸ (bf16) or 2⁻⁴ (f8e4m3) of itself at most, attention averages them,
 * and norms keep the share, so that logits err by no larger a share of their mean square: by 0.0031
 * and 0.046. That holds of rows that go to the same experts: where two experts were about equally
 * good, rounding may choose the other one (in 8 of 64 rows, f8e4m3), and the row is another one.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { at } from '../../src/base/assert.ts';
import type { Kernels } from '../../src/kernels/kernels.ts';
import type { CacheDType } from '../../src/kernels/latentCache.ts';
import { DecodePasses } from '../../src/model/decodePasses.ts';
import { logitsOfRows, runRows } from '../../src/model/inference.ts';
import {
  createLatentCaches,
  type LatentCaches,
  type SequenceRows,
  uploadServingRows,
} from '../../src/model/servingRows.ts';
import { goldenJson, goldenTensor, goldenTensors } from '../support/golden.ts';
import { kernelsUnderTest, type LoadedModel, loadGoldenModel } from '../support/goldenModel.ts';
import { PlainModel } from '../support/plainModel.ts';

const FOLDER = 'v3-tiny';
const { input_ids: TEXTS } = goldenJson(`${FOLDER}/inputs.json`) as { input_ids: number[][] };
const LENGTH = at(TEXTS, 0).length;
const BLOCK_SIZE = 4;
const BLOCKS = LENGTH / BLOCK_SIZE;
const golden = goldenTensor(await goldenTensors(`${FOLDER}/expected.safetensors`), 'logits');
const plain = await PlainModel.open(FOLDER);
const VOCABULARY = at(golden.shape, 2);

/** Of one golden text, by position: the last that was computed. */
type Logits = Map<number, Float32Array>;

interface Part {
  readonly text: number;
  readonly first: number;
  readonly count: number;
  /** Tokens that are run in place of the text's last ones: drafts that will be refused. */
  readonly wrong?: number;
}

/** The texts in blocks of their own; block lists may be exchanged. */
class PagedTexts {
  readonly caches: LatentCaches;
  /** Cache blocks of each text, in order of position. */
  readonly blocks: number[][];
  readonly logits: Logits[] = TEXTS.map(() => new Map());
  readonly #loaded: LoadedModel;
  readonly #passes: DecodePasses;

  constructor(kernels: Kernels, loaded: LoadedModel, dtype: CacheDType) {
    this.#loaded = loaded;
    const { config, model, context } = loaded;
    const layers = model.blocks.map(({ layer }) => layer);
    const arena = kernels.createArena('caches');
    const sizes = { numBlocks: 3 * BLOCKS, blockSize: BLOCK_SIZE };
    this.caches = createLatentCaches({ arena, config, layers, ...sizes, dtype });
    const own = { ...context, arena: kernels.createArena('passes') };
    const maxPositions = config.maxPositionEmbeddings;
    this.#passes = new DecodePasses(own, model, { caches: this.caches, maxPositions });
    // In turns, so that none lies in one piece.
    this.blocks = TEXTS.map((_, text) => Array.from({ length: BLOCKS }, (_, i) => 3 * i + text));
  }

  /** Rows of prompts, or of decoding, in one pass. */
  async run(kind: 'prefill' | 'decode', parts: readonly Part[]): Promise<void> {
    const sequences = parts.map(({ text, first, count, wrong = 0 }): SequenceRows => {
      const ids = at(TEXTS, text).slice(first, first + count);
      const refused = ids.slice(count - wrong).map((id) => (id + 1) % VOCABULARY);
      const blocks = at(this.blocks, text);
      return { ids: [...ids.slice(0, count - wrong), ...refused], firstPosition: first, blocks };
    });
    const { kernels, arena } = this.#loaded.context;
    const mark = arena.mark();
    const { firstRows, rows } = await this.#logits(kind, sequences);
    const values = await kernels.read(rows);
    for (const [s, { text, first, count, wrong = 0 }] of parts.entries()) {
      for (let i = 0; i < count - wrong; i++) {
        const row = (at(firstRows, s) + i) * VOCABULARY;
        at(this.logits, text).set(first + i, values.slice(row, row + VOCABULARY));
      }
    }
    arena.release(mark);
  }

  async #logits(
    kind: 'prefill' | 'decode',
    sequences: readonly SequenceRows[],
  ): Promise<{ firstRows: readonly number[]; rows: ReturnType<typeof logitsOfRows> }> {
    const { context, model, config } = this.#loaded;
    const count = sequences.reduce((sum, { ids }) => sum + ids.length, 0);
    const all = Array.from({ length: count }, (_, i) => i);
    if (kind === 'decode') {
      const pass = this.#passes.run(sequences);
      return { firstRows: [...pass.firstRows], rows: pass.logits(all) };
    }
    const { kernels, arena } = context;
    const rows = uploadServingRows({
      ...{ kernels, arena, sequences, caches: this.caches, vocabSize: VOCABULARY },
      maxPositions: config.maxPositionEmbeddings,
    });
    const states = runRows(context, model, { rows, caches: this.caches });
    const chosen = arena.allocate('i32', [count]);
    kernels.write(chosen, Int32Array.from(all));
    const logits = logitsOfRows(context, model, { states, rows: chosen });
    return { firstRows: rows.firstRows, rows: logits };
  }

  /** `[latent | key]` as cached, by layer and position of a text. */
  async cached(text: number): Promise<Float32Array[][]> {
    const { context, config } = this.#loaded;
    const { kernels, arena } = context;
    const { kvLoraRank: C, qkRopeHeadDim: P } = config;
    const layers: Float32Array[][] = [];
    for (const cache of this.caches.layers.values()) {
      const latent_TC = arena.allocate('f32', [LENGTH, C]);
      const kPe_TP = arena.allocate('f32', [LENGTH, P]);
      const slots_T = arena.allocate('i32', [LENGTH]);
      const slots = Int32Array.from({ length: LENGTH }, (_, position) => {
        const block = at(at(this.blocks, text), Math.floor(position / BLOCK_SIZE));
        return block * BLOCK_SIZE + (position % BLOCK_SIZE);
      });
      kernels.write(slots_T, slots);
      kernels.readCache({ latent_TC, kPe_TP, cache, slots_T });
      const latents = await kernels.read(latent_TC);
      const keys = await kernels.read(kPe_TP);
      layers.push(
        Array.from({ length: LENGTH }, (_, t) =>
          Float32Array.from([
            ...latents.subarray(t * C, (t + 1) * C),
            ...keys.subarray(t * P, (t + 1) * P),
          ]),
        ),
      );
    }
    return layers;
  }
}

/** From `first` to the end, both texts in every pass. */
async function decodeBoth(texts: PagedTexts, first: number): Promise<void> {
  for (let position = first; position < LENGTH; position++) {
    await texts.run('decode', [
      { text: 0, first: position, count: 1 },
      { text: 1, first: position, count: 1 },
    ]);
  }
}

const SCHEDULES: Readonly<Record<string, (texts: PagedTexts) => Promise<void>>> = {
  'two texts in one batch': async (texts) => {
    await texts.run('prefill', [
      { text: 0, first: 0, count: 9 },
      { text: 1, first: 0, count: 9 },
    ]);
    await decodeBoth(texts, 9);
  },
  'prompts in chunks, among decoded rows': async (texts) => {
    await texts.run('prefill', [{ text: 0, first: 0, count: 3 }]);
    await texts.run('prefill', [
      { text: 0, first: 3, count: 7 },
      { text: 1, first: 0, count: 2 },
    ]);
    await texts.run('decode', [{ text: 0, first: 10, count: 1 }]);
    await texts.run('prefill', [
      { text: 1, first: 2, count: 10 },
      { text: 0, first: 11, count: 1 },
    ]);
    await decodeBoth(texts, 12);
  },
  'behind a prefix that another sequence cached': async (texts) => {
    await texts.run('prefill', [{ text: 0, first: 0, count: 16 }]);
    // Four whole blocks stay; the rest is computed again, elsewhere.
    const rest = at(texts.blocks, 0).slice(4);
    texts.blocks[0] = [...at(texts.blocks, 0).slice(0, 4), ...rest.map((block) => block + 2)];
    await texts.run('prefill', [
      { text: 0, first: 16, count: 5 },
      { text: 1, first: 0, count: 21 },
    ]);
    await decodeBoth(texts, 21);
  },
  'preempted, its blocks taken, and run again': async (texts) => {
    await texts.run('prefill', [{ text: 0, first: 0, count: 12 }]);
    await texts.run('decode', [{ text: 0, first: 12, count: 1 }]);
    const taken = at(texts.blocks, 0);
    texts.blocks[0] = at(texts.blocks, 1);
    texts.blocks[1] = taken;
    await texts.run('prefill', [{ text: 1, first: 0, count: 20 }]);
    await texts.run('prefill', [{ text: 0, first: 0, count: 20 }]);
    await decodeBoth(texts, 20);
  },
  'drafts, some of them refused': async (texts) => {
    await texts.run('prefill', [
      { text: 0, first: 0, count: 8 },
      { text: 1, first: 0, count: 8 },
    ]);
    for (let position = 8; position < LENGTH; position += 3) {
      const count = Math.min(4, LENGTH - position);
      const wrong = count === 4 ? 1 : 0;
      await texts.run('decode', [
        { text: 0, first: position, count, wrong },
        { text: 1, first: position, count },
      ]);
    }
  },
};

/**
 * How far a cached number may be from its own: half the distance of two codes, which is a share of
 * the number, or of the tile's largest where codes are subnormal (448 · scale, 2⁻¹⁰ · scale apart).
 */
const ROUNDING: Readonly<Record<CacheDType, { share: number; ofLargest: number }>> = {
  f32: { share: 0, ofLargest: 0 },
  bf16: { share: 2 ** -8, ofLargest: 0 },
  f8e4m3: { share: 2 ** -4, ofLargest: 2 ** -10 / 448 },
};
/** Of float32 sums, for latents and logits alike: the goldens' own tolerance. */
const NOISE = 5e-5;

function rms(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += at(values, i) ** 2;
  return Math.sqrt(sum / values.length);
}

test('PlainModel: gives the golden logits', () => {
  for (const [text, ids] of TEXTS.entries()) {
    const { logits } = plain.run(ids, () => null);
    for (const [t, row] of logits.entries()) {
      const first = (text * LENGTH + t) * VOCABULARY;
      for (const [v, logit] of row.entries()) {
        assert.ok(Math.abs(logit - at(golden.values, first + v)) <= NOISE);
      }
    }
  }
});

/** Experts in the goldens' own precision. */
const EXACT = TEXTS.map((ids) => plain.run(ids, () => null).routed);

for (const kernels of kernelsUnderTest()) {
  const loaded = await loadGoldenModel(kernels, FOLDER);
  const { kvLoraRank: C } = loaded.config;
  for (const dtype of ['f32', 'bf16', 'f8e4m3'] as const) {
    const schedules = Object.entries(SCHEDULES).slice(0, kernels.name === 'reference' ? 1 : 9);
    for (const [schedule, follow] of schedules) {
      test(`${kernels.name}, ${dtype} cache: logits, ${schedule}`, async () => {
        const texts = new PagedTexts(kernels, loaded, dtype);
        await follow(texts);
        const errors: number[] = [];
        for (const [text, ids] of TEXTS.entries()) {
          const layers = await texts.cached(text);
          const { logits, tokens, routed } = plain.run(ids, (layer, t) => at(at(layers, layer), t));
          for (const [layer, cached] of layers.entries()) {
            for (const [t, token] of cached.entries()) {
              const exact = at(at(tokens, layer), t);
              const largest = Math.max(...exact.subarray(0, C).map(Math.abs));
              for (const [i, x] of token.entries()) {
                // Keys keep bf16 in an f8e4m3 cache.
                const { share, ofLargest } = ROUNDING[dtype !== 'f32' && i >= C ? 'bf16' : dtype];
                const most = share * Math.abs(at(exact, i)) + ofLargest * largest + NOISE;
                const error = Math.abs(x - at(exact, i));
                assert.ok(error <= most, `layer ${layer}, position ${t}, ${i}: ${error}`);
              }
            }
          }
          assert.equal(at(texts.logits, text).size, LENGTH);
          for (const [t, got] of at(texts.logits, text)) {
            const isRoutedAlike = routed.every((layer, l) =>
              at(layer, t).every((expert, k) => expert === EXACT[text]?.[l]?.[t]?.[k]),
            );
            const first = (text * LENGTH + t) * VOCABULARY;
            for (const [v, logit] of got.entries()) {
              const error = Math.abs(logit - at(at(logits, t), v));
              assert.ok(error <= NOISE, `text ${text}, position ${t}, token ${v}: ${error}`);
              if (isRoutedAlike) errors.push(logit - at(golden.values, first + v));
            }
          }
        }
        assert.ok(errors.length >= 0.75 * golden.values.length, `${errors.length} routed alike`);
        const error = rms(errors) / rms(golden.values);
        assert.ok(error <= Math.max(ROUNDING[dtype].share, NOISE), `of the goldens: ${error}`);
        assert.equal(error > NOISE, dtype !== 'f32', 'narrow caches round');
      });
    }
  }
}
