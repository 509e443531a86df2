/** Layouts of which only some is said: what is read, and what is refused with its fix. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MoebiusError } from '../../base/errors.ts';
import { enumeratePlans } from './enumeratePlans.ts';
import { parsePartialLayout } from './layoutRanges.ts';

test('parsePartialLayout: numbers fix a factor, ranges leave it to the search', () => {
  assert.deepEqual(parsePartialLayout('pp16, ep8-64,zero1'), {
    layout: { pp: 16, zeroStage: 1 },
    ranges: { ep: { min: 8, max: 64 } },
  });
  assert.deepEqual(parsePartialLayout(''), { layout: {}, ranges: {} });
  assert.deepEqual(parsePartialLayout('tp2-2'), { layout: { tp: 2 }, ranges: {} });
});

test('parsePartialLayout: what is no layout is refused, with what was meant', () => {
  const cases: [string, RegExp, RegExp][] = [
    ['pq16', /"pq16" is no part/, /Did you mean/],
    ['pp', /"pp" is no part/, /pp16/],
    ['pp4,pp8', /given twice/, /once/],
    ['ep64-8', /goes from 64 to 8/, /smaller/],
    ['pp0', /goes from 0/, /from 1/],
    ['zero4', /zero is "4"/, /0, 1, 2 and 3/],
    ['zero1-3', /zero is "1-3"/, /name one/],
  ];
  for (const [text, message, hint] of cases) {
    assert.throws(
      () => parsePartialLayout(text),
      (error: unknown) => {
        assert.ok(error instanceof MoebiusError, text);
        assert.match(error.message, message);
        assert.match(error.hint ?? '', hint);
        return true;
      },
    );
  }
});

test('enumeratePlans: every factor keeps its range', () => {
  const ranges = { pp: { min: 4, max: 8 }, tp: { min: 2, max: 4 }, ep: { min: 8, max: 16 } };
  const plans = [
    ...enumeratePlans({
      numGpus: 256,
      limits: { numLayers: 61, numHeads: 128, numExperts: 256, scaleUpSize: 8 },
      globalBatch: 1024,
      sequenceLength: 4096,
      precision: 'fp8',
      mtp: false,
      layout: {},
      ranges,
    }),
  ];
  assert.ok(plans.length > 0);
  for (const { layout } of plans) {
    assert.ok(layout.pp >= 4 && layout.pp <= 8 && layout.tp >= 2 && layout.tp <= 4);
    assert.ok(layout.ep >= 8 && layout.ep <= 16);
  }
});
