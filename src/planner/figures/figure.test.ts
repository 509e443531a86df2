/** How a printed number is read, and how a verdict follows: from examples worked out by hand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  agrees,
  type Figure,
  formatOurs,
  judge,
  numbers,
  type Quantity,
  readPrinted,
  toleranceOf,
} from './figure.ts';

function figureOf(basis: Figure['basis']): Figure {
  return { id: 'x', group: 1, source: 'S', claim: 'c', formula: 'f', basis };
}

const quantity = (said: string, ours: number, more: Partial<Quantity> = {}): Quantity => ({
  said,
  unit: '',
  ours,
  ...more,
});

test('readPrinted: digits say how far a value may lie', () => {
  assert.deepEqual(readPrinted('2,788'), { value: 2788, step: 1, decimals: 0 });
  assert.deepEqual(readPrinted('43.73'), { value: 43.73, step: 0.01, decimals: 2 });
  assert.deepEqual(readPrinted('0.010').decimals, 3);
});

test('agrees: a value that rounds to the printed digits, and no other', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 1e6 }),
      fc.integer({ min: 0, max: 4 }),
      fc.double({ min: -3, max: 3, noNaN: true }),
      (digits, decimals, steps) => {
        fc.pre(Math.abs(Math.abs(steps) - 0.5) > 1e-3);
        const said = (digits / 10 ** decimals).toFixed(decimals);
        const ours = (digits + steps) / 10 ** decimals;
        assert.equal(agrees(quantity(said, ours)), Math.abs(steps) < 0.5, `${said} ${ours}`);
      },
    ),
  );
});

test('agrees: cut digits, bounds, shares and ranges', () => {
  const cut = { reading: { kind: 'cut' } } as const;
  assert.ok(agrees(quantity('67', 67.99, cut)) && !agrees(quantity('67', 66.9, cut)));
  assert.ok(!agrees(quantity('67', 68, cut)));
  const least = { reading: { kind: 'atLeast' } } as const;
  assert.ok(agrees(quantity('80', 85, least)) && !agrees(quantity('80', 79.9, least)));
  const most = { reading: { kind: 'atMost' } } as const;
  assert.ok(agrees(quantity('61', 54.2, most)) && !agrees(quantity('61', 61.1, most)));
  const within = { reading: { kind: 'within', share: 0.01, because: 'so' } } as const;
  assert.ok(agrees(quantity('100', 101, within)) && !agrees(quantity('100', 101.2, within)));
  const between = { reading: { kind: 'between', low: 35.7, high: 37.55 } } as const;
  assert.ok(agrees(quantity('37', 0, between)) && !agrees(quantity('39', 0, between)));
  assert.ok(agrees(quantity('38', 0, between)), '37.55 rounds to 38');
});

test('toleranceOf: half of the last digit, the share allowed, null for a bound', () => {
  assert.equal(toleranceOf(quantity('43.73', 0)), 0.005);
  const within = { reading: { kind: 'within', share: 0.01, because: 'so' } } as const;
  assert.equal(toleranceOf(quantity('491', 0, within)), 4.91);
  assert.equal(toleranceOf(quantity('80', 0, { reading: { kind: 'atLeast' } })), null);
});

test('judge: agrees, garbled by a slip that gives the number, else not reproducible', () => {
  const right = quantity('671', 671.03);
  const slip = (value: number) => ({ slip: { name: 'factor lost', value } });
  assert.equal(judge(figureOf(numbers(right))), 'agrees');
  assert.equal(judge(figureOf(numbers(right, quantity('278.8', 2_788_000)))), 'not reproducible');
  const garbled = quantity('278.8', 2_788_000, slip(278.8));
  assert.equal(judge(figureOf(numbers(right, garbled))), 'garbled');
  const elsewhere = quantity('278.8', 2_788_000, slip(279));
  assert.equal(judge(figureOf(numbers(right, elsewhere))), 'not reproducible');
  assert.equal(judge(figureOf(numbers(garbled, elsewhere))), 'not reproducible');
  // A slip does not make wrong what is right.
  assert.equal(judge(figureOf(numbers(quantity('2', 2, slip(3))))), 'agrees');
});

test('judge: statements by their source, and what nothing gives', () => {
  const statement = { kind: 'statement', said: 'a', source: 'b' } as const;
  assert.equal(judge(figureOf({ ...statement, slip: null })), 'agrees');
  assert.equal(judge(figureOf({ ...statement, slip: 'half of it' })), 'garbled');
  const nowhere = { kind: 'nowhere', said: '× 3', closest: [] } as const;
  assert.equal(judge(figureOf({ ...nowhere, sources: 'silent' })), 'not reproducible');
  assert.equal(judge(figureOf({ ...nowhere, sources: 'against' })), 'invented');
});

test('formatOurs: two digits more than printed, small numbers with three that count', () => {
  assert.equal(formatOurs(quantity('43.73', 43.7279)), '43.7279');
  assert.equal(formatOurs(quantity('2788', 2788)), '2,788');
  assert.equal(formatOurs(quantity('1', 0.000_123_4)), '0.000123');
  assert.equal(formatOurs(quantity('1', 0)), '0');
});
