/** The bucket's laws on a clock that is moved by hand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ManualClock } from '../base/clock.ts';
import { TokenBucket } from './tokenBucket.ts';

test('TokenBucket: over any time it gives no more than its rate and one minute’s worth', () => {
  const steps = fc.array(
    fc.tuple(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 0, max: 60 })),
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 100 }), steps, (perMinute, all) => {
      const clock = new ManualClock();
      const bucket = new TokenBucket({ perMinute, clock });
      let taken = 0;
      for (const [amount, pause] of all) {
        const wanted = Math.min(amount, perMinute);
        if (bucket.secondsUntil(wanted) === 0) {
          bucket.take(wanted);
          taken += wanted;
        }
        // Sums of sixtieths are rounded.
        assert.ok(taken <= perMinute + (clock.now() * perMinute) / 60 + 1e-6);
        clock.advance(pause);
      }
    }),
  );
});

test('TokenBucket: what is owed is waited for, to the second', () => {
  const clock = new ManualClock();
  const bucket = new TokenBucket({ perMinute: 60, clock });
  bucket.take(90);
  assert.equal(bucket.secondsUntil(1), 31);
  clock.advance(31);
  assert.equal(bucket.secondsUntil(1), 0);
});
