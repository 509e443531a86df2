/**
 * How prompts attend the plain way to what the cache holds: keys and values of every head are
 * projected up from the latents of a piece of positions, attended to, and dropped.
 *
 *     plain      2 S C H (N + V)  +  2 pairs H (N + P + V)        S positions seen, n rows
 *     absorbed   2 n C H (N + V)  +  2 pairs H (2 C + P)
 *
 * A row that is cached is read back, so that it is the same rounded latent whether it came with
 * this chunk or an earlier one. Pieces begin at the same positions however a prompt is cut, and
 * results over one are added to those over the pieces before: a row's bits depend on its position
 * alone. Keys and values of a piece are all the memory it takes: 2¹⁰ positions of V3's 128 heads
 * are 128 MiB, whatever the context.
 */
import { at } from '../base/assert.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import type { AttentionKeys, I32 } from '../kernels/kernels.ts';

/** Positions of a piece: whole blocks of keys of `mlaAttention`, enough for a product's rows. */
const PIECE = 1024;
/** Of pieces that are projected up at once: first ones of short prompts. */
const MOST_POSITIONS = 2 * PIECE;

/** Rows of some prompts, and the cached positions they attend to. */
export interface PromptPiece {
  readonly firstRow: number;
  readonly endRow: number;
  /** Offsets of the sequences in these rows. */
  readonly sequences: readonly number[];
  readonly keys: AttentionKeys;
  /** Where the keys lie in the cache. */
  readonly slots: I32;
  /** Whether nothing was attended to before. */
  readonly isFirst: boolean;
}

/** What of a prompt's rows matters here. */
export interface PromptRows {
  readonly ids: { readonly length: number };
  readonly firstPosition: number;
  /** Cache blocks in order of position. */
  readonly blocks: readonly number[];
}

/** Whether the plain form takes fewer operations for `rows` behind `before` others. */
export function isPlainCheaper(
  config: ModelConfig,
  { rows, before }: { rows: number; before: number },
): boolean {
  const { qkNopeHeadDim: N, vHeadDim: V, kvLoraRank: C } = config;
  const pairs = rows * before + (rows * (rows + 1)) / 2;
  const projecting = before * C * (N + V);
  const attending = pairs * (2 * C - N - V);
  return projecting <= attending || before === 0;
}

/** @param prompts in the order of their rows, which begin at row 0 */
export function promptPieces(
  prompts: readonly PromptRows[],
  blockSize: number,
  upload: (values: Int32Array) => I32,
): PromptPiece[] {
  const pieces: PromptPiece[] = [];
  const firsts: Draft[] = [];
  const later: Draft[] = [];
  let row = 0;
  for (const prompt of prompts) {
    const end = prompt.firstPosition + prompt.ids.length;
    for (let first = 0; first < end; first += PIECE) {
      // Rows before the piece have seen all that they see.
      const skipped = Math.max(0, first - prompt.firstPosition);
      const last = Math.min(first + PIECE, end);
      const draft = {
        prompt,
        firstRow: row + skipped,
        endRow: row + prompt.ids.length,
        first,
        last,
        before: Math.max(prompt.firstPosition, first) - first,
      };
      (first === 0 ? firsts : later).push(draft);
    }
    row += prompt.ids.length;
  }
  const add = (drafts: readonly Draft[], isFirst: boolean): void => {
    pieces.push({ ...together(drafts, blockSize, upload), isFirst });
  };
  let group: Draft[] = [];
  let positions = 0;
  for (const draft of firsts) {
    const count = draft.last - draft.first;
    if (group.length > 0 && positions + count > MOST_POSITIONS) {
      add(group, true);
      [group, positions] = [[], 0];
    }
    group.push(draft);
    positions += count;
  }
  if (group.length > 0) add(group, true);
  for (const draft of later) add([draft], false);
  return pieces;
}

/** A piece of one prompt. */
interface Draft {
  readonly prompt: PromptRows;
  readonly firstRow: number;
  readonly endRow: number;
  /** Positions it covers. */
  readonly first: number;
  readonly last: number;
  /** Of them before its first row. */
  readonly before: number;
}

function together(
  drafts: readonly Draft[],
  blockSize: number,
  upload: (values: Int32Array) => I32,
): Omit<PromptPiece, 'isFirst'> {
  const firstRow = at(drafts, 0).firstRow;
  const sequences = [0];
  const keySequences = [0];
  const before: number[] = [];
  const slots: number[] = [];
  for (const draft of drafts) {
    for (let position = draft.first; position < draft.last; position++) {
      const block = at(draft.prompt.blocks, Math.floor(position / blockSize));
      slots.push(block * blockSize + (position % blockSize));
    }
    sequences.push(draft.endRow - firstRow);
    keySequences.push(slots.length);
    before.push(draft.before);
  }
  const endRow = at(drafts, drafts.length - 1).endRow;
  const keys = { sequences: keySequences, before };
  return { firstRow, endRow, sequences, keys, slots: upload(Int32Array.from(slots)) };
}
