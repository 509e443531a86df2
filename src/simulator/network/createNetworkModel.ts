/**
 * A described network behind the `NetworkModel` interface: closed forms, slowed down by what a
 * simulation of flows says of this fabric (once for each shape of group, then remembered).
 *
 * Sources: dispatch and combine are `fitted` on links and sizes like those of DeepEP's tables and
 * `extrapolated` elsewhere; the collectives follow from the description and are `derived`.
 */
import { MoebiusError } from '../../base/errors.ts';
import type { ClusterSpec } from '../../config/clusterSpec.ts';
import type { Estimate } from '../estimate.ts';
import type { ExpertExchange, NetworkModel, RankGroup } from '../networkModel.ts';
import {
  allGatherSeconds,
  allReduceSeconds,
  allToAllSeconds,
  type CollectiveSetting,
  reduceScatterSeconds,
} from './collectives.ts';
import { type FabricPattern, fabricSlowdown } from './completion.ts';
import { type ExchangeParts, exchangeParts } from './exchange.ts';
import {
  defaultExchangeVersion,
  type ExchangeKernels,
  type ExchangeVersion,
  exchangeKernels,
} from './exchangeKernels.ts';
import { domainsOf, nicBytesPerSecond, scaleUpBytesPerSecond } from './groupShape.ts';
import { routeLatency } from './routes.ts';
import { buildTopology, type Topology } from './topology.ts';

export interface NetworkModelOptions {
  /** Whose dispatch and combine; by default those measured on links like these. */
  readonly exchangeVersion?: ExchangeVersion;
}

export interface DescribedNetwork extends NetworkModel {
  readonly topology: Topology;
  readonly exchangeVersion: ExchangeVersion;
  /** Where the time of a dispatch or combine goes. */
  exchangeParts(exchange: ExpertExchange): ExchangeParts;
}

/** Of collectives by closed form; what libraries lose to buffers and stragglers is not in it. */
const DERIVED_ERROR = 0.15;
const EXTRAPOLATED_ERROR = 0.25;

/**
 * @throws network.tooLarge, network.badCluster when the fabric cannot be built; network.noPath
 * when a group spans ranks that nothing joins
 */
export function createNetworkModel(
  cluster: ClusterSpec,
  options: NetworkModelOptions = {},
): DescribedNetwork {
  const topology = buildTopology(cluster);
  const version = options.exchangeVersion ?? defaultExchangeVersion(cluster.scaleUp.bytesPerSecond);
  const kernels = exchangeKernels[version];
  const slowdowns = new Map<string, number>();
  const latencies = new Map<number, number>();

  const slowdownOf = (pattern: FabricPattern): number => {
    const key = `${pattern.kind} ${pattern.stride} ${pattern.kind === 'shift' ? 0 : pattern.size}`;
    let value = slowdowns.get(key);
    if (value === undefined) {
      value = fabricSlowdown(topology, pattern);
      slowdowns.set(key, value);
    }
    return value;
  };
  /** Between two ranks so far apart; the route must exist. */
  const messageSeconds = (distance: number): number => {
    let value = latencies.get(distance);
    if (value === undefined) {
      value = routeLatency(topology, { source: 0, target: distance });
      latencies.set(distance, value);
    }
    return value;
  };
  const setting = (
    bytes: number,
    group: RankGroup,
    kind: 'exchange' | 'ring',
  ): CollectiveSetting => {
    checkBytes(bytes);
    const { numDomains, ranksPerDomain } = domainsOf(group, cluster);
    const spans = numDomains > 1;
    // From the first to the last domain, at one place.
    const distance = (numDomains - 1) * ranksPerDomain * group.stride;
    return {
      cluster,
      group,
      bytes,
      messageSeconds: spans ? messageSeconds(Math.min(distance, cluster.numGpus - 1)) : 0,
      fabricSlowdown: spans ? slowdownOf({ kind, ...group }) : 1,
    };
  };
  const parts = (exchange: ExpertExchange): ExchangeParts => {
    const { group } = exchange;
    const { fabricSlowdown: slowdown } = setting(0, group, 'exchange');
    return exchangeParts(exchange, { cluster, kernels, fabricSlowdown: slowdown });
  };
  const exchanges = new Map<string, Estimate>();
  const exchange = (asked: ExpertExchange): Estimate => {
    // Every layer of every pass asks for one of a few.
    const key = exchangeKey(asked);
    const known = exchanges.get(key);
    if (known !== undefined) return known;
    const { seconds } = parts(asked);
    const made = { seconds, ...confidence(asked, cluster, kernels) };
    exchanges.set(key, made);
    return made;
  };
  const derived = (seconds: number): Estimate => ({
    seconds,
    source: 'derived',
    relativeError: DERIVED_ERROR,
  });
  return {
    topology,
    exchangeVersion: version,
    exchangeParts: parts,
    dispatch: exchange,
    combine: exchange,
    send: ({ bytes, stride }) => {
      checkBytes(bytes);
      domainsOf({ size: 2, stride }, cluster);
      // Of all such pairs some lie in two domains, unless there is only one; the slowest decides.
      if (cluster.numGpus <= cluster.scaleUp.domainSize) {
        return derived(bytes / scaleUpBytesPerSecond(cluster) + cluster.scaleUp.latencySeconds);
      }
      const { domainSize } = cluster.scaleUp;
      const latency = messageSeconds(
        stride % domainSize === 0 ? stride : Math.max(stride, domainSize),
      );
      const slowdown = slowdownOf({ kind: 'shift', stride });
      return derived((bytes * slowdown) / nicBytesPerSecond(cluster) + latency);
    },
    reduceScatter: ({ bytes, group }) =>
      derived(reduceScatterSeconds(setting(bytes, group, 'ring'))),
    allGather: ({ bytes, group }) => derived(allGatherSeconds(setting(bytes, group, 'ring'))),
    allReduce: ({ bytes, group }) => derived(allReduceSeconds(setting(bytes, group, 'ring'))),
    allToAll: ({ bytes, group }) => derived(allToAllSeconds(setting(bytes, group, 'exchange'))),
  };
}

