/** Ticks of a time scale: round, in the window, no more than there is room for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { at } from '../../src/base/assert.ts';
import { ticksOf } from './timeTicks.ts';

test('ticksOf: ticks lie in the window, evenly, and neither crowd nor are few', () => {
  const length = fc.double({ min: 1e-6, max: 1e6, noNaN: true });
  fc.assert(
    fc.property(fc.nat(1000), length, fc.integer({ min: 2, max: 30 }), (start, seconds, most) => {
      const window = { from: start, to: start + seconds };
      const { step, times } = ticksOf(window, most);
      assert.ok(times.length <= most + 1);
      // A step is at most two and a half times what would fill the room.
      assert.ok(times.length >= Math.floor(most / 2.5) - 1, `${times.length} of ${most}`);
      for (const [index, time] of times.entries()) {
        assert.ok(time >= window.from - step * 1e-6 && time <= window.to + step * 1e-6);
        if (index > 0) assert.ok(Math.abs(time - at(times, index - 1) - step) < step * 1e-3);
      }
    }),
  );
});

test('ticksOf: steps are 1, 2 or 5 times a power of ten', () => {
  assert.deepEqual(ticksOf({ from: 0, to: 66 }, 7), {
    step: 10,
    times: [0, 10, 20, 30, 40, 50, 60],
  });
  assert.deepEqual(ticksOf({ from: 3, to: 12 }, 6).times, [4, 6, 8, 10, 12]);
  assert.equal(ticksOf({ from: 0, to: 30 }, 6).step, 5);
});
