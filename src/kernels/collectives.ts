/**
 * What crosses ranks, as the model sees it. A transfer is *started*, other work is done, and it is
 * *finished*: the model never waits in between, so an executor can run another micro-batch there.
 * On one rank every collective is the identity. Shapes: rows of tokens, `[rows, D]`.
 */
import type { F32, I32 } from './kernels.ts';

/** A transfer under way; `finish` gives what arrived. */
export interface Transfer {
  finish(): F32;
}

/** Rows on their way to their experts. */
export interface ExpertTransfer {
  finish(): ExpertRows;
}

export interface ExpertRows {
  /** Sorted by the experts of this rank. */
  readonly rows_RD: F32;
  /** Where each of this rank's experts begins: `[experts of the rank + 1]`. */
  readonly offsets: I32;
}

export interface Collectives {
  readonly size: number;
  readonly rank: number;
  /**
   * Sends rows, sorted by expert, to the ranks of their experts (report, 3.2.2).
   * @param offsets where each expert begins, over the experts of all ranks
   */
  dispatch(rows_RD: F32, offsets: I32): ExpertTransfer;
  /** Brings expert outputs back to the ranks of their tokens. */
  combine(rows_RD: F32): Transfer;
  /** Sums a tensor over the ranks that share it, in place. */
  allReduce(tensor: F32): Transfer;
}

/** One rank: everything is already where it should be. */
export const oneRank: Collectives = {
  size: 1,
  rank: 0,
  dispatch: (rows_RD, offsets) => ({ finish: () => ({ rows_RD, offsets }) }),
  combine: (rows_RD) => ({ finish: () => rows_RD }),
  allReduce: (tensor) => ({ finish: () => tensor }),
};
