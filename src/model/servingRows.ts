/**
 * The rows of one serving pass on the machine, and the paged caches they write to.
 *
 * A cache block holds `blockSize` positions of one sequence; a sequence's blocks are listed in
 * order of position, so position p lies in slot blocks[p / blockSize] · blockSize + p mod
 * blockSize. Each layer keeps the latent and the rotated rope key of a token, C + P numbers (V3:
 * 576), in floats or narrower (`kernels/latentCache.ts`).
 *
 * Sequences that attend the plain way come first (`promptPieces.ts` says which and how); every
 * other row, a decoded token or a draft, attends to what is cached in the absorbed form.
 */
import { assert, at } from '../base/assert.ts';
import { MoebiusError } from '../base/errors.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import type { I32, Kernels, LatentCache } from '../kernels/kernels.ts';
import { type CacheDType, cacheColumns } from '../kernels/latentCache.ts';
import type { Arena } from '../tensor/arena.ts';
import { elements, hostArray, reshape } from '../tensor/tensor.ts';
import { checkIds } from './microBatch.ts';
import { isPlainCheaper, type PromptPiece, promptPieces } from './promptPieces.ts';

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
  /** Row offsets of the prompts, first 0; the rows after the last one attend in absorbed form. */
  readonly prompts: readonly number[];
  /** What prompts attend to, in this order. */
  readonly pieces: readonly PromptPiece[];
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
  readonly config: ModelConfig;
  readonly dtype: CacheDType;
  readonly blockSize: number;
  readonly numBlocks: number;
  readonly layers: ReadonlyMap<number, LatentCache>;
}

/** How rows attend: by keys and values of every head, in absorbed form, or by fewer operations. */
export type AttentionForm = 'plain' | 'absorbed' | 'cheaper';

export function createLatentCaches(args: {
  arena: Arena;
  config: ModelConfig;
  layers: readonly number[];
  numBlocks: number;
  blockSize: number;
  /** f32 when left out. */
  dtype?: CacheDType;
}): LatentCaches {
  const { arena, config, layers, numBlocks, blockSize, dtype = 'f32' } = args;
  const widths = { latent: config.kvLoraRank, rope: config.qkRopeHeadDim };
  const shape = [numBlocks, blockSize, cacheColumns(dtype, widths)];
  const caches = new Map(layers.map((layer) => [layer, arena.allocate(dtype, shape)]));
  return { config, dtype, blockSize, numBlocks, layers: caches };
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
  /** `cheaper` when left out. */
  form?: AttentionForm;
}): ServingRows {
  const { kernels, arena, sequences, caches, maxPositions, form = 'cheaper' } = args;
  for (const sequence of sequences) checkSequence(sequence, { caches, maxPositions });
  const upload = (values: Int32Array, shape = [values.length]): I32 => {
    const tensor = arena.allocate('i32', shape);
    kernels.write(tensor, values);
    return tensor;
  };
  const isPrompt = sequences.map((sequence) => isPlain(sequence, caches.config, form));
  // Prompts first.
  const firstRows = new Array<number>(sequences.length).fill(0);
  const plain: SequenceRows[] = [];
  const prompts = [0];
  const others: SequenceRows[] = [];
  let count = 0;
  for (const [i, sequence] of sequences.entries()) {
    if (!at(isPrompt, i)) continue;
    firstRows[i] = count;
    count += sequence.ids.length;
    prompts.push(count);
    plain.push(sequence);
  }
  for (const [i, sequence] of sequences.entries()) {
    if (at(isPrompt, i)) continue;
    firstRows[i] = count;
    count += sequence.ids.length;
    others.push(sequence);
  }
  const numbers: RowNumbers = {
    ids: new Int32Array(count),
    positions: new Int32Array(count),
    slots: new Int32Array(count),
  };
  for (let i = 0; i < sequences.length; i++) {
    writeRows(numbers, at(firstRows, i), at(sequences, i), caches.blockSize);
  }
  checkIds(numbers.ids, { vocabSize: args.vocabSize, lowest: 0 });
  return {
    count,
    ids: upload(numbers.ids),
    positions: upload(numbers.positions),
    slots: upload(numbers.slots),
    prompts,
    pieces: promptPieces(plain, caches.blockSize, upload),
    cached: others.length === 0 ? null : uploadCached(others, upload),
    firstRows,
  };
}

function isPlain(
  { ids, firstPosition }: SequenceRows,
  config: ModelConfig,
  form: AttentionForm,
): boolean {
  if (form !== 'cheaper') return form === 'plain';
  return isPlainCheaper(config, { rows: ids.length, before: firstPosition });
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
  const numbers: CachedNumbers = {
    width,
    table: new Int32Array(sequences.length * width),
    owners: new Int32Array(count),
    lengths: new Int32Array(count),
  };
  writeCached(numbers, sequences);
  return {
    blockTable: upload(numbers.table, [sequences.length, width]),
    sequence_T: upload(numbers.owners),
    length_T: upload(numbers.lengths),
  };
}

/** One of each per row. */
interface RowNumbers {
  readonly ids: Int32Array;
  readonly positions: Int32Array;
  readonly slots: Int32Array;
}

/** Of rows that attend to the cache. */
interface CachedNumbers {
  /** Of a sequence's line in `table`; what lies behind its blocks is not looked at. */
  readonly width: number;
  readonly table: Int32Array;
  readonly owners: Int32Array;
  readonly lengths: Int32Array;
}

