/**
 * Routings that nobody computed: which experts tokens choose, drawn at random under a gate's rule.
 * The meta kernels have no scores to choose by, and a simulation of a cluster wants loads that are
 * as uneven as those of a real router.
 *
 * Each expert has a popularity; a token draws its groups and then its experts by popularity,
 * without replacement, like the gate draws them by affinity (report, 2.1.2).
 */
import { assert, at } from '../../base/assert.ts';
import type { Random } from '../../base/random.ts';
import type { GateRule } from './gate.ts';

/**
 * @param skew deviation of the experts' log-popularity: 0 spreads tokens evenly on average; at 1
 *   the busiest of 256 experts gets about eight times the mean (V3's rule, 4,096 tokens)
 * @returns `[numTokens × expertsPerToken]`, distinct within a token
 */
export function sampleRouting(args: {
  rule: Pick<GateRule, 'numGroups' | 'groupsKept' | 'expertsPerToken'>;
  numTokens: number;
  numExperts: number;
  skew: number;
  random: Random;
}): Int32Array {
  const { rule, numTokens, numExperts, skew, random } = args;
  const { numGroups, groupsKept, expertsPerToken } = rule;
  const groupSize = numExperts / numGroups;
  assert(
    Number.isInteger(groupSize) && expertsPerToken <= groupsKept * groupSize,
    `top ${expertsPerToken} of ${groupsKept} groups of ${groupSize}`,
  );
  const popularity = Float64Array.from({ length: numExperts }, () => skew * random.normal());
  const scores = new Float64Array(numExperts);
  const ids = new Int32Array(numTokens * expertsPerToken);
  for (let token = 0; token < numTokens; token++) {
    // Gumbel noise on log-popularity: the k best are k draws without replacement.
    for (let e = 0; e < numExperts; e++) {
      scores[e] = at(popularity, e) - Math.log(-Math.log((random.uint32() + 0.5) / 2 ** 32));
    }
    const groups = takeLargest(groupScores(scores, groupSize), groupsKept);
    for (let e = 0; e < numExperts; e++) {
      if (!groups.includes(Math.floor(e / groupSize))) scores[e] = Number.NEGATIVE_INFINITY;
    }
    ids.set(takeLargest(scores, expertsPerToken), token * expertsPerToken);
  }
  return ids;
}

/** A group is worth its best expert; with one group there is nothing to compare. */
function groupScores(scores: Float64Array, groupSize: number): Float64Array {
  return Float64Array.from({ length: scores.length / groupSize }, (_, group) =>
    Math.max(...scores.subarray(group * groupSize, (group + 1) * groupSize)),
  );
}

/** Indices of the largest values, which are struck out: a few passes are cheaper than a sort. */
function takeLargest(values: Float64Array, count: number): number[] {
  return Array.from({ length: count }, () => {
    let best = 0;
    for (let i = 1; i < values.length; i++) if (at(values, i) > at(values, best)) best = i;
    values[best] = Number.NEGATIVE_INFINITY;
    return best;
  });
}
