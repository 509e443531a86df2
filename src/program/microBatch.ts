/**
 * The tokens of one micro-batch, as plain data that an instruction can carry to a rank.
 *
 * Legend: B sequences, T positions. Targets of −1 are ignored: past a document's end there is
 * nothing to predict, neither for the main head nor for an MTP depth.
 */
export interface MicroBatch {
  readonly numSequences: number;
  readonly length: number;
  /** `[B × T]` */
  readonly ids: Int32Array;
  /** `[B × T]` the token after each position, or −1. */
  readonly targets: Int32Array;
  /**
   * One entry per MTP depth k = 1, 2, …: `[B × (T − k)]`, the token k + 1 after each position, or
   * −1. The module's second input at position i is `ids[i + k]` of the same sequence.
   */
  readonly mtpTargets: readonly Int32Array[];
}

/** How many targets count, for the main head and per MTP depth. */
export interface TargetCounts {
  readonly main: number;
  readonly mtp: readonly number[];
}

export function countTargets(batch: MicroBatch): TargetCounts {
  const count = (targets: Int32Array): number => {
    let valid = 0;
    for (const target of targets) if (target >= 0) valid++;
    return valid;
  };
  return { main: count(batch.targets), mtp: batch.mtpTargets.map(count) };
}
