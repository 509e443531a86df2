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
  | { readonly kind: 'allToAll'; readonly groups: readonly Int32Array[]; readonly bytes: number }
  /**
   * Every rank sends `bytes` to its own place in each other scale-up domain of its group, where
   * they are forwarded: DeepEP's first leg, and the middle of hierarchical collectives.
   */
  | {
      readonly kind: 'rails';
      readonly groups: readonly Int32Array[];
      readonly domainSize: number;
      readonly bytes: number;
    }
  | {
      readonly kind: 'list';
      readonly sources: Int32Array;
      readonly targets: Int32Array;
      readonly bytes: Float64Array;
    };

export function visitTraffic(
  traffic: Traffic,
  visit: (source: number, target: number, bytes: number) => void,
): void {
  switch (traffic.kind) {
    case 'allToAll':
      for (const ranks of traffic.groups) {
        for (let i = 0; i < ranks.length; i++) {
          for (let j = 0; j < ranks.length; j++) {
            if (i !== j) visit(ranks[i] as number, ranks[j] as number, traffic.bytes);
          }
        }
      }
      return;
    case 'rails': {
      const { groups, domainSize, bytes } = traffic;
      for (const ranks of groups) {
        for (let i = 0; i < ranks.length; i++) {
          const source = ranks[i] as number;
          const place = source % domainSize;
          for (let j = 0; j < ranks.length; j++) {
            const target = ranks[j] as number;
            if (i !== j && target % domainSize === place) visit(source, target, bytes);
          }
        }
      }
      return;
    }
    case 'list':
      for (let i = 0; i < traffic.sources.length; i++) {
        visit(at(traffic.sources, i), at(traffic.targets, i), at(traffic.bytes, i));
      }
      return;
    default:
      traffic satisfies never;
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

/** Each rank sends `bytes` to the next of its group, the last to the first: a ring's one step. */
export function ringStep(groups: readonly Int32Array[], bytes: number): Traffic {
  const flows: [number, number, number][] = [];
  for (const ranks of groups) {
    if (ranks.length < 2) continue;
    for (const [i, rank] of ranks.entries()) {
      flows.push([rank, at(ranks, (i + 1) % ranks.length), bytes]);
    }
  }
  return listOf(flows);
}

/** A ring's step over domains: the members of one place in their domains are a ring. */
export function railRingStep(args: {
  readonly groups: readonly Int32Array[];
  readonly domainSize: number;
  readonly bytes: number;
}): Traffic {
  const rings = args.groups.flatMap((ranks) => {
    const byPlace = Map.groupBy(ranks, (rank) => rank % args.domainSize);
    return [...byPlace.values()].map((members) => Int32Array.from(members));
  });
  return ringStep(rings, args.bytes);
}

/** Rank r sends to rank r + `stride`, all such pairs at once. */
export function shift(args: {
  readonly numGpus: number;
  readonly stride: number;
  readonly bytes: number;
}): Traffic {
  const { numGpus, stride, bytes } = args;
  return listOf(
    Array.from(
      { length: Math.max(0, numGpus - stride) },
      (_, r) => [r, r + stride, bytes] as const,
    ),
  );
}

function listOf(flows: readonly (readonly [number, number, number])[]): Traffic {
  return {
    kind: 'list',
    sources: Int32Array.from(flows, (flow) => at(flow, 0)),
    targets: Int32Array.from(flows, (flow) => at(flow, 1)),
    bytes: Float64Array.from(flows, (flow) => at(flow, 2)),
  };
}