function writeRows(
  to: RowNumbers,
  firstRow: number,
  { ids, firstPosition, blocks }: SequenceRows,
  blockSize: number,
): void {
  for (let k = 0; k < ids.length; k++) {
    const position = firstPosition + k;
    to.ids[firstRow + k] = at(ids, k);
    to.positions[firstRow + k] = position;
    const block = at(blocks, Math.floor(position / blockSize));
    to.slots[firstRow + k] = block * blockSize + (position % blockSize);
  }
}

function writeCached(to: CachedNumbers, sequences: readonly SequenceRows[]): void {
  let row = 0;
  for (let i = 0; i < sequences.length; i++) {
    const { ids, firstPosition, blocks } = at(sequences, i);
    for (let b = 0; b < blocks.length; b++) to.table[i * to.width + b] = at(blocks, b);
    for (let k = 0; k < ids.length; k++, row++) {
      to.owners[row] = i;
      to.lengths[row] = firstPosition + k + 1;
    }
  }
}

/** Sizes of a pass over a few rows that all attend to the cache. */
export interface FewRowsShape {
  readonly numRows: number;
  readonly numSequences: number;
  /** Blocks a sequence may have. */
  readonly width: number;
}

/** Integers in a cache line: what the width of a table is rounded up to. */
const LINE = 16;

/**
 * Rows that are written anew for every pass of one shape, in the same tensors; row after row in the
 * order of the sequences.
 */
export class FewRows {
  readonly shape: FewRowsShape;
  /** In which `firstRows` are those of the last `write`. */
  readonly rows: ServingRows;
  readonly #firstRows: number[];
  readonly #kernels: Kernels;
  readonly #limits: { caches: LatentCaches; vocabSize: number; maxPositions: number };
  readonly #all: I32;
  /** What `#all` holds: its own bytes where the host can reach them. */
  #numbers: RowNumbers & CachedNumbers & { readonly all: Int32Array };

  constructor(args: {
    kernels: Kernels;
    arena: Arena;
    shape: FewRowsShape;
    caches: LatentCaches;
    vocabSize: number;
    maxPositions: number;
  }) {
    const { kernels, arena, shape, caches, vocabSize, maxPositions } = args;
    const { numRows, numSequences, width } = shape;
    const each = Math.ceil(numRows / LINE) * LINE;
    const total = 5 * each + numSequences * width;
    this.shape = shape;
    this.#firstRows = new Array<number>(numSequences).fill(0);
    this.#kernels = kernels;
    this.#limits = { caches, vocabSize, maxPositions };
    // One tensor, so that it is written at once.
    this.#all = arena.allocate('i32', [total]);
    kernels.write(this.#all, new Int32Array(total));
    const { buffer } = this.#all.memory;
    const all = buffer === null ? new Int32Array(total) : hostArray(this.#all);
    this.#numbers = numbersIn(all, shape);
    const part = (i: number): I32 => elements(this.#all, i * each, i * each + numRows);
    this.rows = {
      count: numRows,
      ids: part(0),
      positions: part(1),
      slots: part(2),
      prompts: [0],
      pieces: [],
      cached: {
        blockTable: reshape(elements(this.#all, 5 * each, total), [numSequences, width]),
        sequence_T: part(3),
        length_T: part(4),
      },
      firstRows: this.#firstRows,
    };
  }

  static shapeOf(sequences: readonly SequenceRows[]): FewRowsShape {
    let [numRows, width] = [0, 0];
    for (let i = 0; i < sequences.length; i++) {
      const { ids, blocks } = at(sequences, i);
      numRows += ids.length;
      width = Math.max(width, blocks.length);
    }
    return { numRows, numSequences: sequences.length, width: Math.ceil(width / LINE) * LINE };
  }

  /**
   * Writes to the host's memory where it can: operations on these rows have run by then.
   *
   * @param sequences of this shape
   * @throws input.tokenOutOfRange, input.tooLong, as `uploadServingRows`
   */
  write(sequences: readonly SequenceRows[]): void {
    const { buffer } = this.#all.memory;
    const isHere = buffer === this.#numbers.all.buffer;
    // Memory that moved when it grew.
    if (buffer !== null && !isHere) this.#numbers = numbersIn(hostArray(this.#all), this.shape);
    const numbers = this.#numbers;
    const limits = this.#limits;
    let row = 0;
    for (let i = 0; i < sequences.length; i++) {
      const sequence = at(sequences, i);
      checkSequence(sequence, limits);
      this.#firstRows[i] = row;
      writeRows(numbers, row, sequence, limits.caches.blockSize);
      row += sequence.ids.length;
    }
    checkIds(numbers.ids, { vocabSize: limits.vocabSize, lowest: 0 });
    writeCached(numbers, sequences);
    if (buffer === null) this.#kernels.write(this.#all, numbers.all);
  }
}

/** One kind of number behind the other, each from a line of its own. */
function numbersIn(
  all: Int32Array,
  { numRows, width }: FewRowsShape,
): RowNumbers & CachedNumbers & { readonly all: Int32Array } {
  const each = Math.ceil(numRows / LINE) * LINE;
  const view = (i: number): Int32Array => all.subarray(i * each, i * each + numRows);
  const table = all.subarray(5 * each);
  const rows = { ids: view(0), positions: view(1), slots: view(2) };
  return { all, ...rows, owners: view(3), lengths: view(4), width, table };
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
