/**
 * The law of the two levels, on 12 small searches with fixed seeds; 200 of moderate size run in
 * `npm run check:long`.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkRanking } from '../support/searchCases.ts';

test('searchPlans: the cheap model’s top ten hold the plan that is simulated fastest', () => {
  let [numCases, numHeld, numPlans] = [0, 0, 0];
  const misses: string[] = [];
  for (let seed = 1000; seed < 1012; seed++) {
    const check = checkRanking(seed, 'small');
    if (check === null) continue;
    numCases++;
    numPlans += check.numPlans;
    if (check.place < 10) numHeld++;
    else misses.push(`seed ${seed}: place ${check.place}, ${check.what}`);
    // Sums of slices for whole stages: what crosses from one layer to the next is left out.
    assert.ok(check.error < 0.03, `seed ${seed}: the cheap model is off by ${check.error}`);
  }
  assert.ok(numCases >= 10, `${numCases} cases`);
  assert.ok(numPlans > 20 * numCases, 'ten of so few plans say little');
  assert.ok(numHeld >= 0.95 * numCases, misses.join('\n'));
});
