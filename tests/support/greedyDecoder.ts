/**
 * Decoding one sequence on the model's serving passes, greedily and with one MTP draft per pass:
 * the plainest loops there are, which goldens hold to an independent implementation.
 */
import type { I32 } from '../../src/kernels/kernels.ts';
import { greedyToken } from '../../src/kernels/reference/sampling.ts';
import { gatherRows } from '../../src/model/embedding.ts';
import { draftRows, logitsOfRows, runRows, type States } from '../../src/model/inference.ts';
import {
  createLatentCaches,
  type LatentCaches,
  type ServingRows,
  uploadServingRows,
} from '../../src/model/servingRows.ts';
import type { LoadedModel } from './goldenModel.ts';

const BLOCK_SIZE = 4;

/** The serving passes for one sequence, whose blocks lie in the cache back to front. */
export class SequenceRunner {
  readonly #loaded: LoadedModel;
  readonly #caches: LatentCaches;
  readonly #blocks: readonly number[];

  constructor(loaded: LoadedModel) {
    const { config, context } = loaded;
    const numBlocks = Math.ceil(config.maxPositionEmbeddings / BLOCK_SIZE);
    const numLayers = config.numHiddenLayers + config.numNextnPredictLayers;
    this.#loaded = loaded;
    this.#blocks = Array.from({ length: numBlocks }, (_, i) => numBlocks - 1 - i);
    this.#caches = createLatentCaches({
      arena: context.kernels.createArena('cache'),
      config,
      layers: Array.from({ length: numLayers }, (_, layer) => layer),
      numBlocks,
      blockSize: BLOCK_SIZE,
    });
  }

  /** Runs new tokens; the states of their rows. */
  run(ids: readonly number[], firstPosition: number): States {
    const { context, model } = this.#loaded;
    const rows = this.#rows(ids, firstPosition);
    return runRows(context, model, { rows, caches: this.#caches });
  }

  /** Runs an MTP module behind some states; `next` are the tokens `depth` places on. */
  draft(
    depth: number,
    args: { previous: States; next: readonly number[]; firstPosition: number },
  ): States {
    const { context, model } = this.#loaded;
    const rows = this.#rows(args.next, args.firstPosition);
    const previous = args.previous[context.options.mtpHidden];
    return draftRows(context, model, { depth, previous, rows, caches: this.#caches });
  }

  /** Rows `first` … `end − 1` of some states. */
  slice(states: States, first: number, end: number): States {
    const [{ context }, rows] = [this.#loaded, this.#indices(first, end)];
    return {
      postNorm: gatherRows(context, states.postNorm, rows),
      preNorm: gatherRows(context, states.preNorm, rows),
    };
  }

  async logits(states: States, first: number, end: number): Promise<Float32Array[]> {
    const { context, model } = this.#loaded;
    const rows = this.#indices(first, end);
    const all = await context.kernels.read(logitsOfRows(context, model, { states, rows }));
    const width = all.length / (end - first);
    return Array.from({ length: end - first }, (_, i) => all.slice(i * width, (i + 1) * width));
  }

  async greedy(states: States, first: number, end: number): Promise<number[]> {
    return (await this.logits(states, first, end)).map(greedyToken);
  }

  #rows(ids: readonly number[], firstPosition: number): ServingRows {
    const { context, config } = this.#loaded;
    const numBlocks = Math.ceil((firstPosition + ids.length) / BLOCK_SIZE);
    return uploadServingRows({
      kernels: context.kernels,
      arena: context.arena,
      sequences: [{ ids, firstPosition, blocks: this.#blocks.slice(0, numBlocks) }],
      caches: this.#caches,
      vocabSize: config.vocabSize,
      maxPositions: config.maxPositionEmbeddings,
    });
  }

  #indices(first: number, end: number): I32 {
    const { context } = this.#loaded;
    const indices = context.arena.allocate('i32', [end - first]);
    context.kernels.write(
      indices,
      Int32Array.from({ length: end - first }, (_, i) => first + i),
    );
    return indices;
  }
}

/** Plain greedy decoding, and what MTP module 1 would have drafted behind each new token. */
export async function decodeGreedy(
  loaded: LoadedModel,
  prompt: readonly number[],
  numTokens: number,
): Promise<{ generated: number[]; drafts: number[] }> {
  const runner = new SequenceRunner(loaded);
  const generated: number[] = [];
  const drafts: number[] = [];
  let ids = prompt;
  let position = 0;
  while (generated.length < numTokens) {
    const states = runner.run(ids, position);
    const [token = -1] = await runner.greedy(states, ids.length - 1, ids.length);
    generated.push(token);
    if (loaded.config.numNextnPredictLayers > 0) {
      const next = [...ids.slice(1), token];
      const drafted = runner.draft(1, { previous: states, next, firstPosition: position });
      drafts.push(...(await runner.greedy(drafted, ids.length - 1, ids.length)));
    }
    position += ids.length;
    ids = [token];
  }
  return { generated, drafts };
}

/** Greedy decoding in which every pass also verifies one draft. */
export async function decodeSpeculatively(
  loaded: LoadedModel,
  prompt: readonly number[],
  numTokens: number,
): Promise<{ generated: number[]; tokensPerPass: number[]; numAccepted: number }> {
  const runner = new SequenceRunner(loaded);
  const generated: number[] = [];
  const tokensPerPass: number[] = [];
  let [ids, position, draft] = [prompt, 0, -1];
  while (generated.length < numTokens) {
    const isFirst = generated.length === 0;
    const states = runner.run(isFirst ? ids : [...ids, draft], position);
    const numSampled = isFirst ? 1 : 2;
    const end = ids.length - 1 + numSampled;
    const sampled = await runner.greedy(states, ids.length - 1, end);
    const numKept = sampled[0] === draft ? numSampled : 1;
    const tokens = sampled.slice(0, numKept);
    generated.push(...tokens);
    tokensPerPass.push(numKept);
    // The module runs behind the rows that stand: all but a refused draft's.
    const numRows = ids.length - 1 + numKept;
    const drafted = runner.draft(1, {
      previous: runner.slice(states, 0, numRows),
      next: [...ids.slice(1), ...tokens],
      firstPosition: position,
    });
    [draft = -1] = await runner.greedy(drafted, numRows - 1, numRows);
    position += numRows;
    ids = tokens.slice(-1);
  }
  const numAccepted = tokensPerPass.filter((kept) => kept === 2).length;
  return { generated: generated.slice(0, numTokens), tokensPerPass, numAccepted };
}
