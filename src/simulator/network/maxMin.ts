/**
 * Max-min fair sharing of links by flows, and what finishes when.
 *
 * Progressive filling: all rates rise together; where a link is full its flows stay at what they
 * have, and the others go on. So every flow ends with a full link on which nobody is faster. When
 * a flow is done the rates are worked out again; time jumps from one end to the next.
 *
 * A *class* stands for `count` flows that have the same rate at all times, and a *link* may stand
 * for many that carry the same; `weight` is the flows of a class over one link. Unfolded, every
 * count and weight is 1 (`foldFlows.ts` says when folding is exact).
 */
import { assert, at } from '../../base/assert.ts';

export interface FlowProblem {
  /** Bytes per second of each link. */
  readonly capacity: Float64Array;
  /** For each class: flows, bytes of one flow, seconds its first byte takes. */
  readonly count: Float64Array;
  readonly bytes: Float64Array;
  readonly latency: Float64Array;
  /** Class `c` uses `link[start[c]]` … `link[start[c + 1] − 1]`, with these weights. */
  readonly start: Int32Array;
  readonly link: Int32Array;
  readonly weight: Float64Array;
}

export interface FlowOutcome {
  /** When the last flow arrives. */
  readonly seconds: number;
  /** For each class, latency included. */
  readonly finish: Float64Array;
  /** Rates when all had begun. */
  readonly firstRates: Float64Array;
  readonly numEvents: number;
}

/** Shares within this of each other are full at the same moment; doubles carry 1e-16. */
const TIE = 1e-12;

export function simulateFlows(problem: FlowProblem): FlowOutcome {
  const numClasses = problem.count.length;
  const remaining = problem.bytes.slice();
  const finish = new Float64Array(numClasses);
  const isActive = new Uint8Array(numClasses);
  let numActive = 0;
  for (let c = 0; c < numClasses; c++) {
    // A flow within one GPU crosses no link, and one of no bytes takes only its latency.
    if (at(remaining, c) > 0 && at(problem.start, c) < at(problem.start, c + 1)) {
      isActive[c] = 1;
      numActive++;
    } else finish[c] = at(problem.latency, c);
  }
  const fill = createFilling(problem);
  const rates = new Float64Array(numClasses);
  let firstRates: Float64Array | undefined;
  let now = 0;
  let numEvents = 0;
  while (numActive > 0) {
    fill(isActive, rates);
    firstRates ??= rates.slice();
    let soonest = Number.POSITIVE_INFINITY;
    for (let c = 0; c < numClasses; c++) {
      if (isActive[c]) soonest = Math.min(soonest, at(remaining, c) / at(rates, c));
    }
    assert(Number.isFinite(soonest), 'every active flow has a rate');
    now += soonest;
    numEvents++;
    for (let c = 0; c < numClasses; c++) {
      if (!isActive[c]) continue;
      const left = at(remaining, c) - at(rates, c) * soonest;
      remaining[c] = left;
      if (left > at(problem.bytes, c) * TIE * 10) continue;
      isActive[c] = 0;
      numActive--;
      finish[c] = now + at(problem.latency, c);
    }
  }
  const seconds = finish.reduce((most, value) => Math.max(most, value), 0);
  return { seconds, finish, firstRates: firstRates ?? rates, numEvents };
}

/** Rates of all flows at once, in bytes per second. */
export function maxMinRates(problem: FlowProblem): Float64Array {
  const rates = new Float64Array(problem.count.length);
  createFilling(problem)(new Uint8Array(problem.count.length).fill(1), rates);
  return rates;
}

/** Progressive filling with its arrays made once. */
function createFilling(problem: FlowProblem): (isActive: Uint8Array, rates: Float64Array) => void {
  const { capacity, start, link, weight } = problem;
  const numLinks = capacity.length;
  const numClasses = problem.count.length;
  const byLink = transpose(problem);
  const frozenLoad = new Float64Array(numLinks);
  const openWeight = new Float64Array(numLinks);
  const numOpen = new Int32Array(numLinks);
  const isOpen = new Uint8Array(numClasses);
  const openLinks = new Int32Array(numLinks);
  return (isActive, rates) => {
    frozenLoad.fill(0);
    openWeight.fill(0);
    numOpen.fill(0);
    for (let c = 0; c < numClasses; c++) {
      isOpen[c] = isActive[c] as number;
      rates[c] = 0;
      if (!isActive[c]) continue;
      for (let i = start[c] as number; i < (start[c + 1] as number); i++) {
        const l = link[i] as number;
        openWeight[l] = (openWeight[l] as number) + (weight[i] as number);
        numOpen[l] = (numOpen[l] as number) + 1;
      }
    }
    let numLeft = 0;
    for (let l = 0; l < numLinks; l++) if (numOpen[l]) openLinks[numLeft++] = l;
    while (numLeft > 0) {
      let share = Number.POSITIVE_INFINITY;
      let kept = 0;
      for (let i = 0; i < numLeft; i++) {
        const l = openLinks[i] as number;
        if (numOpen[l] === 0) continue;
        openLinks[kept++] = l;
        share = Math.min(share, shareOf(l));
      }
      numLeft = kept;
      const limit = share * (1 + TIE);
      for (let i = 0; i < numLeft; i++) {
        const l = openLinks[i] as number;
        if (numOpen[l] === 0 || shareOf(l) > limit) continue;
        const end = byLink.start[l + 1] as number;
        for (let j = byLink.start[l] as number; j < end; j++) {
          const c = byLink.flow[j] as number;
          if (isOpen[c]) freeze(c, share, rates);
        }
      }
    }
  };

  function shareOf(l: number): number {
    const free = (capacity[l] as number) - (frozenLoad[l] as number);
    return Math.max(0, free) / (openWeight[l] as number);
  }

  function freeze(c: number, rate: number, rates: Float64Array): void {
    isOpen[c] = 0;
    rates[c] = rate;
    for (let i = start[c] as number; i < (start[c + 1] as number); i++) {
      const l = link[i] as number;
      const flows = weight[i] as number;
      frozenLoad[l] = (frozenLoad[l] as number) + flows * rate;
      openWeight[l] = (openWeight[l] as number) - flows;
      numOpen[l] = (numOpen[l] as number) - 1;
    }
  }
}

function transpose({ capacity, start, link }: FlowProblem): {
  readonly start: Int32Array;
  readonly flow: Int32Array;
} {
  const starts = new Int32Array(capacity.length + 1);
  for (const l of link) starts[l + 1] = at(starts, l + 1) + 1;
  for (let l = 0; l < capacity.length; l++) starts[l + 1] = at(starts, l + 1) + at(starts, l);
  const next = starts.slice();
  const flow = new Int32Array(link.length);
  for (let c = 0; c + 1 < start.length; c++) {
    for (let i = at(start, c); i < at(start, c + 1); i++) {
      const l = at(link, i);
      flow[at(next, l)] = c;
      next[l] = at(next, l) + 1;
    }
  }
  return { start: starts, flow };
}
