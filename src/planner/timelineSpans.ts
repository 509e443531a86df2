/**
 * Walked spans with what a picture of them needs: which backward pass an overlapped pair holds.
 */
import type { Program, TrainingInstruction } from '../program/instruction.ts';
import type { Span } from '../program/span.ts';
import type { TimelineSpan } from './planExtras.ts';

/** @param programs those that were walked; spans point into them by rank and instruction */
export function timelineSpans(
  spans: readonly Span[],
  programs: readonly Program<TrainingInstruction>[],
): readonly TimelineSpan[] {
  const lists = new Map(programs.map(({ rank, instructions }) => [rank, instructions]));
  return spans.map((span) => {
    const instruction = lists.get(span.rank)?.[span.instruction];
    if (instruction?.kind !== 'forwardBackward') return span;
    const { stage, microBatch } = instruction.backward;
    return { ...span, backward: { stage, microBatch } };
  });
}
