/** Expected nodes and ranks of a token against closed forms and against sampled routers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Random } from '../../base/random.ts';
import { expectedSpread, type SpreadQuestion, sampleSpread } from './expertSpread.ts';

const v3: SpreadQuestion = {
  numExperts: 256,
  expertsPerToken: 8,
  numRanks: 64,
  numNodes: 8,
  nodeLimit: 4,
};

/** n (1 − C(E − E/n, k) / C(E, k)): places of k experts drawn without putting back. */
function places(n: number, experts: number, k: number): number {
  let missed = 1;
  for (let i = 0; i < k; i++) missed *= (experts - experts / n - i) / (experts - i);
  return n * (1 - missed);
}

test('no node limit: the hypergeometric formula, for nodes and for ranks', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(1, 2, 4, 8),
      fc.constantFrom(1, 2, 4),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 8 }),
      (numNodes, ranksPerNode, expertsPerRank, wanted) => {
        const numRanks = numNodes * ranksPerNode;
        const numExperts = numRanks * expertsPerRank;
        const expertsPerToken = Math.min(wanted, numExperts);
        const question = { numExperts, expertsPerToken, numRanks, numNodes, nodeLimit: null };
        const { nodes, ranks } = expectedSpread(question);
        assert.ok(Math.abs(nodes - places(numNodes, numExperts, expertsPerToken)) < 1e-9);
        assert.ok(Math.abs(ranks - places(numRanks, numExperts, expertsPerToken)) < 1e-9);
      },
    ),
  );
});

test('node limit: V3’s tokens reach 3.98 nodes and 7.47 ranks; the sampled router agrees', () => {
  const { nodes, ranks } = expectedSpread(v3);
  const sampled = sampleSpread({
    ...v3,
    loads: new Float64Array(256).fill(1),
    expertsPerNodeScore: 1,
    numTokens: 8000,
    random: new Random(7),
  });
  // Of 8,000 tokens the mean of ranks, which vary by 0.7, is within 0.03 (three deviations).
  assert.ok(Math.abs(nodes - sampled.nodes) < 0.01, `${nodes} ${sampled.nodes}`);
  assert.ok(Math.abs(ranks - sampled.ranks) < 0.03, `${ranks} ${sampled.ranks}`);
  assert.equal(nodes.toFixed(2), '3.98');
});

test('node limit: scoring nodes by their two best experts, as V3 does, differs by under 1 %', () => {
  const { nodes, ranks } = expectedSpread(v3);
  const sampled = sampleSpread({
    ...v3,
    loads: new Float64Array(256).fill(1),
    expertsPerNodeScore: 2,
    numTokens: 8000,
    random: new Random(8),
  });
  assert.ok(Math.abs(sampled.nodes / nodes - 1) < 0.01);
  assert.ok(Math.abs(sampled.ranks / ranks - 1) < 0.01);
});

test('a given load: a hot expert makes its rank and node busy, never busier than all tokens', () => {
  const loads = new Float64Array(256).fill(1);
  loads[37] = 40;
  const question = { ...v3, loads, expertsPerNodeScore: 2, numTokens: 1500 };
  const sampled = sampleSpread({ ...question, random: new Random(9) });
  assert.ok(sampled.imbalance > 3);
  assert.equal(sampled.rankShare.indexOf(Math.max(...sampled.rankShare)), 9);
  assert.equal(sampled.nodeShare.indexOf(Math.max(...sampled.nodeShare)), 1);
  assert.ok(Math.max(...sampled.rankShare) <= 1);
  assert.ok(Math.abs(sampled.nodeShare.reduce((a, b) => a + b, 0) - sampled.nodes) < 1e-9);
});

test('fewer experts than asked for: the token has all of them and the sum ends', () => {
  const tiny = { numExperts: 4, expertsPerToken: 4, numRanks: 4, numNodes: 2 };
  assert.deepEqual(expectedSpread({ ...tiny, nodeLimit: null }), { nodes: 2, ranks: 4 });
  assert.deepEqual(expectedSpread({ ...tiny, nodeLimit: 1 }), { nodes: 1, ranks: 2 });
});
