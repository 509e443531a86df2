/**
 * Exchange time against the hottest expert's load: what a skewed router costs the network.
 *
 * A rank holds several experts, so one expert with x times the mean makes its rank only
 * (x + e − 1) / e times as busy when the rank's other e − 1 experts have the mean.
 */
import type { Estimate } from '../estimate.ts';
import type { ExpertExchange, NetworkModel } from '../networkModel.ts';

export interface ImbalancePoint {
  /** Load of the hottest expert over the mean. */
  readonly hottestExpert: number;
  /** Of its rank. */
  readonly hottestRank: number;
  readonly dispatch: Estimate;
  readonly combine: Estimate;
  /** Dispatch and combine over those of an even load. */
  readonly slowdown: number;
}

export interface ImbalanceQuestion {
  readonly network: NetworkModel;
  /** Of dispatch; its `imbalance` is not read. */
  readonly exchange: ExpertExchange;
  readonly combineBytesPerToken: number;
  /** Loads of the hottest expert over the mean; by default 1 to 8. */
  readonly loads?: readonly number[];
}

export function imbalanceCurve(question: ImbalanceQuestion): ImbalancePoint[] {
  const { network, exchange, combineBytesPerToken } = question;
  const { loads = [1, 1.25, 1.5, 2, 3, 4, 6, 8] } = question;
  const expertsPerRank = Math.max(1, exchange.numExperts / exchange.group.size);
  const both = (imbalance: number): readonly [Estimate, Estimate] => [
    network.dispatch({ ...exchange, imbalance }),
    network.combine({ ...exchange, imbalance, bytesPerToken: combineBytesPerToken }),
  ];
  const [evenDispatch, evenCombine] = both(1);
  return loads.map((hottestExpert) => {
    const hottestRank = (hottestExpert + expertsPerRank - 1) / expertsPerRank;
    const [dispatch, combine] = both(hottestRank);
    const even = evenDispatch.seconds + evenCombine.seconds;
    const slowdown = even === 0 ? 1 : (dispatch.seconds + combine.seconds) / even;
    return { hottestExpert, hottestRank, dispatch, combine, slowdown };
  });
}

/** The busiest rank's load over the mean, from tokens counted for each expert. */
export function imbalanceOfLoads(args: {
  readonly loads: ArrayLike<number>;
  readonly numRanks: number;
}): number {
  const loads = Array.from(args.loads);
  const perRank = loads.length / args.numRanks;
  const ofRank = new Array<number>(args.numRanks).fill(0);
  for (const [expert, load] of loads.entries()) {
    const rank = Math.floor(expert / perRank);
    ofRank[rank] = (ofRank[rank] ?? 0) + load;
  }
  const total = ofRank.reduce((sum, load) => sum + load, 0);
  return total === 0 ? 1 : (Math.max(...ofRank) * args.numRanks) / total;
}
