/**
 * What must hold between the numbers of a cluster, whoever wrote them: whole nodes, a path between
 * any two ranks, a fabric that is large enough. The first rule broken is reported with its values.
 */
import { MoebiusError } from '../../base/errors.ts';
import type { ClusterSpec } from '../clusterSpec.ts';
import { fabricCapacity, fabricEndpoints } from './fabricSize.ts';

interface Complaint {
  readonly says: string;
  readonly hint: string;
  readonly values: Readonly<Record<string, unknown>>;
}

const hasFabric = ({ scaleOut }: ClusterSpec): boolean =>
  scaleOut.kind !== 'none' && scaleOut.nicsPerNode > 0;

const RULES: readonly ((cluster: ClusterSpec) => Complaint | null)[] = [
  ({ numGpus, gpusPerNode }) => {
    if (numGpus % gpusPerNode === 0) return null;
    const below = Math.floor(numGpus / gpusPerNode) * gpusPerNode;
    const sizes = below === 0 ? [gpusPerNode] : [below, below + gpusPerNode];
    return {
      says: `numGpus ${numGpus} is no whole number of nodes of ${gpusPerNode}`,
      hint: `Set numGpus to ${sizes.join(' or ')}, or correct gpusPerNode.`,
      values: { numGpus, gpusPerNode },
    };
  },
  (cluster) => {
    const { numGpus, scaleUp, scaleOut } = cluster;
    if (numGpus <= scaleUp.domainSize || hasFabric(cluster)) return null;
    const network = scaleOut.kind === 'none' ? 'no network' : 'no NIC';
    const size = `${numGpus} GPUs, domains of ${scaleUp.domainSize}`;
    return {
      says: `there is no path between ranks: ${size}, and ${network}`,
      hint: `Give scaleOut a kind and nicsPerNode, or raise scaleUp.domainSize to ${numGpus}.`,
      values: {
        numGpus,
        'scaleUp.domainSize': scaleUp.domainSize,
        'scaleOut.kind': scaleOut.kind,
        'scaleOut.nicsPerNode': scaleOut.nicsPerNode,
      },
    };
  },
  ({ gpusPerNode, scaleUp }) => {
    const { domainSize } = scaleUp;
    if (domainSize % gpusPerNode === 0 || gpusPerNode % domainSize === 0) return null;
    return {
      says: `scaleUp.domainSize ${domainSize} cuts nodes of ${gpusPerNode} apart`,
      hint: 'Make domains of whole nodes, or whole domains in a node.',
      values: { 'scaleUp.domainSize': domainSize, gpusPerNode },
    };
  },
  (cluster) => {
    if (!hasFabric(cluster) || cluster.scaleOut.nicBytesPerSecond > 0) return null;
    return {
      says: 'scaleOut.nicBytesPerSecond is 0',
      hint: 'Give the bandwidth of one NIC, such as 400 Gb/s, or set scaleOut.kind to none.',
      values: { 'scaleOut.nicBytesPerSecond': 0 },
    };
  },
  (cluster) => {
    const endpoints = fabricEndpoints(cluster);
    const capacity = fabricCapacity(cluster.scaleOut);
    if (!hasFabric(cluster) || endpoints <= capacity) return null;
    const { layers, switchPorts, kind } = cluster.scaleOut;
    return {
      says: `${endpoints} NICs do not fit a ${kind} of ${layers} layers, which holds ${capacity}`,
      hint:
        layers === 2
          ? 'Set scaleOut.layers to 3, or take switches with more ports.'
          : 'Take switches with more ports (scaleOut.switchPorts), or fewer GPUs.',
      values: { endpoints, capacity, layers, switchPorts },
    };
  },
  (cluster) => {
    const { failedPlanes, nicsPerNode } = cluster.scaleOut;
    const wrong = failedPlanes.find((plane) => plane >= nicsPerNode);
    if (wrong !== undefined) {
      return {
        says: `scaleOut.failedPlanes names plane ${wrong}, but there are ${nicsPerNode}`,
        hint: `Number planes from 0 to ${nicsPerNode - 1}.`,
        values: { failedPlanes, nicsPerNode },
      };
    }
    if (!hasFabric(cluster) || new Set(failedPlanes).size < nicsPerNode) return null;
    return {
      says: 'there is no path between nodes: every plane has failed',
      hint: 'Leave at least one plane out of scaleOut.failedPlanes.',
      values: { failedPlanes, nicsPerNode },
    };
  },
  (cluster) => {
    const { switchPorts, failedUplinks } = cluster.scaleOut;
    const spines = switchPorts / 2;
    const leaves = Math.ceil(fabricEndpoints(cluster) / spines);
    const wrong = failedUplinks.find(({ leaf, spine }) => leaf >= leaves || spine >= spines);
    if (wrong === undefined) return null;
    return {
      says: `scaleOut.failedUplinks names leaf ${wrong.leaf}, spine ${wrong.spine}`,
      hint: `Number leaves below ${leaves} and spines below ${spines}.`,
      values: { failedUplinks, leaves, spines },
    };
  },
  ({ communicationSms, gpu }) =>
    communicationSms < gpu.numSms
      ? null
      : {
          says: `communicationSms ${communicationSms} leaves none of ${gpu.numSms} to compute`,
          hint: 'Set communicationSms below gpu.numSms; V3 takes 20 of 132.',
          values: { communicationSms, 'gpu.numSms': gpu.numSms },
        },
  ({ gpu }) =>
    (gpu.peakFlops.fp8 === null) === (gpu.fp8Accumulation === null)
      ? null
      : {
          says: 'gpu.peakFlops.fp8 and gpu.fp8Accumulation disagree on whether there is FP8',
          hint: 'Set both, or both to none.',
          values: { fp8: gpu.peakFlops.fp8, fp8Accumulation: gpu.fp8Accumulation },
        },
];

/** @throws cluster.invalid with the values that disagree and the fix */
export function validateCluster(cluster: ClusterSpec, source: string): void {
  for (const rule of RULES) {
    const complaint = rule(cluster);
    if (complaint === null) continue;
    const { says, hint, values } = complaint;
    throw new MoebiusError('cluster.invalid', `${source}: ${says}`, { values, hint });
  }
}

/** Whether nothing in a cluster contradicts itself. */
export function isValidCluster(cluster: ClusterSpec): boolean {
  return RULES.every((rule) => rule(cluster) === null);
}
