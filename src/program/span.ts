/**
 * What happened, on either side of the seam: an instruction on a rank, from one time to another.
 */
import type { TrainingInstruction } from './instruction.ts';

export interface Span {
  readonly rank: number;
  /** The instruction's kind, or a part of it ("forward", "forward/attention"). */
  readonly name: string;
  /** Index of the instruction in its rank's program. */
  readonly instruction: number;
  /** Seconds on the executor's clock. */
  readonly start: number;
  readonly end: number;
  readonly stage?: number;
  readonly microBatch?: number;
  /**
   * What of the rank it kept busy: `compute`, `communication`, `send`, `recv`. One at a time each.
   */
  readonly stream?: string;
}

/** Of an instruction of a training program on rank 0, the same in both worlds. */
export function spanOf(
  instruction: TrainingInstruction,
  { index, start, end }: { readonly index: number; readonly start: number; readonly end: number },
): Span {
  const span = { rank: 0, name: instruction.kind, instruction: index, start, end };
  if ('stage' in instruction) {
    const { stage, microBatch } = instruction;
    return { ...span, stage, microBatch };
  }
  return 'microBatch' in instruction ? { ...span, microBatch: instruction.microBatch } : span;
}

/** The part of a `sample` in which drafts are made: what a policy weighs against what they save. */
export const SPAN_OF_DRAFTS = 'sample/draft';

/** Seconds from the first start to the last end. */
export function wallSeconds(spans: readonly Span[]): number {
  if (spans.length === 0) return 0;
  let start = Number.POSITIVE_INFINITY;
  let end = Number.NEGATIVE_INFINITY;
  for (const span of spans) {
    start = Math.min(start, span.start);
    end = Math.max(end, span.end);
  }
  return end - start;
}
