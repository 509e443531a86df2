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
      const expected = shown([...whole], stops);
      const pieces = size === 0 ? [whole] : (whole.match(new RegExp(`.{1,${size}}`, 'g')) ?? []);
      assert.equal(shown(pieces, stops), expected);
    }),
  );
});

test('StopStrings: what is shown is the text before the stop string that ends first', () => {
  assert.equal(shown(['bcbc'], ['bcbc', 'c']), 'b');
  assert.equal(shown(['abcd'], ['cd', 'bcd']), 'a');
  const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 20 });
  const stop = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(text, fc.array(stop, { maxLength: 3 }), (whole, stops) => {
      const ends = stops
        .filter((each) => whole.includes(each))
        .map((each) => ({ start: whole.indexOf(each), end: whole.indexOf(each) + each.length }))
        .sort((a, b) => a.end - b.end || a.start - b.start);
      assert.equal(shown([whole], stops), whole.slice(0, ends[0]?.start ?? whole.length));
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
