/** Spans as rows: nothing is lost, nothing overlaps, nested spans have lanes of their own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { at } from '../../src/base/assert.ts';
import { type RowTitle, rowsOf, type TimelineSpan } from './timelineIndex.ts';

const title: RowTitle = { name: 'rank 0', source: 'simulated', bubble: null };

test('rowsOf: spans in any order lose nothing, and no two of a lane overlap', () => {
  const span = fc.record({ start: fc.nat(60), length: fc.nat(20) });
  fc.assert(
    fc.property(fc.array(span, { maxLength: 40 }), (spans) => {
      const rows = rowsOf(
        title,
        spans.map(({ start, length }, index) => ({
          start,
          end: start + length,
          kind: 'compute',
          label: String(index),
        })),
      );
      assert.ok(rows.length >= 1);
      const labels = rows.flatMap((each) => [...each.starts.keys()].map((i) => each.label(i)));
      assert.deepEqual(
        labels.map(Number).sort((a, b) => a - b),
        [...spans.keys()],
      );
      for (const { starts, ends } of rows) {
        for (let index = 0; index + 1 < starts.length; index++) {
          assert.ok(at(ends, index) <= at(starts, index + 1));
        }
      }
    }),
  );
});

test('rowsOf: a span and those nested in it need two lanes, named after the row', () => {
  const span = (start: number, end: number): TimelineSpan => ({
    start,
    end,
    kind: 'compute',
    label: `${start}`,
  });
  const rows = rowsOf(title, [span(1, 2), span(0, 9), span(3, 4), span(9, 10)]);
  assert.deepEqual(
    rows.map(({ name, starts }) => [name, ...starts]),
    [
      ['rank 0', 0, 9],
      ['rank 0 +1', 1, 3],
    ],
  );
});
