/**
 * A micro-batch on the machine: ids and targets as tensors, and the rows that each MTP depth keeps.
 *
 * Depth k drops the last k positions of every sequence, for there is no token k places on to embed:
 *
 *     depth 0 (main)   row i sees t_i                      predicts t_{i+1}      i = 0 … T−1
 *     depth k          row i sees h_i and t_{i+k}          predicts t_{i+k+1}    i = 0 … T−1−k
 *
 * Where the target itself is missing (a document ends), it is −1 and the row counts for nothing.
 */
import { at } from '../base/assert.ts';
import { MoebiusError } from '../base/errors.ts';
import type { I32, Kernels } from '../kernels/kernels.ts';
import type { Arena } from '../tensor/arena.ts';
import type { Rows } from './context.ts';

/** Plain data, in the shape of `program/microBatch.ts`: B sequences of T positions. */
export interface TokenBatch {
  readonly numSequences: number;
  readonly length: number;
  /** `[B × T]` */
  readonly ids: Int32Array;
  /** `[B × T]` the next token, or −1 */
  readonly targets: Int32Array;
  /** Per depth k = 1, 2, …: `[B × (T − k)]`, the token k + 1 on, or −1 */
  readonly mtpTargets: readonly Int32Array[];
}

export interface MicroBatch {
  readonly ids: I32;
  readonly targets: I32;
  readonly rows: Rows;
  /** By depth; ends before a depth for which the sequences are too short. */
  readonly mtp: readonly MtpRows[];
}

export interface MtpRows {
  /** Which row of the depth before each row continues. */
  readonly previous: I32;
  /** The token k places on: the module's second input. */
  readonly ids: I32;
  readonly targets: I32;
  readonly rows: Rows;
}

/** Every position predicts the next: what plain sequences without packing look like. */
export function nextTokenBatch(
  sequences: readonly (readonly number[])[],
  depths: number,
): TokenBatch {
  const length = sequences[0]?.length ?? 0;
  const shifted = (by: number, kept: number): Int32Array =>
    Int32Array.from(
      sequences.flatMap((ids) => Array.from({ length: kept }, (_, i) => ids[i + by] ?? -1)),
    );
  return {
    numSequences: sequences.length,
    length,
    ids: shifted(0, length),
    targets: shifted(1, length),
    mtpTargets: Array.from({ length: depths }, (_, d) =>
      shifted(d + 2, Math.max(0, length - d - 1)),
    ),
  };
}

/**
 * Copies a batch to the machine.
 *
 * @throws input.shape when the lengths of the arrays disagree
 * @throws input.tokenOutOfRange when an id or a target is no token of the vocabulary
 * @throws input.tooLong when a sequence is longer than the model's table of positions
 */
export function uploadMicroBatch(args: {
  kernels: Kernels;
  arena: Arena;
  batch: TokenBatch;
  vocabSize: number;
  maxPositions: number;
  numMtpDepths: number;
}): MicroBatch {
  const { kernels, arena, batch, numMtpDepths } = args;
  checkBatch(args);
  const upload = (values: Int32Array): I32 => {
    const tensor = arena.allocate('i32', [values.length]);
    kernels.write(tensor, values);
    return tensor;
  };
  const { numSequences: B, length: T } = batch;
  const eachRow = (
    length: number,
    value: (sequence: number, position: number) => number,
  ): Int32Array => {
    const values = new Int32Array(B * length);
    let row = 0;
    for (let b = 0; b < B; b++) {
      for (let i = 0; i < length; i++) values[row++] = value(b, i);
    }
    return values;
  };
  const rowsOf = (length: number): Rows => ({
    count: B * length,
    positions: upload(eachRow(length, (_, position) => position)),
    sequences: Array.from({ length: B + 1 }, (_, b) => b * length),
  });
  const mtp: MtpRows[] = [];
  for (let depth = 1; depth <= Math.min(numMtpDepths, T - 1); depth++) {
    const kept = T - depth;
    mtp.push({
      previous: upload(eachRow(kept, (b, i) => b * (kept + 1) + i)),
      ids: upload(eachRow(kept, (b, i) => at(batch.ids, b * T + i + depth))),
      targets: upload(at(batch.mtpTargets, depth - 1)),
      rows: rowsOf(kept),
    });
  }
  return { ids: upload(batch.ids), targets: upload(batch.targets), rows: rowsOf(T), mtp };
}

function checkBatch(args: {
  batch: TokenBatch;
  vocabSize: number;
  maxPositions: number;
  numMtpDepths: number;
}): void {
  const { batch, vocabSize, maxPositions, numMtpDepths } = args;
  const { numSequences: B, length: T, ids, targets, mtpTargets } = batch;
  const isComplete =
    B * T > 0 &&
    ids.length === B * T &&
    targets.length === B * T &&
    mtpTargets.length >= Math.min(numMtpDepths, T - 1) &&
    mtpTargets.every((each, d) => each.length === B * Math.max(0, T - d - 1));
  if (!isComplete) {
    throw new MoebiusError('input.shape', 'the arrays of a micro-batch do not fit together', {
      values: {
        numSequences: B,
        length: T,
        ids: ids.length,
        targets: targets.length,
        mtpTargets: mtpTargets.map((each) => each.length),
        numMtpDepths,
      },
      hint: 'Give B × T ids and targets, and B × (T − k) targets for each MTP depth k.',
    });
  }
  if (T > maxPositions) {
    throw new MoebiusError('input.tooLong', `sequences have ${T} positions`, {
      values: { length: T, maxPositions },
      hint: `Cut sequences to ${maxPositions} tokens, or raise maxPositionEmbeddings.`,
    });
  }
  checkIds(ids, { vocabSize, lowest: 0 });
  for (const each of [targets, ...mtpTargets]) checkIds(each, { vocabSize, lowest: -1 });
}

export function checkIds(ids: Int32Array, args: { vocabSize: number; lowest: 0 | -1 }): void {
  const index = ids.findIndex((id) => id < args.lowest || id >= args.vocabSize);
  if (index < 0) return;
  throw new MoebiusError('input.tokenOutOfRange', `token ${ids[index]} is not in the vocabulary`, {
    values: { index, id: ids[index], vocabSize: args.vocabSize },
    hint: 'Use the tokenizer that belongs to this model.',
  });
}
