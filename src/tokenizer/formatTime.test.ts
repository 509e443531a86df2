/** Times as strftime writes them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatTime } from './formatTime.ts';

const MORNING = new Date(2026, 2, 5, 0, 4, 9);
const EVENING = new Date(1999, 11, 31, 23, 59, 58);

test('formatTime: each directive, as Python’s strftime has it', () => {
  const all = '%Y %y %m %d %e %B %b %A %a %H %I %M %S %p %F %T %%';
  assert.equal(
    formatTime(all, MORNING),
    '2026 26 03 05  5 March Mar Thursday Thu 00 12 04 09 AM 2026-03-05 00:04:09 %',
  );
  assert.equal(
    formatTime(all, EVENING),
    '1999 99 12 31 31 December Dec Friday Fri 23 11 59 58 PM 1999-12-31 23:59:58 %',
  );
});

test('formatTime: a dash leaves the leading zero out, and other text stays', () => {
  assert.equal(formatTime('on %-d/%-m at %-H:%M', MORNING), 'on 5/3 at 0:04');
  assert.equal(formatTime('no directive', MORNING), 'no directive');
});

test('formatTime: what it does not know is refused, not passed over', () => {
  for (const format of ['%Q', '%', 'a %-', '%constructor']) {
    assert.throws(() => formatTime(format, MORNING), /asks for a time with %/);
  }
});
