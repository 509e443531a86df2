/**
 * Published latencies of 64 bytes from end to end (ISCA 2025, table 5, measured on the CPU's side),
 * as the fields of a cluster's description: one leaf, and what each further switch adds. Across
 * leaves a message passes two more.
 */
import type { ScaleOutSpec } from '../../config/clusterSpec.ts';

export type LinkLayer = 'roce' | 'infiniband';

/** Seconds; NVLink has no second leaf. */
export const publishedLatency: Readonly<
  Record<LinkLayer, { readonly sameLeaf: number; readonly crossLeaf: number }>
> = {
  roce: { sameLeaf: 3.6e-6, crossLeaf: 5.6e-6 },
  infiniband: { sameLeaf: 2.8e-6, crossLeaf: 3.7e-6 },
};

export const NVLINK_LATENCY = 3.33e-6;

export function latencyFields(
  layer: LinkLayer,
): Pick<ScaleOutSpec, 'leafLatencySeconds' | 'hopLatencySeconds'> {
  const { sameLeaf, crossLeaf } = publishedLatency[layer];
  return { leafLatencySeconds: sameLeaf, hopLatencySeconds: (crossLeaf - sameLeaf) / 2 };
}
