/**
 * Seconds of dispatching tokens to their experts, or of combining what comes back.
 *
 * ```
 * normal:       fixed + max( bytes between nodes / NIC,  bytes to ranks / min(NVLink, SMs) )
 * low latency:  fixed + max( copies to other nodes / NIC,  copies inside the node / NVLink )
 * ```
 *
 * Normal kernels send a token to each of its nodes once and forward it there over NVLink (V3
 * report, 3.2.2); low-latency kernels send one copy for each expert. Combine is the same way
 * back: sums are made in the node before the network, so the bytes are alike.
 *
 * The busiest rank decides. It receives `imbalance` times the mean over NVLink; its node's NICs
 * share what comes for the node. What a rank sends does not depend on where it goes.
 *
 * Switches that copy (or add up) take nothing off: one copy leaves the sender's NIC instead of
 * four, but as many as before arrive over every receiver's, and NICs work both ways at once.
 */
import { MoebiusError } from '../../base/errors.ts';
import type { ClusterSpec } from '../../config/clusterSpec.ts';
import type { ExpertExchange } from '../networkModel.ts';
import type { ExchangeKernels } from './exchangeKernels.ts';
import { type ExpertSpread, expectedSpread } from './expertSpread.ts';
import { domainsOf, nicBytesPerSecond, scaleUpBytesPerSecond } from './groupShape.ts';

export interface ExchangeSetting {
  readonly cluster: ClusterSpec;
  readonly kernels: ExchangeKernels;
  /** Time on this fabric over time on one that blocks nothing. */
  readonly fabricSlowdown: number;
}

/** Where an exchange's time goes; the largest of the three bounds it. */
export interface ExchangeParts {
  readonly seconds: number;
  readonly fixedSeconds: number;
  readonly nicSeconds: number;
  readonly scaleUpSeconds: number;
  /** What the SMs take for the same bytes; 0 where none is used. */
  readonly smSeconds: number;
  readonly spread: ExpertSpread;
  readonly numNodes: number;
}

export function exchangeParts(exchange: ExpertExchange, setting: ExchangeSetting): ExchangeParts {
  checkExchange(exchange);
  const { cluster, kernels } = setting;
  const { group, tokensPerRank, bytesPerToken, expertsPerToken, numSms } = exchange;
  const { numDomains, ranksPerDomain } = domainsOf(group, cluster);
  const spread = expectedSpread({
    numExperts: exchange.numExperts,
    expertsPerToken,
    numRanks: group.size,
    numNodes: numDomains,
    nodeLimit: exchange.nodeLimit,
  });
  const isLowLatency = exchange.kernel === 'lowLatency';
  const bytes = tokensPerRank * bytesPerToken;
  const hot = hotFactors({ exchange, ranksPerDomain, ranksOfToken: spread.ranks });
  const isUnified = cluster.scaleOut.unifiedScaleUpOut;
  const overNic = isLowLatency
    ? kernels.lowLatencyUsesScaleUp || cluster.scaleOut.kind === 'none'
      ? expertsPerToken * (1 - 1 / numDomains)
      : expertsPerToken * (1 - 1 / group.size)
    : spread.nodes * (1 - 1 / numDomains);
  const overScaleUp = isLowLatency
    ? kernels.lowLatencyUsesScaleUp
      ? expertsPerToken * (1 / numDomains - 1 / group.size)
      : 0
    : spread.ranks;
  const nicShare = isUnified || isLowLatency ? 1 : kernels.nicShare;
  const nicRate = nicBytesPerSecond(cluster) * nicShare;
  const nicSeconds =
    overNic === 0 ? 0 : (bytes * overNic * hot.ofNode * setting.fabricSlowdown) / nicRate;
  const ownLink = bytes * overScaleUp * hot.ofRank;
  // Over PCIe, what goes to a NIC passes the same link as what goes to a neighbour.
  const shared = cluster.scaleUp.kind === 'pcie' ? bytes * overNic * hot.ofNode : 0;
  const scaleUpSeconds = (ownLink + shared) / scaleUpBytesPerSecond(cluster);
  const usesSms = numSms > 0 && !isUnified && !isLowLatency;
  const perSm = numDomains > 1 ? kernels.forwardBytesPerSm : kernels.copyBytesPerSm;
  const smSeconds = usesSms ? ownLink / (numSms * perSm) : 0;
  const fixedSeconds = group.size === 1 ? 0 : kernels.fixedSeconds;
  return {
    seconds: fixedSeconds + Math.max(nicSeconds, scaleUpSeconds, smSeconds),
    fixedSeconds,
    nicSeconds,
    scaleUpSeconds,
    smSeconds,
    spread,
    numNodes: numDomains,
  };
}

/** The busiest rank's load over the mean, and that of its node. */
function hotFactors(args: {
  readonly exchange: ExpertExchange;
  readonly ranksPerDomain: number;
  readonly ranksOfToken: number;
}): { readonly ofRank: number; readonly ofNode: number } {
  const { exchange, ranksPerDomain, ranksOfToken } = args;
  const { size } = exchange.group;
  // No rank gets a token twice: at the most, all tokens.
  const most = exchange.kernel === 'lowLatency' ? size : size / ranksOfToken;
  const ofRank = Math.min(exchange.imbalance, most);
  const others = size === 1 ? 1 : (size - ofRank) / (size - 1);
  return { ofRank, ofNode: (ofRank + (ranksPerDomain - 1) * others) / ranksPerDomain };
}

function checkExchange(exchange: ExpertExchange): void {
  const refuse = (what: string, value: unknown, hint: string): never => {
    throw new MoebiusError('network.badExchange', `${what} is ${value}.`, {
      values: { [what]: value },
      hint,
    });
  };
  const { tokensPerRank, bytesPerToken, expertsPerToken, numExperts, numSms, imbalance } = exchange;
  for (const [what, value] of Object.entries({ tokensPerRank, bytesPerToken, numSms })) {
    if (!(value >= 0 && value < Number.POSITIVE_INFINITY)) {
      refuse(what, value, `Set ${what} to zero or more.`);
    }
  }
  if (!(Number.isInteger(expertsPerToken) && expertsPerToken >= 1)) {
    refuse('expertsPerToken', expertsPerToken, 'Give every token at least one expert.');
  }
  if (!(numExperts >= expertsPerToken)) {
    refuse('numExperts', numExperts, `Take at least ${expertsPerToken} experts.`);
  }
  if (!(imbalance >= 1)) {
    refuse('imbalance', imbalance, 'Set it to the busiest rank over the mean: 1 or more.');
  }
  if (exchange.nodeLimit !== null && !(exchange.nodeLimit >= 1)) {
    refuse('nodeLimit', exchange.nodeLimit, 'Allow one node at least, or null for no limit.');
  }
}
