/**
 * A network of published bandwidths and nothing else: DeepEP's normal kernels on 64 ranks (logical
 * bytes: one copy for each node, up to the node limit) and rings over NVLink or one NIC. Enough to
 * price passes in tests without the described fabrics of `simulator/network`.
 */
import type { Estimate } from '../../src/simulator/estimate.ts';
import type { ExpertExchange, NetworkModel, RankGroup } from '../../src/simulator/networkModel.ts';

export interface PublishedBandwidths {
  readonly dispatch: number;
  readonly combine: number;
  readonly nvlink: number;
  readonly nic: number;
}

/** DeepEP README, 64 ranks, April 2025; NVLink as its 8-rank row shows it; a NIC of 400 Gb/s. */
export const deepEp64: PublishedBandwidths = {
  dispatch: 51e9,
  combine: 50e9,
  nvlink: 155e9,
  nic: 45e9,
};

export function publishedNetwork(bandwidths: PublishedBandwidths = deepEp64): NetworkModel {
  const taking = (seconds: number): Estimate => ({
    seconds,
    source: 'measured',
    relativeError: 0.1,
  });
  const exchange =
    (kind: 'dispatch' | 'combine') =>
    ({ tokensPerRank, bytesPerToken, nodeLimit, expertsPerToken, imbalance }: ExpertExchange) => {
      const copies = nodeLimit ?? expertsPerToken;
      return taking((tokensPerRank * copies * bytesPerToken * imbalance) / bandwidths[kind]);
    };
  const ring = (bytes: number, { size, stride }: RankGroup): number =>
    (bytes * (size - 1)) / size / (size * stride <= 8 ? bandwidths.nvlink : bandwidths.nic);
  return {
    dispatch: exchange('dispatch'),
    combine: exchange('combine'),
    send: ({ bytes }) => taking(bytes / bandwidths.nic),
    reduceScatter: ({ bytes, group }) => taking(ring(bytes, group)),
    allGather: ({ bytes, group }) => taking(ring(bytes, group)),
    allReduce: ({ bytes, group }) => taking(2 * ring(bytes, group)),
    allToAll: ({ bytes, group }) => taking(ring(bytes, group)),
  };
}
