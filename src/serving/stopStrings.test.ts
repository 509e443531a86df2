/** Stop strings: however text is cut into pieces, the same text is shown. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { StopStrings } from './stopStrings.ts';

function shown(pieces: readonly string[], stops: readonly string[]): string {
  const filter = new StopStrings(stops);
  return pieces.map((piece) => filter.push(piece)).join('') + filter.end();
}

test('StopStrings: the cutting into pieces changes nothing', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 20 });
  const stop = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(text, fc.array(stop, { maxLength: 3 }), fc.nat(5), (whole, stops, size) => {
      const cuts = stops.map((s) => whole.indexOf(s)).filter((i) => i >= 0);
      const expected = whole.slice(0, cuts.length > 0 ? Math.min(...cuts) : whole.length);
      const pieces = size === 0 ? [whole] : (whole.match(new RegExp(`.{1,${size}}`, 'g')) ?? []);
      assert.equal(shown(pieces, stops), expected);
    }),
  );
});

test('StopStrings: a tail that could become a stop string waits, and no more than that', () => {
  const filter = new StopStrings(['\nUser:']);
  assert.equal(filter.push('hello\nUs'), 'hello');
  assert.equal(filter.push('ual'), '\nUsual');
  assert.equal(filter.push('\nUser: next'), '');
  assert.ok(filter.isStopped);
  assert.equal(filter.push('more'), '');
});
