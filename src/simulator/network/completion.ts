/**
 * When traffic is through: by simulating flows where they fold, else by the fullest link.
 *
 * Hashed routes have no symmetry, and a hundred thousand unlike flows take long to simulate. With
 * flows of one size the fullest link bounds the time from below; on the cases in the test the
 * simulation takes at most a quarter longer.
 */
import { at } from '../../base/assert.ts';
import { foldFlows } from './foldFlows.ts';
import { simulateFlows } from './maxMin.ts';
import { MAX_ROUTE_LINKS, routeInto } from './routes.ts';
import { isUneven, type Topology } from './topology.ts';
import { groupsOf, railsOf, ringStep, shift, type Traffic, visitTraffic } from './traffic.ts';

/**
 * Flows that a long message between two NICs is cut into where paths are hashed: channels and queue
 * pairs of a library. Assumed: NCCL opens from one to sixteen, by its settings.
 */
const HASHED_FLOWS = 8;
/** Flows of a wide exchange that are looked at; of each rank the same number, spread evenly. */
const MAX_FLOWS = 1e6;
/** Unlike flows that are still simulated one by one. */
const MAX_CLASSES = 256;

/** Seconds until the last byte arrives. */
export function completionSeconds(topology: Topology, traffic: Traffic): number {
  if (topology.cluster.scaleOut.routing !== 'ecmp') {
    const folded = foldFlows({ topology, traffic, maxClasses: MAX_CLASSES });
    if (folded !== null) return simulateFlows(folded.problem).seconds;
  }
  return fullestLinkSeconds(topology, traffic);
}

/** Bytes over bandwidth of the fullest link, and the longest route's latency: a lower bound. */
export function fullestLinkSeconds(topology: Topology, traffic: Traffic): number {
  const load = new Float64Array(topology.numLinks);
  const route = new Int32Array(MAX_ROUTE_LINKS);
  let latency = 0;
  visitTraffic(traffic, (source, target, bytes, salt) => {
    const length = routeInto(topology, source, target, route, salt);
    let seconds = 0;
    for (let i = 0; i < length; i++) {
      const l = route[i] as number;
      load[l] = (load[l] as number) + bytes;
      seconds += topology.latency[l] as number;
    }
    if (seconds > latency) latency = seconds;
  });
  let most = 0;
  for (let l = 0; l < topology.numLinks; l++) {
    if (at(load, l) > 0) most = Math.max(most, at(load, l) / at(topology.bandwidth, l));
  }
  return most + latency;
}

/** Traffic between domains, as collectives make it. */
export type FabricPattern =
  | { readonly kind: 'exchange' | 'ring'; readonly size: number; readonly stride: number }
  | { readonly kind: 'shift'; readonly stride: number };

/**
 * Time on this fabric over time on one where only NICs bound: 1 for whole fabrics that block
 * nothing and are not hashed (the tests simulate that), more with failures, oversubscription, ECMP.
 */
export function fabricSlowdown(topology: Topology, pattern: FabricPattern): number {
  if (!isUneven(topology)) return 1;
  // Bytes so many that latency is a rounding error.
  const bytes = 1e12;
  const gpusPerNic = Math.max(1, topology.gpusPerNode / topology.nicsPerNode);
  const idealSeconds = (bytes * gpusPerNic) / at(topology.bandwidth, topology.blocks.nicOut);
  const { numGpus, domainSize } = topology;
  const flowsPerPair = partsOfMessage(topology);
  switch (pattern.kind) {
    case 'shift': {
      const { stride } = pattern;
      return slowdown(topology, shift({ numGpus, stride, bytes, flowsPerPair }), idealSeconds);
    }
    case 'ring': {
      const groups = railsOf(groupsOf({ ...pattern, numGpus }), domainSize);
      return slowdown(topology, ringStep({ groups, bytes, flowsPerPair }), idealSeconds);
    }
    case 'exchange': {
      const groups = railsOf(groupsOf({ ...pattern, numGpus }), domainSize);
      const others = groups.reduce((most, ranks) => Math.max(most, ranks.length), 1) - 1;
      const traffic: Traffic = {
        kind: 'allToAll',
        groups,
        bytes,
        maxPartners: Math.max(8, Math.floor(MAX_FLOWS / numGpus / flowsPerPair)),
        flowsPerPair,
      };
      return slowdown(topology, traffic, idealSeconds * others);
    }
    default:
      pattern satisfies never;
      return 1;
  }
}

/** One, but several where paths are hashed, and one for each plane left where one is down. */
function partsOfMessage({ cluster, nicsPerNode }: Topology): number {
  const { routing, failedPlanes } = cluster.scaleOut;
  const live = nicsPerNode - new Set(failedPlanes).size;
  const striped = failedPlanes.length > 0 ? Math.max(1, live) : 1;
  return routing === 'ecmp' ? Math.max(HASHED_FLOWS, striped) : striped;
}

function slowdown(topology: Topology, traffic: Traffic, idealSeconds: number): number {
  if (idealSeconds === 0) return 1;
  return Math.max(1, completionSeconds(topology, traffic) / idealSeconds);
}
