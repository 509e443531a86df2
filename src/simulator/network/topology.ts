/**
 * A described cluster as directed links with a bandwidth and a latency.
 *
 * ```
 *  GPU ⇄ domain switch ⇄ GPU          every GPU of a scale-up domain reaches every other
 *  NIC → leaf → spine → (core → spine →) leaf → NIC
 * ```
 *
 * Links have numbers in blocks (`LinkBlocks`), so that a route is computed from two ranks and
 * nothing is stored for pairs. The three fabrics differ only in which leaf a NIC hangs on and in
 * which leaves meet: in a multi-plane tree those of one plane, else all.
 *
 * A leaf has one uplink to each spine above it. Uplinks are as fast as makes downlink over uplink
 * bandwidth the given oversubscription, whatever the rounding of ports. Where routing is adaptive,
 * the live uplinks of a leaf are one link with the sum of their bandwidths, which is what
 * spraying every packet comes to.
 */
import { at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import type { ClusterSpec, ScaleOutSpec } from '../../config/clusterSpec.ts';

/** Where each block of links begins. */
export interface LinkBlocks {
  readonly gpuOut: number;
  readonly gpuIn: number;
  readonly nicOut: number;
  readonly nicIn: number;
  /** By leaf, then by spine; by leaf only where routing is adaptive. */
  readonly leafUp: number;
  readonly leafDown: number;
  /** By pod, spine and core; by pod only where routing is adaptive. */
  readonly podUp: number;
  readonly podDown: number;
}

interface FabricShape {
  /** Networks that do not meet: the planes of a multi-plane tree, else 1, or 0 without any. */
  readonly numPlanes: number;
  /** Of one plane. */
  readonly leavesPerPlane: number;
  /** Spines that a leaf reaches; with three layers, those of its pod. */
  readonly spinesPerLeaf: number;
  readonly leavesPerPod: number;
  readonly podsPerPlane: number;
  /** Cores that one spine reaches; 0 with two layers. */
  readonly coresPerSpine: number;
  /** NICs of one leaf. */
  readonly nicsPerLeaf: number;
}

export interface Topology extends FabricShape {
  readonly cluster: ClusterSpec;
  readonly numGpus: number;
  readonly domainSize: number;
  readonly gpusPerNode: number;
  readonly nicsPerNode: number;
  readonly blocks: LinkBlocks;
  readonly numLinks: number;
  /** Bytes per second that large transfers reach. */
  readonly bandwidth: Float64Array;
  /** Seconds; a route's latencies add up. */
  readonly latency: Float64Array;
  /** 1 for every NIC number of a node that is down. */
  readonly failedNics: Uint8Array;
  /** 1 for every leaf × spine uplink that is down. */
  readonly failedUplinks: Uint8Array;
  readonly hasFailures: boolean;
}

/** @throws network.tooLarge, network.badCluster when the fabric cannot be built */
export function buildTopology(cluster: ClusterSpec): Topology {
  checkCluster(cluster);
  const { numGpus, gpusPerNode, scaleUp, scaleOut } = cluster;
  const shape = fabricShape(cluster);
  const numNics = shape.numPlanes === 0 ? 0 : (numGpus / gpusPerNode) * scaleOut.nicsPerNode;
  const isAdaptive = scaleOut.routing === 'adaptive';
  const numLeaves = shape.numPlanes * shape.leavesPerPlane;
  const numPods = shape.numPlanes * shape.podsPerPlane;
  const upsPerLeaf = isAdaptive ? 1 : shape.spinesPerLeaf;
  const upsPerPod =
    shape.coresPerSpine === 0 ? 0 : isAdaptive ? 1 : shape.spinesPerLeaf * shape.coresPerSpine;
  const sizes = [numGpus, numGpus, numNics, numNics].concat(
    [numLeaves * upsPerLeaf, numLeaves * upsPerLeaf],
    [numPods * upsPerPod, numPods * upsPerPod],
  );
  const starts = sizes.map((_, i) => sizes.slice(0, i).reduce((sum, size) => sum + size, 0));
  const numLinks = sizes.reduce((sum, size) => sum + size, 0);
  const bandwidth = new Float64Array(numLinks);
  const latency = new Float64Array(numLinks);
  const fill = (block: number, bytesPerSecond: number, seconds: number): void => {
    const end = at(starts, block) + at(sizes, block);
    bandwidth.fill(bytesPerSecond, at(starts, block), end);
    latency.fill(seconds, at(starts, block), end);
  };
  const nic = scaleOut.nicBytesPerSecond * scaleOut.achievableShare;
  const uplink = (nic * shape.nicsPerLeaf) / (shape.spinesPerLeaf * scaleOut.oversubscription);
  for (const block of [0, 1]) {
    fill(block, scaleUp.bytesPerSecond * scaleUp.achievableShare, scaleUp.latencySeconds / 2);
  }
  for (const block of [2, 3]) fill(block, nic, scaleOut.leafLatencySeconds / 2);
  for (const block of [4, 5]) fill(block, uplink, scaleOut.hopLatencySeconds);
  // From a spine upwards nothing is oversubscribed: what comes up from its leaves can go on.
  const coreLink =
    (uplink * Math.min(shape.leavesPerPod, shape.leavesPerPlane)) / shape.coresPerSpine;
  for (const block of [6, 7]) fill(block, coreLink, scaleOut.hopLatencySeconds);

  const failedNics = new Uint8Array(scaleOut.nicsPerNode);
  for (const plane of scaleOut.failedPlanes) failedNics[plane] = 1;
  const failedUplinks = new Uint8Array(numLeaves * shape.spinesPerLeaf);
  for (const { leaf, spine } of scaleOut.failedUplinks) {
    failedUplinks[leaf * shape.spinesPerLeaf + spine] = 1;
  }
  if (isAdaptive) {
    for (let leaf = 0; leaf < numLeaves; leaf++) {
      const first = leaf * shape.spinesPerLeaf;
      const failed = failedUplinks.subarray(first, first + shape.spinesPerLeaf);
      const live = shape.spinesPerLeaf - failed.reduce((sum, down) => sum + down, 0);
      bandwidth[at(starts, 4) + leaf] = uplink * live;
      bandwidth[at(starts, 5) + leaf] = uplink * live;
    }
    const trunk = coreLink * shape.spinesPerLeaf * shape.coresPerSpine;
    for (const block of [6, 7]) fill(block, trunk, scaleOut.hopLatencySeconds);
  }
  return {
    cluster,
    numGpus,
    domainSize: scaleUp.domainSize,
    gpusPerNode,
    nicsPerNode: scaleOut.nicsPerNode,
    ...shape,
    blocks: {
      gpuOut: at(starts, 0),
      gpuIn: at(starts, 1),
      nicOut: at(starts, 2),
      nicIn: at(starts, 3),
      leafUp: at(starts, 4),
      leafDown: at(starts, 5),
      podUp: at(starts, 6),
      podDown: at(starts, 7),
    },
    numLinks,
    bandwidth,
    latency,
    failedNics,
    failedUplinks,
    hasFailures: scaleOut.failedPlanes.length > 0 || scaleOut.failedUplinks.length > 0,
  };
}

function fabricShape({ numGpus, gpusPerNode, scaleOut }: ClusterSpec): FabricShape {
  const numNodes = numGpus / gpusPerNode;
  const { kind, layers, switchPorts, nicsPerNode, oversubscription } = scaleOut;
  // The epsilon keeps 2/3 of 48 ports at 32.
  const down = Math.floor((switchPorts * oversubscription) / (1 + oversubscription) + 1e-9);
  const up = switchPorts - down;
  let numPlanes = 1;
  let leavesPerPlane = 0;
  let nicsPerLeaf = down;
  switch (kind) {
    case 'none':
      numPlanes = 0;
      break;
    case 'multi-plane-fat-tree':
      numPlanes = nicsPerNode;
      leavesPerPlane = Math.ceil(numNodes / down);
      break;
    case 'multi-rail-fat-tree':
      leavesPerPlane = Math.ceil(numNodes / down) * nicsPerNode;
      break;
    case 'fat-tree': {
      // A node's NICs stay together while a leaf has room for them.
      const nodesPerLeaf = Math.floor(down / nicsPerNode);
      if (nodesPerLeaf > 0) nicsPerLeaf = nodesPerLeaf * nicsPerNode;
      leavesPerPlane = Math.ceil((numNodes * nicsPerNode) / nicsPerLeaf);
      break;
    }
    default:
      kind satisfies never;
  }
  const half = Math.floor(switchPorts / 2);
  const leavesPerPod = layers === 2 ? Math.max(1, leavesPerPlane) : half;
  const podsPerPlane = Math.ceil(leavesPerPlane / leavesPerPod);
  const numLeavesAllowed = layers === 2 ? switchPorts : half * switchPorts;
  if (leavesPerPlane > numLeavesAllowed) {
    throw new MoebiusError(
      'network.tooLarge',
      `A ${kind} of ${layers} layers of ${switchPorts}-port switches has room for ` +
        `${numLeavesAllowed} leaves, and ${numGpus} GPUs need ${leavesPerPlane}.`,
      {
        values: { numGpus, layers, switchPorts, leaves: leavesPerPlane, room: numLeavesAllowed },
        hint: `Set scaleOut.layers to 3, take switches of more ports, or use fewer GPUs.`,
      },
    );
  }
  return {
    numPlanes,
    leavesPerPlane,
    spinesPerLeaf: Math.max(1, up),
    leavesPerPod,
    podsPerPlane,
    coresPerSpine: layers === 2 ? 0 : half,
    nicsPerLeaf,
  };
}

function checkCluster({ numGpus, gpusPerNode, scaleUp, scaleOut }: ClusterSpec): void {
  const refuse = (what: string, value: unknown, hint: string): never => {
    throw new MoebiusError('network.badCluster', `${what} is ${value}.`, {
      values: { [what]: value },
      hint,
    });
  };
  const positive: readonly (readonly [string, number])[] = [
    ['numGpus', numGpus],
    ['gpusPerNode', gpusPerNode],
    ['scaleUp.domainSize', scaleUp.domainSize],
    ['scaleUp.bytesPerSecond', scaleUp.bytesPerSecond],
    ['scaleUp.achievableShare', scaleUp.achievableShare],
  ];
  const ofFabric: readonly (readonly [string, number])[] = [
    ['scaleOut.switchPorts', scaleOut.switchPorts],
    ['scaleOut.nicsPerNode', scaleOut.nicsPerNode],
    ['scaleOut.nicBytesPerSecond', scaleOut.nicBytesPerSecond],
    ['scaleOut.achievableShare', scaleOut.achievableShare],
    ['scaleOut.oversubscription', scaleOut.oversubscription],
  ];
  const isNone = scaleOut.kind === 'none';
  for (const [what, value] of isNone ? positive : [...positive, ...ofFabric]) {
    if (!(value > 0)) refuse(what, value, `Set ${what} to a number above zero.`);
  }
  if (numGpus % gpusPerNode !== 0) {
    refuse('numGpus', numGpus, `Make numGpus a multiple of gpusPerNode, ${gpusPerNode}.`);
  }
  if (isNone) return;
  for (const plane of scaleOut.failedPlanes) {
    if (!Number.isInteger(plane) || plane < 0 || plane >= scaleOut.nicsPerNode) {
      refuse('scaleOut.failedPlanes', plane, `Name planes from 0 to ${scaleOut.nicsPerNode - 1}.`);
    }
  }
  const { leavesPerPlane, numPlanes, spinesPerLeaf } = fabricShape({
    numGpus,
    gpusPerNode,
    scaleUp,
    scaleOut,
  } as ClusterSpec);
  for (const { leaf, spine } of scaleOut.failedUplinks) {
    const numLeaves = leavesPerPlane * numPlanes;
    if (!isIndex(leaf, numLeaves) || !isIndex(spine, spinesPerLeaf)) {
      refuse(
        'scaleOut.failedUplinks',
        `leaf ${leaf}, spine ${spine}`,
        `Name leaves from 0 to ${numLeaves - 1} and spines from 0 to ${spinesPerLeaf - 1}.`,
      );
    }
  }
}

const isIndex = (value: number, size: number): boolean =>
  Number.isInteger(value) && value >= 0 && value < size;

/** Oversubscribed above the leaves, hashed or broken: what only a simulation of flows can say. */
export function isUneven(topology: Topology): boolean {
  const { routing, oversubscription }: ScaleOutSpec = topology.cluster.scaleOut;
  return topology.hasFailures || oversubscription > 1 || routing === 'ecmp';
}
