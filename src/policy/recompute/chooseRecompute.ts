/**
 * Which layers make which activations again, so that a rank fits: the least recomputed FLOPs under
 * a byte cap, exactly.
 *
 * Every layer takes one of a few options, each with the bytes it keeps and the FLOPs it computes
 * again; while a layer runs, its option also needs work space, of which only the largest counts.
 * For a fixed bound on the work space that is a knapsack of multiple choice. Layers are alike, so
 * it has few groups of many copies: partial sums (bytes, FLOPs) are carried on copy by copy. Of two
 * sums one that is no better in either number goes, and so does every sum that even the best
 * fractional rest would not bring below a solution already found (Pisinger 1995).
 */
import { assert, at } from '../../base/assert.ts';

export interface RecomputeOption {
  /** What a layer keeps under it, all live micro-batches together. */
  readonly bytes: number;
  /** What a layer computes again. */
  readonly flops: number;
  /** Work space while such a layer runs. */
  readonly work: number;
}

export interface RecomputeGroup<Option extends RecomputeOption = RecomputeOption> {
  /** Layers that are alike. */
  readonly numLayers: number;
  /** Not empty. */
  readonly options: readonly Option[];
}

export interface RecomputeChoice {
  /** Per group and option the number of layers that take it. */
  readonly counts: readonly (readonly number[])[];
  readonly flops: number;
  /** Kept bytes and the largest work space. */
  readonly bytes: number;
}

/** @returns null when nothing fits; of equal FLOPs the fewer bytes */
export function chooseRecompute(
  groups: readonly RecomputeGroup[],
  capBytes: number,
): RecomputeChoice | null {
  const works = groups.flatMap(({ numLayers, options }) =>
    numLayers === 0 ? [] : options.map(({ work }) => work),
  );
  const bounds = [...new Set([0, ...works])].flatMap((work) => {
    const allowed = groups.flatMap((group, index) => allowedUnder(group, index, work));
    if (allowed.some(({ choices }) => choices.length === 0)) return [];
    const room = capBytes - work;
    return [{ allowed, room, least: restOf(allowed).bound(room) }];
  });
  bounds.sort((a, b) => a.least - b.least);
  const tolerance = toleranceOf(groups);
  let best: RecomputeChoice | null = null;
  for (const { allowed, room, least } of bounds) {
    const most = best?.flops ?? Number.POSITIVE_INFINITY;
    if (isAbove(least, most, tolerance)) continue;
    const found = underBound(allowed, { cap: room, known: most, tolerance });
    if (found === null) continue;
    const choice = finished(groups, found);
    if (best === null || isBetter(choice, best)) best = choice;
  }
  return best;
}

/**
 * More than the last bits of sums may differ by: a bound is a difference of sums that may be far
 * larger than itself, so the tolerance is a share of those. Nothing that fits is infinite.
 */
function isAbove(flops: number, most: number, tolerance: number): boolean {
  return flops === Number.POSITIVE_INFINITY || flops > most + tolerance;
}

/** Of the FLOPs of all layers, each under its dearest option. */
function toleranceOf(groups: readonly RecomputeGroup[]): number {
  const dearest = groups.map(
    ({ numLayers, options }) => numLayers * Math.max(...options.map(({ flops }) => flops)),
  );
  return 1e-12 * dearest.reduce((sum, flops) => sum + flops, 0);
}

function isBetter(a: RecomputeChoice, b: RecomputeChoice): boolean {
  return a.flops < b.flops || (a.flops === b.flops && a.bytes < b.bytes);
}

interface Choice {
  readonly index: number;
  readonly bytes: number;
  readonly flops: number;
}

interface Allowed {
  /** Which of the caller's groups. */
  readonly group: number;
  readonly numLayers: number;
  /** By rising bytes and falling FLOPs: none that another beats in both. */
  readonly choices: readonly Choice[];
  /** Those of them on the lower convex hull: what a fractional solution is made of. */
  readonly hull: readonly Choice[];
}

function allowedUnder(group: RecomputeGroup, index: number, bound: number): Allowed[] {
  if (group.numLayers === 0) return [];
  const fitting = group.options
    .map(({ bytes, flops, work }, option) => ({ index: option, bytes, flops, work }))
    .filter(({ work }) => work <= bound)
    .sort((a, b) => a.bytes - b.bytes || a.flops - b.flops);
  const choices: Choice[] = [];
  for (const each of fitting) {
    if (each.flops < (choices.at(-1)?.flops ?? Number.POSITIVE_INFINITY)) choices.push(each);
  }
  return [{ group: index, numLayers: group.numLayers, choices, hull: lowerHull(choices) }];
}

function lowerHull(choices: readonly Choice[]): Choice[] {
  const hull: Choice[] = [];
  for (const each of choices) {
    while (
      hull.length > 1 &&
      !isBelow(at(hull, hull.length - 1), at(hull, hull.length - 2), each)
    ) {
      hull.pop();
    }
    hull.push(each);
  }
  return hull;
}

