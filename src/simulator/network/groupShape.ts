/** How a group of ranks lies on scale-up domains, and what one GPU's links reach. */
import type { ClusterSpec } from '../../config/clusterSpec.ts';
import type { RankGroup } from '../networkModel.ts';
import { checkGroup } from './traffic.ts';

export interface GroupDomains {
  readonly numDomains: number;
  /** Ranks of the group in one domain. */
  readonly ranksPerDomain: number;
}

/** @throws network.badGroup when the cluster has no such group */
export function domainsOf(group: RankGroup, cluster: ClusterSpec): GroupDomains {
  const { size, stride } = group;
  checkGroup({ size, stride, numGpus: cluster.numGpus });
  const inOne = Math.max(1, Math.floor(cluster.scaleUp.domainSize / stride));
  const ranksPerDomain = Math.min(size, inOne);
  return { ranksPerDomain, numDomains: Math.ceil(size / ranksPerDomain) };
}

/** Of one GPU, one way, as large transfers reach it; NICs of failed planes carry nothing. */
export function nicBytesPerSecond({ gpusPerNode, scaleOut }: ClusterSpec): number {
  const { nicsPerNode, nicBytesPerSecond: bytes, achievableShare } = scaleOut;
  return (bytes * achievableShare * nicsPerNode) / gpusPerNode;
}

export function scaleUpBytesPerSecond({ scaleUp }: ClusterSpec): number {
  return scaleUp.bytesPerSecond * scaleUp.achievableShare;
}
