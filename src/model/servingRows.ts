/**
 * The rows of one serving pass on the machine, and the paged caches they write to.
 *
 * A cache block holds `blockSize` positions of one sequence; a sequence's blocks are listed in
 * order of position, so position p lies in slot blocks[p / blockSize] · blockSize + p mod
 * blockSize. Each layer keeps the latent and the rotated rope key of a token, C + P numbers (V3:
 * 576).
 *
 * Prompts that begin at position 0 come first, since they need no cache to attend to; every other
 * row (the rest of a long prompt, a decoded token, a draft) attends to what is cached.
 */
import { assert, at } from '../base/assert.ts';
import { MoebiusError } from '../base/errors.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import type { F32, I32, Kernels } from '../kernels/kernels.ts';
import type { Arena } from '../tensor/arena.ts';
import { checkIds } from './microBatch.ts';

/** Tokens of one sequence at consecutive positions, in the shape of `program/instruction.ts`. */
export interface SequenceRows {
  readonly ids: readonly number[];
  readonly firstPosition: number;
  /** Cache blocks in order of position; they cover every position up to the last row's. */
  readonly blocks: readonly number[];
}

export interface ServingRows {
  readonly count: number;
  readonly ids: I32;
  readonly positions: I32;
  readonly slots: I32;
  /** Row offsets of the prompts, first 0; the rows after the last one attend to the cache. */
  readonly prompts: readonly number[];
  /** null when all rows are prompts. */
  readonly cached: {
    readonly blockTable: I32;
    readonly sequence_T: I32;
    readonly length_T: I32;
  } | null;
  /** First row of each sequence, in the order in which they were given. */
  readonly firstRows: readonly number[];
}

/** By layer index; MTP depth k has the layer `numHiddenLayers + k − 1`. */
export interface LatentCaches {
  readonly blockSize: number;
  readonly numBlocks: number;
  readonly layers: ReadonlyMap<number, F32>;
}

export function createLatentCaches(args: {
  arena: Arena;
  config: ModelConfig;
  layers: readonly number[];
  numBlocks: number;
  blockSize: number;
}): LatentCaches {
  const { arena, config, layers, numBlocks, blockSize } = args;
  const shape = [numBlocks, blockSize, config.kvLoraRank + config.qkRopeHeadDim];
  const caches = new Map(layers.map((layer) => [layer, arena.allocate('f32', shape)]));
  return { blockSize, numBlocks, layers: caches };
}

/**
 * @throws input.tokenOutOfRange when an id is no token of the vocabulary
 * @throws input.tooLong when a position lies beyond the model's table of positions
 */
export function uploadServingRows(args: {
  kernels: Kernels;
  arena: Arena;
  sequences: readonly SequenceRows[];
  caches: LatentCaches;
  vocabSize: number;
  maxPositions: number;
}): ServingRows {
  const { kernels, arena, sequences, caches, maxPositions } = args;
  for (const sequence of sequences) checkSequence(sequence, { caches, maxPositions });
  const upload = (values: readonly number[], shape = [values.length]): I32 => {
    const tensor = arena.allocate('i32', shape);
    kernels.write(tensor, Int32Array.from(values));
    return tensor;
  };
  const isPrompt = (sequence: SequenceRows): boolean => sequence.firstPosition === 0;
  const others = sequences.filter((sequence) => !isPrompt(sequence));
  const ordered = [...sequences.filter(isPrompt), ...others];
  const ids = ordered.flatMap((sequence) => sequence.ids);
  checkIds(Int32Array.from(ids), { vocabSize: args.vocabSize, lowest: 0 });
  const firstRow = new Map<SequenceRows, number>();
  const prompts = [0];
  let count = 0;
  for (const sequence of ordered) {
    firstRow.set(sequence, count);
    count += sequence.ids.length;
    if (isPrompt(sequence)) prompts.push(count);
  }
  return {
    count,
    ids: upload(ids),
    positions: upload(ordered.flatMap(positionsOf)),
    slots: upload(ordered.flatMap((sequence) => slotsOf(sequence, caches.blockSize))),
    prompts,
    cached: others.length === 0 ? null : uploadCached(others, upload),
    firstRows: sequences.map((sequence) => firstRow.get(sequence) ?? 0),
  };
}

function uploadCached(
  sequences: readonly SequenceRows[],
  upload: (values: readonly number[], shape?: number[]) => I32,
): NonNullable<ServingRows['cached']> {
  const width = Math.max(...sequences.map((sequence) => sequence.blocks.length));
  const table = sequences.flatMap(({ blocks }) =>
    Array.from({ length: width }, (_, i) => blocks[i] ?? 0),
  );
  return {
    blockTable: upload(table, [sequences.length, width]),
    sequence_T: upload(sequences.flatMap(({ ids }, index) => ids.map(() => index))),
    length_T: upload(sequences.flatMap(positionsOf).map((position) => position + 1)),
  };
}

function positionsOf({ ids, firstPosition }: SequenceRows): number[] {
  return ids.map((_, i) => firstPosition + i);
}

function slotsOf(sequence: SequenceRows, blockSize: number): number[] {
  return positionsOf(sequence).map((position) => {
    const block = at(sequence.blocks, Math.floor(position / blockSize));
    return block * blockSize + (position % blockSize);
  });
}

function checkSequence(
  { ids, firstPosition, blocks }: SequenceRows,
  { caches, maxPositions }: { caches: LatentCaches; maxPositions: number },
): void {
  const end = firstPosition + ids.length;
  assert(ids.length > 0 && firstPosition >= 0, 'a sequence runs one token or more');
  if (end > maxPositions) {
    throw new MoebiusError('input.tooLong', `a sequence reaches position ${end - 1}`, {
      values: { positions: end, maxPositions },
      hint: `Keep prompt and output within ${maxPositions} tokens.`,
    });
  }
  assert(blocks.length * caches.blockSize >= end, `${blocks.length} blocks for ${end} positions`);
  assert(
    blocks.every((block) => block >= 0 && block < caches.numBlocks),
    `blocks [${blocks}] of ${caches.numBlocks}`,
  );
}
