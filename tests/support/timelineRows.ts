/** Rows of a timeline for tests: spans from pairs of a gap and a length. */
import fc from 'fast-check';
import { at } from '../../src/base/assert.ts';
import {
  type RowTitle,
  rowsOf,
  type SpanKind,
  type TimelineRow,
  type TimelineSpan,
} from '../../studio/draw/timelineIndex.ts';

type Pairs = readonly (readonly [gap: number, length: number])[];

/** In whole seconds: sums stay exact. */
export const gapsAndLengths: fc.Arbitrary<[number, number][]> = fc.array(
  fc.tuple(fc.nat(5), fc.integer({ min: 1, max: 6 })),
  { minLength: 1, maxLength: 120 },
);

const kinds: readonly SpanKind[] = ['forward', 'backward', 'weight'];

export function rowOf(pairs: Pairs, bubble: RowTitle['bubble'] = null): TimelineRow {
  let now = 0;
  const spans = pairs.map(([gap, length], index): TimelineSpan => {
    const start = now + gap;
    now = start + length;
    return { start, end: now, kind: at(kinds, index % kinds.length), label: String(index) };
  });
  return at(rowsOf({ name: 'rank 0', source: 'simulated', bubble }, spans), 0);
}
