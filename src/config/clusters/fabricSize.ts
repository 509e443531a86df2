/** How many NICs a network must connect, and how many it can. */
import type { ClusterSpec } from '../clusterSpec.ts';

/** NICs that one fabric (of a multi-plane network: one plane) must connect. */
export function fabricEndpoints({ numGpus, gpusPerNode, scaleOut }: ClusterSpec): number {
  const nodes = numGpus / gpusPerNode;
  return scaleOut.kind === 'multi-plane-fat-tree' ? nodes : nodes * scaleOut.nicsPerNode;
}

/** NICs that a fat tree of switches with k ports connects: k²/2 in two layers, k³/4 in three. */
export function fabricCapacity({
  layers,
  switchPorts,
}: Pick<ClusterSpec['scaleOut'], 'layers' | 'switchPorts'>): number {
  return layers === 2 ? switchPorts ** 2 / 2 : switchPorts ** 3 / 4;
}
