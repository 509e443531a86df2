/** Sampled routings obey the rule, repeat with their seed, and are as uneven as asked. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Random } from '../../base/random.ts';
import { maxViolation } from './biasUpdate.ts';
import { sampleRouting } from './sampleRouting.ts';

const v3 = { numGroups: 8, groupsKept: 4, expertsPerToken: 8 };

function loads(ids: Int32Array, numExperts: number): Int32Array {
  const counts = new Int32Array(numExperts);
  for (const id of ids) counts[id] = (counts[id] ?? 0) + 1;
  return counts;
}

test('Experts of a token are distinct and lie in the groups it may use', () => {
  const group = fc.integer({ min: 1, max: 4 });
  fc.assert(
    fc.property(group, group, fc.integer({ min: 1, max: 4 }), fc.nat(), (a, b, size, seed) => {
      const [groupsKept, numGroups] = [Math.min(a, b), Math.max(a, b)];
      const expertsPerToken = Math.min(3, groupsKept * size);
      const rule = { numGroups, groupsKept, expertsPerToken };
      const numExperts = numGroups * size;
      const random = new Random(seed);
      const ids = sampleRouting({ rule, numTokens: 20, numExperts, skew: 1, random });
      for (let token = 0; token < 20; token++) {
        const chosen = ids.subarray(token * expertsPerToken, (token + 1) * expertsPerToken);
        assert.equal(new Set(chosen).size, expertsPerToken);
        assert.ok(chosen.every((id) => id >= 0 && id < numExperts));
        const groups = new Set([...chosen].map((id) => Math.floor(id / size)));
        assert.ok(groups.size <= groupsKept);
      }
    }),
    { seed: 1 },
  );
});

test('The same seed gives the same routing', () => {
  const sample = (seed: number): Int32Array =>
    sampleRouting({ rule: v3, numTokens: 5, numExperts: 256, skew: 1, random: new Random(seed) });
  assert.deepEqual(sample(3), sample(3));
  assert.notDeepEqual(sample(3), sample(4));
});

test('Without skew loads are even up to chance; with skew they are not', () => {
  const violation = (skew: number): number => {
    const random = new Random(1);
    const ids = sampleRouting({ rule: v3, numTokens: 4000, numExperts: 256, skew, random });
    return maxViolation(loads(ids, 256));
  };
  // 125 tokens per expert on average: the largest of 256 lies within four deviations.
  assert.ok(violation(0) < 0.4, `${violation(0)}`);
  assert.ok(violation(1) > 2, `${violation(1)}`);
});
