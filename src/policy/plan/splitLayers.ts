/**
 * Which layers a pipeline stage gets: consecutive runs of them, so that the busiest rank has as
 * little to do as possible. Every micro-batch passes every rank, so in the steady state all ranks
 * wait for that one.
 *
 *     one chunk a rank     rank j: stage j
 *     DualPipe             rank j: stage j and stage P − 1 − j, of P stages
 *     DualPipeV            rank j: stage j and stage 2P − 1 − j, of 2P stages
 *     interleaved          rank j: stages j, j + P, j + 2P, … of v P stages
 *
 * Interleaved ranks go through their stages in rounds: there the longest stage of each round
 * counts. The ends (embedding; norm, head, MTP modules) stay at the first and the last stage, as
 * DeepSeek-V3 has them (report, 3.2.3), so those get fewer layers.
 */
import { assert, at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';

/** Layers `first` … `last − 1`. */
export interface LayerRange {
  readonly first: number;
  readonly last: number;
}

export interface SplitArgs {
  /** What each layer takes, in any unit: a forward and a backward pass of one micro-batch. */
  readonly layerCosts: readonly number[];
  readonly embeddingCost: number;
  /** Norm, head, loss and MTP modules. */
  readonly headCost: number;
  /** The stages of each rank; together every stage, in DualPipe twice. */
  readonly stagesOfRank: readonly (readonly number[])[];
  /** What the head's stage keeps beside its layers, in layers: itself, MTP modules; else 0. */
  readonly headLayers?: number;
  /** Micro-batches that a rank keeps activations of, for each of its stages; none by default. */
  readonly liveChunksOfRank?: readonly (readonly number[])[];
  /**
   * Interleaved: ranks go through their stages in rounds, all in the first, all in the second, so
   * each round has the pace of its own busiest rank. `free` by default: only sums count.
   */
  readonly rounds?: 'free' | 'together';
  /** `WORTH_OF_MEMORY` by default; more where the fastest split does not fit. */
  readonly worthOfMemory?: number;
}

/**
 * What a rank that keeps activations of the mean number of layers less is worth of its time, while
 * there is memory for all.
 */
export const WORTH_OF_MEMORY = 0.02;

/**
 * The split with the least cost of the busiest rank; where costs are a few hundredths apart, the
 * one whose fullest rank keeps activations of the fewest layers; then the least sum of squares.
 *
 * A stage may end up without layers only where it has an end to run.
 *
 * @throws plan.stages with fewer layers than stages that need one
 */
export function splitLayers(args: SplitArgs): readonly LayerRange[] {
  const { layerCosts, stagesOfRank } = args;
  const numStages = Math.max(...stagesOfRank.flat()) + 1;
  const inner = Math.max(0, numStages - 2) + (numStages === 1 ? 1 : 0);
  if (layerCosts.length < inner) {
    throw new MoebiusError('plan.stages', `${layerCosts.length} layers for ${numStages} stages`, {
      values: { layers: layerCosts.length, stages: numStages },
      hint: `Lower pp, or the chunks of each rank, to at most ${layerCosts.length + 2} stages.`,
    });
  }
  const scoreOf = scorer(args, numStages);
  const split = evenSplit(layerCosts.length, numStages, args);
  // Moving one boundary by one layer, and moving one layer over several stages, until no move
  // helps: layers are nearly alike, so the even split is a few moves from the best.
  let best = scoreOf(split);
  for (let isBetter = true; isBetter; ) {
    isBetter = false;
    for (let from = 0; from < numStages; from++) {
      for (let to = 0; to < numStages; to++) {
        if (to === from || !canGive(split, from)) continue;
        moveLayer(split, from, to);
        const next = scoreOf(split);
        if (isLess(next, best)) {
          best = next;
          isBetter = true;
        } else moveLayer(split, to, from);
      }
    }
  }
  return ranges(split);
}

/** Layers of each stage. */
type Counts = number[];

interface Score {
  /** Of the busiest rank, with what the fullest one's memory is worth. */
  readonly cost: number;
  readonly squares: number;
}

function isLess(a: Score, b: Score): boolean {
  const tolerance = 1e-9 * b.cost;
  if (a.cost < b.cost - tolerance) return true;
  return a.cost < b.cost + tolerance && a.squares < b.squares * (1 - 1e-9);
}

/**
 * A search asks for hundreds of splits a second and each for thousands of scores: sums of layers'
 * costs are made once, and nothing is allocated but the answer.
 */
function scorer(args: SplitArgs, numStages: number): (counts: Counts) => Score {
  const { layerCosts, stagesOfRank, liveChunksOfRank, embeddingCost, headCost } = args;
  const { worthOfMemory = WORTH_OF_MEMORY, headLayers = 0 } = args;
  const numRanks = stagesOfRank.length;
  const numRounds = args.rounds === 'together' ? Math.max(...stagesOfRank.map((s) => s.length)) : 0;
  const rounds = new Float64Array(numRounds);
  const sums = new Float64Array(layerCosts.length + 1);
  for (const [layer, cost] of layerCosts.entries()) sums[layer + 1] = at(sums, layer) + cost;
  const costs = new Float64Array(numStages);
  // Rank j has stages held[firsts[j]] … held[firsts[j + 1] − 1], and of each so many live chunks.
  const held = Int32Array.from(stagesOfRank.flat());
  const lives = Float64Array.from(
    stagesOfRank.flatMap((own, rank) =>
      own.map((_, index) => liveChunksOfRank?.[rank]?.[index] ?? 0),
    ),
  );
  // A yardstick that no split changes: a rank's activations if all stages had as many layers.
  const keptIfEven =
    (lives.reduce((sum, live) => sum + live, 0) / numRanks) * (layerCosts.length / numStages);
  const firsts = new Int32Array(numRanks + 1);
  for (const [rank, own] of stagesOfRank.entries())
    firsts[rank + 1] = at(firsts, rank) + own.length;
  return (counts) => {
    let layer = 0;
    for (let stage = 0; stage < numStages; stage++) {
      const first = sums[layer] as number;
      layer += counts[stage] as number;
      costs[stage] = (sums[layer] as number) - first;
    }
    costs[0] = (costs[0] as number) + embeddingCost;
    costs[numStages - 1] = (costs[numStages - 1] as number) + headCost;
    let busiest = 0;
    let squares = 0;
    let fullest = 0;
    if (numRounds > 0) rounds.fill(0);
    for (let rank = 0; rank < numRanks; rank++) {
      const begin = firsts[rank] as number;
      const end = firsts[rank + 1] as number;
      let cost = 0;
      let live = 0;
      for (let place = begin; place < end; place++) {
        const stage = held[place] as number;
        const own = costs[stage] as number;
        cost += own;
        const ends = stage === numStages - 1 ? headLayers : 0;
        live += ((counts[stage] as number) + ends) * (lives[place] as number);
        // Within a rank, too: an overlapped pair is as long as its halves, which alternate.
        squares += 1e-3 * own * own;
        if (numRounds > 0 && own > (rounds[place - begin] as number)) rounds[place - begin] = own;
      }
      if (cost > busiest) busiest = cost;
      if (live > fullest) fullest = live;
      squares += cost * cost;
    }
    if (numRounds > 0) {
      busiest = 0;
      for (let round = 0; round < numRounds; round++) busiest += rounds[round] as number;
    }
    const memory = keptIfEven > 0 ? (worthOfMemory * fullest) / keptIfEven : 0;
    return { cost: busiest * (1 + memory), squares };
  };
}

/** Cuts where the running cost passes each stage's even share; the ends' costs are counted in. */
function evenSplit(numLayers: number, numStages: number, args: SplitArgs): Counts {
  const { layerCosts, embeddingCost, headCost } = args;
  const total = embeddingCost + headCost + layerCosts.reduce((sum, cost) => sum + cost, 0);
  const counts = new Array<number>(numStages).fill(0);
  let passed = embeddingCost;
  for (let layer = 0; layer < numLayers; layer++) {
    const middle = passed + at(layerCosts, layer) / 2;
    const stage = Math.min(numStages - 1, Math.floor((middle / total) * numStages));
    counts[stage] = at(counts, stage) + 1;
    passed += at(layerCosts, layer);
  }
  return filled(counts);
}

/** Stages between the ends need a layer each: taken from the fullest. */
function filled(counts: number[]): Counts {
  for (let stage = 0; stage < counts.length; stage++) {
    if (at(counts, stage) > 0 || isEnd(counts, stage)) continue;
    // Of stages that have one layer each only an end can give it.
    const most = Math.max(...counts);
    const fullest = counts.findIndex(
      (count, s) => count === most && (most > 1 || isEnd(counts, s)),
    );
    assert(fullest >= 0, 'too few layers for the stages');
    counts[fullest] = at(counts, fullest) - 1;
    counts[stage] = 1;
  }
  return counts;
}

function isEnd(counts: readonly number[], stage: number): boolean {
  return counts.length > 1 && (stage === 0 || stage === counts.length - 1);
}

function canGive(counts: Counts, from: number): boolean {
  return at(counts, from) > 1 || (at(counts, from) === 1 && isEnd(counts, from));
}

/** A layer more here and one less there; those between keep their number and shift by one. */
function moveLayer(counts: Counts, from: number, to: number): void {
  counts[from] = at(counts, from) - 1;
  counts[to] = at(counts, to) + 1;
}

function ranges(counts: Counts): readonly LayerRange[] {
  let first = 0;
  return counts.map((count) => {
    const range = { first, last: first + count };
    first += count;
    return range;
  });
}