/** Whether `middle` lies below the line from `left` to `right`. */
function isBelow(middle: Choice, left: Choice, right: Choice): boolean {
  const slope = (right.flops - left.flops) / (right.bytes - left.bytes);
  return middle.flops < left.flops + slope * (middle.bytes - left.bytes);
}

/** A partial sum, and the choice that led to it. */
interface Sum {
  readonly bytes: number;
  readonly flops: number;
  readonly group: number;
  readonly choice: Choice | null;
  readonly before: Sum | null;
}

/** @param limits `known`: FLOPs that another solution has */
function underBound(
  groups: readonly Allowed[],
  limits: { readonly cap: number; readonly known: number; readonly tolerance: number },
): Sum | null {
  const { cap, known, tolerance } = limits;
  let sums: Sum[] = [{ bytes: 0, flops: 0, group: -1, choice: null, before: null }];
  let most = Math.min(known, restOf(groups).rounded(cap));
  for (const [index, group] of groups.entries()) {
    for (let left = group.numLayers - 1; left >= 0; left--) {
      const rest = restOf([{ ...group, numLayers: left }, ...groups.slice(index + 1)]);
      const next: Sum[] = [];
      for (const before of sums) {
        for (const choice of group.choices) {
          const bytes = before.bytes + choice.bytes;
          const flops = before.flops + choice.flops;
          const room = cap - bytes;
          if (isAbove(flops + rest.bound(room), most, tolerance)) continue;
          most = Math.min(most, flops + rest.rounded(room));
          next.push({ bytes, flops, group: group.group, choice, before });
        }
      }
      sums = undominated(next);
    }
  }
  return sums.at(-1) ?? null;
}

/** By rising bytes, FLOPs fall. */
function undominated(sums: Sum[]): Sum[] {
  sums.sort((a, b) => a.bytes - b.bytes || a.flops - b.flops);
  const kept: Sum[] = [];
  for (const sum of sums) {
    if (sum.flops < (kept.at(-1)?.flops ?? Number.POSITIVE_INFINITY)) kept.push(sum);
  }
  return kept;
}

interface Rest {
  /** FLOPs that no solution within the room goes below. */
  readonly bound: (room: number) => number;
  /** FLOPs of one solution within the room; of both: infinite when there is none. */
  readonly rounded: (room: number) => number;
}

/**
 * The layers that are left, taken as divisible: every layer begins at its fewest bytes, and the
 * steps of the hulls are bought by falling FLOPs saved per byte. Whole steps alone, each by the
 * layers that took the step before, are a solution.
 */
function restOf(groups: readonly Allowed[]): Rest {
  let leastBytes = 0;
  let mostFlops = 0;
  const steps: { bytes: number; flops: number; of: number }[] = [];
  for (const [of, { numLayers, hull }] of groups.entries()) {
    for (const [index, { bytes, flops }] of hull.entries()) {
      const before = hull[index - 1];
      if (before === undefined) {
        leastBytes += numLayers * bytes;
        mostFlops += numLayers * flops;
      } else {
        steps.push({ bytes: bytes - before.bytes, flops: before.flops - flops, of });
      }
    }
  }
  steps.sort((a, b) => b.flops / b.bytes - a.flops / a.bytes);
  return {
    bound: (room) => {
      let left = room - leastBytes;
      if (left < 0) return Number.POSITIVE_INFINITY;
      let rest = mostFlops;
      for (const { bytes, flops, of } of steps) {
        const all = at(groups, of).numLayers;
        if (left < all * bytes) return rest - (left / bytes) * flops;
        rest -= all * flops;
        left -= all * bytes;
      }
      return rest;
    },
    rounded: (room) => {
      let left = room - leastBytes;
      if (left < 0) return Number.POSITIVE_INFINITY;
      let rest = mostFlops;
      const ready = groups.map(({ numLayers }) => numLayers);
      for (const { bytes, flops, of } of steps) {
        const bought = Math.min(at(ready, of), Math.floor(left / bytes));
        ready[of] = bought;
        rest -= bought * flops;
        left -= bought * bytes;
      }
      return rest;
    },
  };
}

function finished(groups: readonly RecomputeGroup[], last: Sum): RecomputeChoice {
  const counts = groups.map(({ options }) => options.map(() => 0));
  let work = 0;
  let bytes = 0;
  let flops = 0;
  for (let sum: Sum | null = last; sum?.choice; sum = sum.before) {
    const own = at(counts, sum.group);
    own[sum.choice.index] = at(own, sum.choice.index) + 1;
  }
  for (const [group, { options, numLayers }] of groups.entries()) {
    assert(at(counts, group).reduce((a, b) => a + b, 0) === numLayers, 'a layer without an option');
    for (const [index, option] of options.entries()) {
      const count = at(at(counts, group), index);
      if (count === 0) continue;
      bytes += count * option.bytes;
      flops += count * option.flops;
      work = Math.max(work, option.work);
    }
  }
  return { counts, flops, bytes: bytes + work };
}
