/**
 * Millions of flows as a handful of classes, with the same outcome.
 *
 * Links get colours, at first by bandwidth and latency. Flows of as many bytes over links of the
 * same colours in the same order are of one class; links that carry as many flows of every class
 * are of one colour; this goes on until no colour splits (colour refinement of the graph of flows
 * and links). Then all flows of a class have one rate at all times, because progressive filling
 * sees only capacities and how many flows of which class cross a link. So the folded simulation
 * is the unfolded one, exactly; the test beside this file holds it to that on random cases.
 *
 * Nothing is kept for a flow: each round computes all routes again. Colours are compared by 64-bit
 * hashes; 12,000 links meet by chance once in 10¹¹ runs.
 */
import { at } from '../../base/assert.ts';
import type { FlowProblem } from './maxMin.ts';
import { MAX_ROUTE_LINKS, routeInto } from './routes.ts';
import type { Topology } from './topology.ts';
import { type Traffic, visitTraffic } from './traffic.ts';

export interface FoldedFlows {
  readonly problem: FlowProblem;
  readonly numFlows: number;
  /** Rounds of refinement until no colour split. */
  readonly numRounds: number;
}

/** @returns null when there are more classes than `maxClasses`: such traffic has no symmetry */
export function foldFlows(args: {
  readonly topology: Topology;
  readonly traffic: Traffic;
  readonly maxClasses?: number;
}): FoldedFlows | null {
  const { topology, traffic, maxClasses = Number.POSITIVE_INFINITY } = args;
  let colours = firstColours(topology);
  for (let numRounds = 1; ; numRounds++) {
    const round = refine(topology, traffic, colours, maxClasses);
    if (round === null) return null;
    if (round.colours.count === colours.count) {
      return { problem: quotient(topology, colours, round), numFlows: round.numFlows, numRounds };
    }
    colours = round.colours;
  }
}

/** Every flow and every link by itself: what folding is held to, for small cases. */
export function unfoldedFlows(topology: Topology, traffic: Traffic): FlowProblem {
  const bytes: number[] = [];
  const latency: number[] = [];
  const start: number[] = [0];
  const link: number[] = [];
  const route = new Int32Array(MAX_ROUTE_LINKS);
  visitTraffic(traffic, (source, target, size, salt) => {
    const length = routeInto(topology, source, target, route, salt);
    let seconds = 0;
    for (let i = 0; i < length; i++) {
      link.push(at(route, i));
      seconds += at(topology.latency, at(route, i));
    }
    bytes.push(size);
    latency.push(seconds);
    start.push(link.length);
  });
  return {
    capacity: topology.bandwidth,
    count: new Float64Array(bytes.length).fill(1),
    bytes: Float64Array.from(bytes),
    latency: Float64Array.from(latency),
    start: Int32Array.from(start),
    link: Int32Array.from(link),
    weight: new Float64Array(link.length).fill(1),
  };
}

interface Colours {
  readonly ofLink: Int32Array;
  readonly count: number;
}

function firstColours({ numLinks, bandwidth, latency }: Topology): Colours {
  return numbered(numLinks, (l) => `${at(bandwidth, l)},${at(latency, l)}`);
}

function numbered(numLinks: number, keyOf: (link: number) => string): Colours {
  const known = new Map<string, number>();
  const ofLink = new Int32Array(numLinks);
  for (let l = 0; l < numLinks; l++) {
    const key = keyOf(l);
    let colour = known.get(key);
    if (colour === undefined) {
      colour = known.size;
      known.set(key, colour);
    }
    ofLink[l] = colour;
  }
  return { ofLink, count: known.size };
}

interface FlowClass {
  readonly bytes: number;
  /** Links of the first flow that was seen. */
  readonly route: Int32Array;
  count: number;
}

interface Round {
  readonly classes: readonly FlowClass[];
  readonly colours: Colours;
  readonly numFlows: number;
}

function refine(
  topology: Topology,
  traffic: Traffic,
  colours: Colours,
  maxClasses: number,
): Round | null {
  const { ofLink } = colours;
  const low = new Int32Array(topology.numLinks);
  const high = new Int32Array(topology.numLinks);
  const route = new Int32Array(MAX_ROUTE_LINKS);
  const classOf = new Map<number, FlowClass>();
  let lastBytes = Number.NaN;
  let bytesHash = 0;
  let numFlows = 0;
  let lastKey = Number.NaN;
  let last: FlowClass | undefined;
  visitTraffic(traffic, (source, target, bytes, salt) => {
    if (classOf.size > maxClasses) return;
    numFlows++;
    if (bytes !== lastBytes) {
      lastBytes = bytes;
      bytesHash = hashNumber(bytes);
    }
    const length = routeInto(topology, source, target, route, salt);
    let a = bytesHash;
    let b = Math.imul(bytesHash, 0x27d4eb2f) ^ length;
    for (let i = 0; i < length; i++) {
      const colour = ofLink[route[i] as number] as number;
      a = Math.imul(a ^ (colour + 1), 0x85ebca6b);
      a ^= a >>> 15;
      b = Math.imul(b ^ (colour + 0x165667b1), 0xc2b2ae35);
      b ^= b >>> 13;
    }
    for (let i = 0; i < length; i++) {
      const l = route[i] as number;
      low[l] = ((low[l] as number) + a) | 0;
      high[l] = ((high[l] as number) + b) | 0;
    }
    const key = (a >>> 0) * 0x200000 + (b >>> 11);
    if (key !== lastKey) {
      lastKey = key;
      last = classOf.get(key);
      if (last === undefined) {
        last = { bytes, route: route.slice(0, length), count: 0 };
        classOf.set(key, last);
      }
    }
    (last as FlowClass).count++;
  });
  if (classOf.size > maxClasses) return null;
  return {
    classes: [...classOf.values()],
    colours: numbered(topology.numLinks, (l) => `${ofLink[l]},${low[l]},${high[l]}`),
    numFlows,
  };
}

/** One link for a colour, one class for alike flows. */
function quotient(topology: Topology, { ofLink, count }: Colours, round: Round): FlowProblem {
  const { classes } = round;
  const linksOfColour = new Float64Array(count);
  const capacity = new Float64Array(count);
  for (let l = 0; l < topology.numLinks; l++) {
    const colour = at(ofLink, l);
    linksOfColour[colour] = at(linksOfColour, colour) + 1;
    capacity[colour] = at(topology.bandwidth, l);
  }
  const start = new Int32Array(classes.length + 1);
  const link: number[] = [];
  const weight: number[] = [];
  const latency = new Float64Array(classes.length);
  for (const [c, { route, count: flows }] of classes.entries()) {
    const passes = new Map<number, number>();
    for (const l of route) {
      const colour = at(ofLink, l);
      passes.set(colour, (passes.get(colour) ?? 0) + 1);
      latency[c] = at(latency, c) + at(topology.latency, l);
    }
    for (const [colour, times] of passes) {
      link.push(colour);
      weight.push((flows * times) / at(linksOfColour, colour));
    }
    start[c + 1] = link.length;
  }
  return {
    capacity,
    count: Float64Array.from(classes, (flowClass) => flowClass.count),
    bytes: Float64Array.from(classes, (flowClass) => flowClass.bytes),
    latency,
    start,
    link: Int32Array.from(link),
    weight: Float64Array.from(weight),
  };
}

function hashNumber(value: number): number {
  const words = new Int32Array(new Float64Array([value]).buffer);
  return Math.imul(at(words, 0) ^ Math.imul(at(words, 1), 0x9e3779b1), 0x85ebca6b);
}
