/**
 * DeepSeek's 2,048 H800 (the preset `h800x2048`) with changes, for the network's tests. Routing is
 * static unless said otherwise, so that every link shows.
 */
import type { ClusterSpec, ScaleOutSpec, ScaleUpSpec } from '../../src/config/clusterSpec.ts';
import { findCluster } from '../../src/config/clusters/clusters.ts';

export interface ClusterChanges {
  readonly numGpus?: number;
  readonly gpusPerNode?: number;
  readonly scaleUp?: Partial<ScaleUpSpec>;
  readonly scaleOut?: Partial<ScaleOutSpec>;
}

export function h800Cluster(changes: ClusterChanges = {}): ClusterSpec {
  const preset = findCluster('h800x2048');
  return {
    ...preset,
    numGpus: changes.numGpus ?? preset.numGpus,
    gpusPerNode: changes.gpusPerNode ?? preset.gpusPerNode,
    scaleUp: { ...preset.scaleUp, ...changes.scaleUp },
    scaleOut: { ...preset.scaleOut, routing: 'static', ...changes.scaleOut },
  };
}
