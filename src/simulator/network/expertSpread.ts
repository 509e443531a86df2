/**
 * How many nodes and ranks a token's experts lie on.
 *
 * A token that goes to two experts of one node crosses the network once and is copied there
 * (DeepSeek-V3 report, 2.1.2 and 3.2.2), so traffic is counted in distinct nodes, the sender's own
 * included as DeepEP counts ("logical bandwidth"), and in distinct ranks.
 *
 * With a node limit M, a node's score is that of its best expert and the M best nodes stay, as in
 * DeepEP's test. Experts in falling order of score are then drawn one after another; until M nodes
 * have been met every expert may come, afterwards only experts of those M. Which rank and node the
 * next one has depends only on how many were met, so the expectation is a small exact recursion.
 * DeepSeek's router scores a node by its two best; sampling says that is within 0.3 %.
 */
import { at } from '../../base/assert.ts';
import type { Random } from '../../base/random.ts';

export interface SpreadQuestion {
  readonly numExperts: number;
  readonly expertsPerToken: number;
  readonly numRanks: number;
  /** Nodes, or whatever the limit counts and the scale-up network spans. */
  readonly numNodes: number;
  /** The most nodes of a token; null limits nothing. */
  readonly nodeLimit: number | null;
}

/** Expected distinct nodes and ranks of one token, its own included. */
export interface ExpertSpread {
  readonly nodes: number;
  readonly ranks: number;
}

/** Exact where all experts are equally likely. */
export function expectedSpread(question: SpreadQuestion): ExpertSpread {
  const { numExperts, expertsPerToken, numRanks, numNodes } = question;
  const limit = Math.min(question.nodeLimit ?? numNodes, numNodes);
  const perNode = numExperts / numNodes;
  const perRank = numExperts / numRanks;
  const width = expertsPerToken + 1;
  // chance[nodes × width + ranks] after each draw
  let chance = new Float64Array(width * width);
  chance[0] = 1;
  for (let drawn = 0; drawn < expertsPerToken; drawn++) {
    const next = new Float64Array(width * width);
    for (let nodes = 0; nodes <= drawn; nodes++) {
      for (let ranks = nodes; ranks <= drawn; ranks++) {
        const now = at(chance, nodes * width + ranks);
        if (now === 0) continue;
        const inRanks = Math.max(0, ranks * perRank - drawn);
        const inNodes = Math.max(0, nodes * perNode - ranks * perRank);
        const elsewhere = nodes < limit ? Math.max(0, (numNodes - nodes) * perNode) : 0;
        const all = inRanks + inNodes + elsewhere;
        // Fewer experts than asked for: the token has all of them.
        if (all <= 0) {
          add(next, nodes * width + ranks, now);
          continue;
        }
        add(next, nodes * width + ranks, (now * inRanks) / all);
        add(next, nodes * width + ranks + 1, (now * inNodes) / all);
        add(next, (nodes + 1) * width + ranks + 1, (now * elsewhere) / all);
      }
    }
    chance = next;
  }
  let [meanNodes, meanRanks] = [0, 0];
  for (let nodes = 0; nodes < width; nodes++) {
    for (let ranks = 0; ranks < width; ranks++) {
      meanNodes += nodes * at(chance, nodes * width + ranks);
      meanRanks += ranks * at(chance, nodes * width + ranks);
    }
  }
  return { nodes: meanNodes, ranks: meanRanks };
}

function add(values: Float64Array, index: number, amount: number): void {
  if (amount > 0) values[index] = at(values, index) + amount;
}

export interface LoadedSpread extends ExpertSpread {
  /** Tokens at the busiest rank over the mean. */
  readonly imbalance: number;
  /** Share of all tokens that come to each rank and to each node. */
  readonly rankShare: Float64Array;
  readonly nodeShare: Float64Array;
}

/**
 * The same by sampling, for a given load: experts are drawn in proportion to `loads` without
 * putting back (perturbed logarithms, the largest win), nodes by the sum of their best
 * `expertsPerNodeScore` scores.
 */
export function sampleSpread(
  question: SpreadQuestion & {
    readonly loads: ArrayLike<number>;
    readonly expertsPerNodeScore: number;
    readonly numTokens: number;
    readonly random: Random;
  },
): LoadedSpread {
  const { numExperts, expertsPerToken, numRanks, numNodes, loads, random, numTokens } = question;
  const limit = Math.min(question.nodeLimit ?? numNodes, numNodes);
  const perNode = numExperts / numNodes;
  const perRank = numExperts / numRanks;
  const rankShare = new Float64Array(numRanks);
  const nodeShare = new Float64Array(numNodes);
  const weights = Float64Array.from({ length: numExperts }, (_, e) => at(loads, e));
  for (let token = 0; token < numTokens; token++) {
    // Exponential races: the first to finish are drawn in proportion to their rates. Scores are
    // positive and fall with the finishing time, as a router's affinities do.
    const scores = weights.map((w) => (w > 0 ? 1 / (1 - Math.log(1 - random.uniform()) / w) : 0));
    const nodeScores = Array.from({ length: numNodes }, (_, node) => {
      const own = scores.slice(node * perNode, (node + 1) * perNode).sort();
      return own.slice(-question.expertsPerNodeScore).reduce((sum, score) => sum + score, 0);
    });
    const kept = new Set(largest(nodeScores, limit));
    const masked = scores.map((score, e) => (kept.has(Math.floor(e / perNode)) ? score : -1));
    const chosen = largest(masked, expertsPerToken);
    for (const rank of new Set(chosen.map((e) => Math.floor(e / perRank)))) add(rankShare, rank, 1);
    for (const node of new Set(chosen.map((e) => Math.floor(e / perNode)))) add(nodeShare, node, 1);
  }
  const sum = (values: Float64Array): number => values.reduce((total, value) => total + value, 0);
  const ranks = sum(rankShare) / numTokens;
  return {
    nodes: sum(nodeShare) / numTokens,
    ranks,
    imbalance: (rankShare.reduce((a, b) => Math.max(a, b), 0) / numTokens) * (numRanks / ranks),
    rankShare: rankShare.map((value) => value / numTokens),
    nodeShare: nodeShare.map((value) => value / numTokens),
  };
}

function largest(values: ArrayLike<number>, count: number): number[] {
  const order = Array.from(values, (_, i) => i).sort((a, b) => at(values, b) - at(values, a));
  return order.slice(0, count);
}
