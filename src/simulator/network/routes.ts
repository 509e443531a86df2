/**
 * The links from one rank to another, computed and not stored.
 *
 * Inside a scale-up domain: out of the one GPU and into the other. Between domains, traffic leaves
 * by the NIC whose number the receiver's NIC has, so in a multi-plane tree it crosses planes over
 * NVLink first (ISCA 2025, 5.1); rails do the same and stay under their leaf where they can. A
 * receiver whose plane is down is reached by the NICs of its neighbours, taken in turn.
 *
 * Which spine: `static`, the one with the receiver's place at its leaf (destination modulo k, so
 * no shift of all ranks collides); `ecmp`, a hash of both ends; `adaptive`, all of them.
 */
import { at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import type { Topology } from './topology.ts';

/** The most links a route has: relays on both sides and three layers between. */
export const MAX_ROUTE_LINKS = 12;

export interface Endpoints {
  readonly source: number;
  readonly target: number;
}

/**
 * Writes the route's links and returns how many there are; 0 when the two are one.
 *
 * `salt` tells apart flows of the same two ranks, which a hash may send on different ways and
 * which take neighbours in turn where a plane is down.
 *
 * @throws network.noPath when failures or separate networks leave none
 */
export function writeRoute(
  topology: Topology,
  endpoints: Endpoints,
  links: Int32Array,
  salt = 0,
): number {
  return routeInto(topology, endpoints.source, endpoints.target, links, salt);
}

/** As `writeRoute`, for loops over millions of pairs. */
export function routeInto(
  topology: Topology,
  source: number,
  target: number,
  links: Int32Array,
  salt: number,
): number {
  if (source === target) return 0;
  const { domainSize, blocks } = topology;
  const sourceDomain = (source / domainSize) | 0;
  const targetDomain = (target / domainSize) | 0;
  if (sourceDomain === targetDomain) {
    links[0] = blocks.gpuOut + source;
    links[1] = blocks.gpuIn + target;
    return 2;
  }
  if (topology.numPlanes === 0) throw noPath(topology, { source, target });
  const isDirect = topology.cluster.scaleOut.kind === 'fat-tree';
  let exit = isDirect ? source : sourceDomain * domainSize + (target % domainSize);
  let entry = target;
  if (exit >= topology.numGpus || !connects(topology, exit, entry, source + target)) {
    const relay = findRelay(topology, source, target, salt);
    exit = sourceDomain * domainSize + relay;
    entry = targetDomain * domainSize + relay;
  }
  // Over PCIe a NIC's bytes pass the GPU's own link; NVLink and the NIC's lanes are apart.
  const sharesLink = topology.cluster.scaleUp.kind === 'pcie';
  let length = 0;
  if (exit !== source) {
    links[length++] = blocks.gpuOut + source;
    links[length++] = blocks.gpuIn + exit;
  }
  if (sharesLink) links[length++] = blocks.gpuOut + exit;
  length = fabricRoute(
    topology,
    nicOf(topology, exit, source + target),
    nicOf(topology, entry, source + target),
    links,
    length,
    salt,
  );
  if (sharesLink) links[length++] = blocks.gpuIn + entry;
  if (entry !== target) {
    links[length++] = blocks.gpuOut + entry;
    links[length++] = blocks.gpuIn + target;
  }
  return length;
}

/** The NIC that a GPU sends by, numbered through all nodes; with several of its own, in turn. */
export function nicOf(topology: Topology, gpu: number, turn: number): number {
  const { gpusPerNode, nicsPerNode } = topology;
  const node = (gpu / gpusPerNode) | 0;
  const local = gpu - node * gpusPerNode;
  if (nicsPerNode <= gpusPerNode) {
    return node * nicsPerNode + (((local * nicsPerNode) / gpusPerNode) | 0);
  }
  const own = (nicsPerNode / gpusPerNode) | 0;
  return node * nicsPerNode + local * own + (turn % own);
}

/** The leaf of a NIC, numbered through all planes. */
export function leafOf(topology: Topology, nic: number): number {
  const { nicsPerNode, nicsPerLeaf, numPlanes, leavesPerPlane } = topology;
  if (topology.cluster.scaleOut.kind === 'fat-tree') return (nic / nicsPerLeaf) | 0;
  const node = (nic / nicsPerNode) | 0;
  const number = nic - node * nicsPerNode;
  const leavesPerNumber = numPlanes === 1 ? (leavesPerPlane / nicsPerNode) | 0 : leavesPerPlane;
  return number * leavesPerNumber + ((node / nicsPerLeaf) | 0);
}

function fabricRoute(
  topology: Topology,
  sourceNic: number,
  targetNic: number,
  links: Int32Array,
  begin: number,
  salt: number,
): number {
  const { blocks, leavesPerPlane, leavesPerPod, podsPerPlane, coresPerSpine } = topology;
  const sourceLeaf = leafOf(topology, sourceNic);
  const targetLeaf = leafOf(topology, targetNic);
  let length = begin;
  links[length++] = blocks.nicOut + sourceNic;
  if (sourceLeaf !== targetLeaf) {
    const plane = (sourceLeaf / leavesPerPlane) | 0;
    const sourcePod = plane * podsPerPlane + (((sourceLeaf % leavesPerPlane) / leavesPerPod) | 0);
    const targetPod = plane * podsPerPlane + (((targetLeaf % leavesPerPlane) / leavesPerPod) | 0);
    if (topology.cluster.scaleOut.routing === 'adaptive') {
      links[length++] = blocks.leafUp + sourceLeaf;
      if (sourcePod !== targetPod) {
        links[length++] = blocks.podUp + sourcePod;
        links[length++] = blocks.podDown + targetPod;
      }
      links[length++] = blocks.leafDown + targetLeaf;
    } else {
      const spines = topology.spinesPerLeaf;
      const spine = chooseSpine(topology, sourceNic, targetNic, salt);
      links[length++] = blocks.leafUp + sourceLeaf * spines + spine;
      if (sourcePod !== targetPod) {
        const isHashed = topology.cluster.scaleOut.routing === 'ecmp';
        const core = isHashed
          ? hash(targetNic, sourceNic, salt + 1) % coresPerSpine
          : targetLeaf % coresPerSpine;
        links[length++] = blocks.podUp + (sourcePod * spines + spine) * coresPerSpine + core;
        links[length++] = blocks.podDown + (targetPod * spines + spine) * coresPerSpine + core;
      }
      links[length++] = blocks.leafDown + targetLeaf * spines + spine;
    }
  }
  links[length++] = blocks.nicIn + targetNic;
  return length;
}

/** The wanted spine, or the next one whose uplinks at both leaves are up; −1 if there is none. */
function chooseSpine(
  topology: Topology,
  sourceNic: number,
  targetNic: number,
  salt: number,
): number {
  const { spinesPerLeaf, nicsPerNode, nicsPerLeaf, failedUplinks } = topology;
  const { kind, routing } = topology.cluster.scaleOut;
  const node = (targetNic / nicsPerNode) | 0;
  const place = kind === 'fat-tree' ? targetNic % nicsPerLeaf : node % nicsPerLeaf;
  const wanted = (routing === 'ecmp' ? hash(sourceNic, targetNic, salt) : place) % spinesPerLeaf;
  if (!topology.hasFailures) return wanted;
  const sourceFirst = leafOf(topology, sourceNic) * spinesPerLeaf;
  const targetFirst = leafOf(topology, targetNic) * spinesPerLeaf;
  for (let tried = 0; tried < spinesPerLeaf; tried++) {
    const spine = (wanted + tried) % spinesPerLeaf;
    if (!failedUplinks[sourceFirst + spine] && !failedUplinks[targetFirst + spine]) return spine;
  }
  return -1;
}

/** Whether two GPUs' NICs are up, in one plane, and joined by a spine. */
function connects(topology: Topology, exit: number, entry: number, turn: number): boolean {
  if (!topology.hasFailures && topology.domainSize % topology.gpusPerNode === 0) return true;
  const { nicsPerNode, failedNics, numPlanes } = topology;
  const [from, to] = [nicOf(topology, exit, turn), nicOf(topology, entry, turn)];
  if (failedNics[from % nicsPerNode] || failedNics[to % nicsPerNode]) return false;
  if (numPlanes > 1 && from % nicsPerNode !== to % nicsPerNode) return false;
  const [sourceLeaf, targetLeaf] = [leafOf(topology, from), leafOf(topology, to)];
  return sourceLeaf === targetLeaf || chooseSpine(topology, from, to, 0) >= 0;
}

/** The place in both domains of two neighbours that reach each other, taken in turn. */
function findRelay(topology: Topology, source: number, target: number, salt: number): number {
  const { domainSize } = topology;
  const first = (domain: number): number => Math.floor(domain / domainSize) * domainSize;
  const live: number[] = [];
  for (let place = 0; place < domainSize; place++) {
    const [exit, entry] = [first(source) + place, first(target) + place];
    if (entry >= topology.numGpus || exit >= topology.numGpus) continue;
    if (connects(topology, exit, entry, source + target)) live.push(place);
  }
  if (live.length === 0) throw noPath(topology, { source, target });
  const turn = source + (first(target) + first(source)) / domainSize + salt;
  return at(live, turn % live.length);
}

function noPath(topology: Topology, { source, target }: Endpoints): MoebiusError {
  const { numGpus, domainSize } = topology;
  const { kind, failedPlanes, failedUplinks } = topology.cluster.scaleOut;
  const hint =
    topology.numPlanes === 0
      ? `Give scaleOut a fabric, or raise scaleUp.domainSize from ${domainSize} to ${numGpus}.`
      : failedPlanes.length > 0 || failedUplinks.length > 0
        ? 'Take a plane out of scaleOut.failedPlanes, or an uplink out of scaleOut.failedUplinks.'
        : `Make scaleUp.domainSize a multiple of gpusPerNode, or let planes meet: ` +
          `set scaleOut.kind to multi-rail-fat-tree.`;
  return new MoebiusError(
    'network.noPath',
    `There is no path from rank ${source} to rank ${target}.`,
    { values: { source, target, kind, domainSize, failedPlanes, failedUplinks }, hint },
  );
}

function hash(a: number, b: number, salt: number): number {
  let z = Math.imul(a + 1, 0x9e3779b1) ^ Math.imul(b + 1, 0x85ebca77) ^ Math.imul(salt, 0xc2b2ae3d);
  z = Math.imul(z ^ (z >>> 15), 0x2c1b3c6d);
  z = Math.imul(z ^ (z >>> 12), 0x297a2d39);
  return (z ^ (z >>> 15)) >>> 0;
}

/** Seconds that a first byte takes along a route. */
export function routeLatency(topology: Topology, endpoints: Endpoints): number {
  const links = new Int32Array(MAX_ROUTE_LINKS);
  const length = writeRoute(topology, endpoints, links);
  let seconds = 0;
  for (let i = 0; i < length; i++) seconds += at(topology.latency, at(links, i));
  return seconds;
}
