/** What the report's pictures are drawn from: spans of a simulated step, and of its pair. */
import { at } from '../base/assert.ts';
import type { PassPrice } from '../simulator/cost/stageCosts.ts';
import type { PairSpan, TimelineSpan } from './planExtras.ts';
import type { SimulatedStep } from './simulatePlan.ts';

/** Passes and messages of every rank of one pipeline; a pair with its backward half. */
export function timelineSpans({
  spans,
  programs,
}: Pick<SimulatedStep, 'spans' | 'programs'>): TimelineSpan[] {
  const instructionsOf = new Map(programs.map(({ rank, instructions }) => [rank, instructions]));
  return spans.map((span) => {
    const instruction = instructionsOf.get(span.rank)?.[span.instruction];
    return instruction?.kind === 'forwardBackward'
      ? { ...span, backward: instruction.backward }
      : span;
  });
}

const passNames = {
  forward: 'forward',
  backwardInput: 'backward',
  backwardWeight: 'weight',
} as const;

/** Seconds from the pair's start; names as the cost model writes them, "forward attention". */
export function pairSpans(pair: PassPrice | null): PairSpan[] {
  if (pair === null) return [];
  return pair.spans.map(({ stream, name, start, end }) => {
    const words = name.split(' ');
    const pass = at(words, 0) as keyof typeof passNames;
    return { stream, pass: passNames[pass], name: words.slice(1).join(' '), start, end };
  });
}
