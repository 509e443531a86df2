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
  const upload = (values: Int32Array, shape = [values.length]): I32 => {
    const tensor = arena.allocate('i32', shape);
    kernels.write(tensor, values);
    return tensor;
  };
  // Prompts first.
  const firstRows = new Array<number>(sequences.length).fill(0);
  const prompts = [0];
  const others: SequenceRows[] = [];
  let count = 0;
  for (const [i, { ids, firstPosition }] of sequences.entries()) {
    if (firstPosition > 0) continue;
    firstRows[i] = count;
    count += ids.length;
    prompts.push(count);
  }
  for (const [i, sequence] of sequences.entries()) {
    if (sequence.firstPosition === 0) continue;
    firstRows[i] = count;
    count += sequence.ids.length;
    others.push(sequence);
  }
  const allIds = new Int32Array(count);
  const positions = new Int32Array(count);
  const slots = new Int32Array(count);
  const { blockSize } = caches;
  for (const [i, { ids, firstPosition, blocks }] of sequences.entries()) {
    const firstRow = at(firstRows, i);
    allIds.set(ids, firstRow);
    for (let k = 0; k < ids.length; k++) {
      const position = firstPosition + k;
      positions[firstRow + k] = position;
      const block = at(blocks, Math.floor(position / blockSize));
      slots[firstRow + k] = block * blockSize + (position % blockSize);
    }
  }
  checkIds(allIds, { vocabSize: args.vocabSize, lowest: 0 });
  return {
    count,
    ids: upload(allIds),
    positions: upload(positions),
    slots: upload(slots),
    prompts,
    cached: others.length === 0 ? null : uploadCached(others, upload),
    firstRows,
  };
}

function uploadCached(
  sequences: readonly SequenceRows[],
  upload: (values: Int32Array, shape?: number[]) => I32,
): NonNullable<ServingRows['cached']> {
  let [width, count] = [0, 0];
  for (const { ids, blocks } of sequences) {
    width = Math.max(width, blocks.length);
    count += ids.length;
  }
  const table = new Int32Array(sequences.length * width);
  const owners = new Int32Array(count);
  const lengths = new Int32Array(count);
  let row = 0;
  for (const [i, { ids, firstPosition, blocks }] of sequences.entries()) {
    table.set(blocks, i * width);
    for (let k = 0; k < ids.length; k++, row++) {
      owners[row] = i;
      lengths[row] = firstPosition + k + 1;
    }
  }
  return {
    blockTable: upload(table, [sequences.length, width]),
    sequence_T: upload(owners),
    length_T: upload(lengths),
  };
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
  assert(blocks.length * caches.blockSize >= end, 'blocks for every position');
  for (const block of blocks) {
    const fits = block >= 0 && block < caches.numBlocks;
    assert(fits, fits ? '' : `blocks [${blocks}] of ${caches.numBlocks}`);
  }
}
