/** The scanner: the same events wherever the file is cut into pieces, and clear refusals. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MoebiusError } from '../../base/errors.ts';
import { scanTrace } from './scanTrace.ts';

function scan(text: string, chunkBytes = 1 << 16) {
  const events: unknown[] = [];
  const scanner = scanTrace((event, index) => {
    assert.equal(index, events.length);
    events.push(event);
  });
  const bytes = new TextEncoder().encode(text);
  for (let i = 0; i < bytes.length; i += chunkBytes)
    scanner.push(bytes.subarray(i, i + chunkBytes));
  return { events, top: scanner.end() };
}

test('scanTrace: any events in any pieces come out as they went in', () => {
  const value = fc.jsonValue({ maxDepth: 3 });
  const event = fc.dictionary(fc.string({ unit: 'grapheme' }), value);
  const indents = fc.constantFrom(undefined, 1, '\t');
  fc.assert(
    fc.property(
      fc.array(event, { maxLength: 6 }),
      value,
      indents,
      fc.integer({ min: 1, max: 40 }),
      (events, other, indent, chunkBytes) => {
        const expected = JSON.parse(JSON.stringify(events));
        assert.deepEqual(scan(JSON.stringify(events, null, indent), chunkBytes).events, expected);
        const whole = { first: other, traceEvents: events, last: [other] };
        const scanned = scan(JSON.stringify(whole, null, indent), chunkBytes);
        assert.deepEqual(scanned.events, expected);
        const kept = JSON.parse(JSON.stringify({ first: other, last: [other] }));
        assert.deepEqual({ ...scanned.top.properties }, kept);
      },
    ),
    { numRuns: 200 },
  );
});

test('scanTrace: brackets and quotation marks inside of texts are no structure', () => {
  const events = [{ name: 'a]}"\\' }, { name: '[{,:' }, { name: '\\"}' }];
  for (const chunkBytes of [1, 2, 3, 100]) {
    assert.deepEqual(scan(JSON.stringify({ traceEvents: events }), chunkBytes).events, events);
  }
});

test('scanTrace: an array may lack its last bracket and have a comma too many', () => {
  const { events, top } = scan('\ufeff[{"ph":"X"},\n{"ph":"M"},');
  assert.equal(events.length, 2);
  assert.equal(top.isClosed, false);
  assert.equal(scan('[{"ph":"X"},]').top.isClosed, true);
});

test('scanTrace: a large value beside the events is passed over', () => {
  const huge = 'x'.repeat((1 << 20) + 10);
  const { events, top } = scan(
    JSON.stringify({ huge, traceEvents: [{ ph: 'X' }], name: 'n' }),
    4096,
  );
  assert.deepEqual([events.length, { ...top.properties }], [1, { name: 'n' }]);
});

test('scanTrace: what is no trace is refused, saying where and what', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['', /empty/],
    ['   \n', /empty/],
    ['hello', /begins with \[ or \{, not with "h"/],
    ['{}', /no "traceEvents"/],
    ['{"steps": [1, 2]}', /no "traceEvents"/],
    ['{"traceEvents": {}}', /"traceEvents" is no array/],
    ['{"traceEvents": [], "traceEvents": []}', /there twice/],
    ['[{"ph": "X"}, 3]', /event 1 is no object: it begins with "3"/],
    ['[{"ph": "X"} {"ph": "X"}]', /comma should follow event 0/],
    ['[{"ph": "X"}, {"ph": X}]', /event 1 is no JSON/],
    ['[{"ph": "X"}, {"ph": ', /ends inside event 1/],
    ['{"traceEvents": [{"ph": "X"}', /ends before its last bracket/],
    ['[{"ph": "X"}] x', /follows the end/],
    ['{"a" 1}', /colon should follow the key "a"/],
    ['{a: 1}', /a key should follow/],
    ['{"a": 1 "b": 2}', /comma should follow the value of "a"/],
    ['{"a": nope, "traceEvents": []}', /the value of "a" is no JSON/],
  ];
  for (const [text, message] of cases) {
    for (const chunkBytes of [1, 1000]) {
      assert.throws(
        () => scan(text, chunkBytes),
        (error) =>
          error instanceof MoebiusError &&
          error.code === 'trace.malformed' &&
          message.test(error.message) &&
          error.hint !== undefined,
        text,
      );
    }
  }
});
