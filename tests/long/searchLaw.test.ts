/**
 * The law of the two levels: in 95 % of 200 random searches the cheap model's top ten hold the plan
 * that the full simulation ranks first among all that fit.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkRanking } from '../support/searchCases.ts';

const NUM_CASES = 200;

test('searchPlans: the top ten hold the best plan in 95 % of 200 random cases', () => {
  const misses: string[] = [];
  let numCases = 0;
  for (let seed = 0; numCases < NUM_CASES; seed++) {
    assert.ok(seed < 2 * NUM_CASES, 'most random searches find a plan that fits');
    const check = checkRanking(seed, 'moderate');
    if (check === null) continue;
    numCases++;
    if (check.place >= 10) misses.push(`seed ${seed}: place ${check.place}, ${check.what}`);
  }
  assert.ok(misses.length <= 0.05 * NUM_CASES, misses.join('\n'));
});