function exchangeKey(asked: ExpertExchange): string {
  const { group, tokensPerRank, bytesPerToken, expertsPerToken, numExperts } = asked;
  const { nodeLimit, imbalance, numSms, kernel = 'normal' } = asked;
  const sizes = `${group.size} ${group.stride} ${tokensPerRank} ${bytesPerToken}`;
  return `${sizes} ${expertsPerToken} ${numExperts} ${nodeLimit} ${imbalance} ${numSms} ${kernel}`;
}

/** The tables: EP8 to EP256, 128 to 8,192 tokens, even load, 50 GB/s NICs, 12 to 64 SMs of V2. */
function confidence(
  { group, tokensPerRank, imbalance, numSms, kernel }: ExpertExchange,
  cluster: ClusterSpec,
  kernels: ExchangeKernels,
): Pick<Estimate, 'source' | 'relativeError'> {
  const { scaleUp, scaleOut } = cluster;
  if (scaleOut.unifiedScaleUpOut || (numSms === 0 && kernel !== 'lowLatency')) {
    return { source: 'derived', relativeError: EXTRAPOLATED_ERROR };
  }
  const isV2 = kernels.version === 'deepep-v2';
  const isLikeTables =
    group.size >= 8 &&
    group.size <= 256 &&
    tokensPerRank >= 128 &&
    tokensPerRank <= 16_384 &&
    imbalance === 1 &&
    scaleUp.kind === 'nvlink' &&
    scaleUp.domainSize === 8 &&
    (isV2 ? scaleUp.bytesPerSecond >= 450e9 : scaleUp.bytesPerSecond === 200e9) &&
    scaleOut.nicBytesPerSecond === 50e9 &&
    scaleOut.nicsPerNode === cluster.gpusPerNode &&
    scaleOut.failedPlanes.length + scaleOut.failedUplinks.length === 0;
  return isLikeTables
    ? { source: 'fitted', relativeError: kernels.relativeError }
    : { source: 'extrapolated', relativeError: EXTRAPOLATED_ERROR };
}

function checkBytes(bytes: number): void {
  if (bytes >= 0 && bytes < Number.POSITIVE_INFINITY) return;
  throw new MoebiusError('network.badBytes', `A message of ${bytes} bytes cannot be sent.`, {
    values: { bytes },
    hint: 'Give a number of bytes of zero or more.',
  });
}
