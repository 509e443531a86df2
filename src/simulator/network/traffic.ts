/**
 * Who sends how much to whom, all at once: the steps of collectives as flows.
 *
 * Groups are named by size and stride as in `RankGroup`; all groups of that shape in the cluster
 * act at the same time, as they do in training.
 */
import { at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import type { RankGroup } from '../networkModel.ts';

export type Traffic =
  /** Every rank of a group sends `bytes` to each of the others. */
  | {
      readonly kind: 'allToAll';
      readonly groups: readonly Int32Array[];
      readonly bytes: number;
      /**
       * Stands for all with at most so many of the others, spread evenly over them, which get the
       * bytes of those left out too; absent: all.
       */
      readonly maxPartners?: number;
      /** Parts a message is cut into, each hashed by itself; absent: 1. */
      readonly flowsPerPair?: number;
    }
  | {
      readonly kind: 'list';
      readonly sources: Int32Array;
      readonly targets: Int32Array;
      readonly bytes: Float64Array;
      readonly flowsPerPair?: number;
    };

/** `salt` counts the flows of one pair. */
export function visitTraffic(
  traffic: Traffic,
  visit: (source: number, target: number, bytes: number, salt: number) => void,
): void {
  switch (traffic.kind) {
    case 'allToAll':
      for (const ranks of traffic.groups) visitGroup(ranks, traffic, visit);
      return;
    case 'list': {
      const { sources, targets, bytes, flowsPerPair = 1 } = traffic;
      for (let i = 0; i < sources.length; i++) {
        for (let salt = 0; salt < flowsPerPair; salt++) {
          visit(at(sources, i), at(targets, i), at(bytes, i) / flowsPerPair, salt);
        }
      }
      return;
    }
    default:
      traffic satisfies never;
  }
}

function visitGroup(
  ranks: Int32Array,
  traffic: Traffic & { readonly kind: 'allToAll' },
  visit: (source: number, target: number, bytes: number, salt: number) => void,
): void {
  const { bytes, maxPartners = Number.POSITIVE_INFINITY, flowsPerPair = 1 } = traffic;
  const others = ranks.length - 1;
  const partners = Math.min(others, maxPartners);
  const each = (bytes * others) / partners / flowsPerPair;
  for (let i = 0; i < ranks.length; i++) {
    for (let k = 0; k < partners; k++) {
      const ahead = 1 + Math.floor((k * others) / partners);
      const j = i + ahead < ranks.length ? i + ahead : i + ahead - ranks.length;
      for (let salt = 0; salt < flowsPerPair; salt++) {
        visit(ranks[i] as number, ranks[j] as number, each, salt);
      }
    }
  }
}

export interface GroupShape extends RankGroup {
  readonly numGpus: number;
}

/** All groups of a shape; ranks beyond the last whole one take no part. */
export function groupsOf({ size, stride, numGpus }: GroupShape): Int32Array[] {
  checkGroup({ size, stride, numGpus });
  const groups: Int32Array[] = [];
  const span = size * stride;
  for (let base = 0; base + span <= numGpus; base += span) {
    for (let first = base; first < base + stride; first++) {
      groups.push(Int32Array.from({ length: size }, (_, i) => first + i * stride));
    }
  }
  return groups;
}

/** @throws network.badGroup when it is empty or wider than the cluster */
export function checkGroup({ size, stride, numGpus }: GroupShape): void {
  const isCount = (value: number): boolean => Number.isInteger(value) && value >= 1;
  if (isCount(size) && isCount(stride) && (size - 1) * stride < numGpus) return;
  throw new MoebiusError(
    'network.badGroup',
    `A group of ${size} ranks, ${stride} apart, does not fit ${numGpus} GPUs.`,
    { values: { size, stride, numGpus }, hint: 'Lower dp, ep, tp or pp, or take more GPUs.' },
  );
}

/**
 * The members of each group that have one place in their scale-up domains. What a rank sends to
 * another domain goes to its own place there and is forwarded: DeepEP's first leg, and the middle
 * of hierarchical collectives.
 */
export function railsOf(groups: readonly Int32Array[], domainSize: number): Int32Array[] {
  return groups.flatMap((ranks) => {
    const byPlace = Map.groupBy(ranks, (rank) => rank % domainSize);
    return [...byPlace.values()].map((members) => Int32Array.from(members));
  });
}

/** Each rank sends `bytes` to the next of its group, the last to the first: a ring's one step. */
export function ringStep(args: {
  readonly groups: readonly Int32Array[];
  readonly bytes: number;
  readonly flowsPerPair?: number;
}): Traffic {
  const { groups, bytes, flowsPerPair = 1 } = args;
  const pairs: [number, number][] = [];
  for (const ranks of groups) {
    if (ranks.length < 2) continue;
    for (const [i, rank] of ranks.entries()) pairs.push([rank, at(ranks, (i + 1) % ranks.length)]);
  }
  return pairTraffic({ pairs, bytes, flowsPerPair });
}

/** Rank r sends to rank r + `stride`, all such pairs at once. */
export function shift(args: {
  readonly numGpus: number;
  readonly stride: number;
  readonly bytes: number;
  readonly flowsPerPair?: number;
}): Traffic {
  const { numGpus, stride, bytes, flowsPerPair = 1 } = args;
  const length = Math.max(0, numGpus - stride);
  const pairs = Array.from({ length }, (_, r) => [r, r + stride] as const);
  return pairTraffic({ pairs, bytes, flowsPerPair });
}

export function pairTraffic(args: {
  readonly pairs: readonly (readonly [source: number, target: number])[];
  readonly bytes: number;
  readonly flowsPerPair?: number;
}): Traffic {
  const { pairs, bytes, flowsPerPair = 1 } = args;
  return {
    kind: 'list',
    sources: Int32Array.from(pairs, ([source]) => source),
    targets: Int32Array.from(pairs, ([, target]) => target),
    bytes: new Float64Array(pairs.length).fill(bytes),
    flowsPerPair,
  };
}
