/**
 * Closed forms of collectives on groups that span scale-up domains: g ranks in each of m domains,
 * n = g × m. B is the whole tensor.
 *
 * ```
 * ring            every byte goes round: B/g × (n−1)/n over each NIC, B × (g−1)/g over NVLink
 * hierarchical    NVLink inside, then one NIC per rail: B × (m−1)/n and B × (g−1)/g
 * all-reduce      a reduce-scatter and an all-gather
 * all-to-all      what leaves the domain goes by the NIC of the receiver's plane, over NVLink first
 * ```
 *
 * Chunks are pipelined, so the slower of NIC and NVLink bounds; latencies of the steps add up.
 * A library would take the faster of ring and hierarchical, and so does the model.
 */
import type { ClusterSpec } from '../../config/clusterSpec.ts';
import type { RankGroup } from '../networkModel.ts';
import { domainsOf, nicBytesPerSecond, scaleUpBytesPerSecond } from './groupShape.ts';

export interface CollectiveSetting {
  readonly cluster: ClusterSpec;
  readonly group: RankGroup;
  readonly bytes: number;
  /** Time on this fabric over time on one that blocks nothing. */
  readonly fabricSlowdown: number;
  /** Seconds of one message between domains of the group. */
  readonly messageSeconds: number;
}

/** `inNetwork`: hierarchical, the middle by switches that copy or add up, in one step. */
export type CollectiveAlgorithm = 'ring' | 'hierarchical' | 'inNetwork';

/** All-gather, or reduce-scatter, which is the same bytes the other way. */
export function gatherSeconds(setting: CollectiveSetting, algorithm: CollectiveAlgorithm): number {
  const { cluster, group, bytes, fabricSlowdown, messageSeconds } = setting;
  const { numDomains, ranksPerDomain } = domainsOf(group, cluster);
  const nic = nicBytesPerSecond(cluster) / fabricSlowdown;
  const scaleUp = scaleUpBytesPerSecond(cluster);
  const scaleUpLatency = cluster.scaleUp.latencySeconds;
  const { size } = group;
  if (size === 1) return 0;
  if (numDomains === 1) {
    return (bytes * (size - 1)) / size / scaleUp + (size - 1) * scaleUpLatency;
  }
  const inside = (bytes * (ranksPerDomain - 1)) / ranksPerDomain / scaleUp;
  switch (algorithm) {
    case 'ring': {
      const between = (bytes * (size - 1)) / size / ranksPerDomain / nic;
      const steps = (size - numDomains) * scaleUpLatency + (numDomains - 1) * messageSeconds;
      return slower(cluster, between, inside) + steps;
    }
    case 'hierarchical':
    case 'inNetwork': {
      // A gather's bytes arrive over every NIC, copied by switches or not; a reduction's leave.
      const between = (bytes * (numDomains - 1)) / size / nic;
      const messages = algorithm === 'inNetwork' ? 1 : numDomains - 1;
      const steps = (ranksPerDomain - 1) * scaleUpLatency + messages * messageSeconds;
      return slower(cluster, between, inside) + steps;
    }
    default:
      algorithm satisfies never;
      return Number.NaN;
  }
}

export function allGatherSeconds(setting: CollectiveSetting): number {
  return fastest(setting, setting.cluster.scaleOut.inNetworkMulticast);
}

export function reduceScatterSeconds(setting: CollectiveSetting): number {
  return fastest(setting, setting.cluster.scaleOut.inNetworkReduce);
}

function fastest(setting: CollectiveSetting, bySwitches: boolean): number {
  const today = ['ring', 'hierarchical'] as const;
  const allowed = bySwitches ? ([...today, 'inNetwork'] as const) : today;
  return Math.min(...allowed.map((algorithm) => gatherSeconds(setting, algorithm)));
}

/**
 * Reduce-scatter and all-gather one after the other. Switches that add up take the middle of a
 * hierarchical one: each NIC sends its share once and receives the sum once.
 */
export function allReduceSeconds(setting: CollectiveSetting): number {
  const twice = reduceScatterSeconds(setting) + allGatherSeconds(setting);
  const { cluster, group, bytes, fabricSlowdown, messageSeconds } = setting;
  const { numDomains, ranksPerDomain } = domainsOf(group, cluster);
  if (numDomains === 1 || !cluster.scaleOut.inNetworkReduce) return twice;
  const between = (bytes * fabricSlowdown) / ranksPerDomain / nicBytesPerSecond(cluster);
  const inside = (2 * bytes * (ranksPerDomain - 1)) / ranksPerDomain;
  const steps = 2 * (ranksPerDomain - 1) * cluster.scaleUp.latencySeconds + 2 * messageSeconds;
  const inNetwork = slower(cluster, between, inside / scaleUpBytesPerSecond(cluster)) + steps;
  return Math.min(twice, inNetwork);
}

export function allToAllSeconds(setting: CollectiveSetting): number {
  const { cluster, group, bytes, fabricSlowdown, messageSeconds } = setting;
  const { size } = group;
  if (size === 1) return 0;
  const { numDomains, ranksPerDomain } = domainsOf(group, cluster);
  const toOne = bytes / (size - 1);
  const leaving = toOne * (size - ranksPerDomain);
  const between = (leaving * fabricSlowdown) / nicBytesPerSecond(cluster);
  // In a plain fat tree every NIC reaches every other and nothing is handed over.
  const isHandedOver = cluster.scaleOut.kind !== 'fat-tree';
  const handed = isHandedOver ? (leaving * (ranksPerDomain - 1)) / ranksPerDomain : 0;
  const inside = (toOne * (ranksPerDomain - 1) + handed) / scaleUpBytesPerSecond(cluster);
  const latency = cluster.scaleUp.latencySeconds;
  return slower(cluster, between, inside) + (numDomains > 1 ? messageSeconds + latency : latency);
}

/** Over PCIe both pass one link; NVLink is a way of its own. */
function slower(cluster: ClusterSpec, between: number, inside: number): number {
  if (cluster.scaleUp.kind !== 'pcie') return Math.max(between, inside);
  const ofNic = nicBytesPerSecond(cluster) / scaleUpBytesPerSecond(cluster);
  return Math.max(between, inside + between * ofNic);
}
