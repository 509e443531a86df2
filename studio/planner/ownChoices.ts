/**
 * What the planner takes where nothing is said, for the fields that are left empty: the numbers of
 * the published run, the cluster's size, the schedule that suits the layout. The planner's own
 * functions answer, so a field never promises what is not planned.
 */
import { parseLayout } from '../../src/config/parallelPlan.ts';
import { chosenSizes, namedSubject, planOf } from '../../src/planner/request/planRequest.ts';
import { isSearch } from '../../src/planner/request/searchSubject.ts';
import type { PlanRequest } from './planRequest.ts';
import { refusalOf } from './refusal.ts';

export interface OwnChoices {
  readonly gpus: string;
  readonly globalBatch: string;
  readonly sequenceLength: string;
  readonly precision: string;
  /** Null: the search decides. Undefined, of these two: the layout is refused, and nothing does. */
  readonly microBatch: string | null;
  readonly schedule: string | null | undefined;
  readonly recompute: string | null | undefined;
}

/** @returns null where model, cluster or precision are refused */
export function ownChoices(request: PlanRequest): OwnChoices | null {
  const { model, cluster, mtp } = request;
  return orNothing(() => {
    const described = namedSubject({ model, cluster, mtp });
    const sizes = chosenSizes(described, { model, cluster, mtp });
    const numbers = {
      gpus: String(described.cluster.numGpus),
      globalBatch: String(sizes.globalBatch),
      sequenceLength: String(sizes.sequenceLength),
      precision: sizes.precision,
    };
    const isOpen = orNothing(() => isSearch(request)) ?? false;
    if (isOpen) return { ...numbers, microBatch: null, schedule: null, recompute: null };
    return {
      ...{ ...numbers, microBatch: '1' },
      ...{ schedule: ownOf(request, 'schedule'), recompute: ownOf(request, 'recompute') },
    };
  });
}

/** What is taken for one option with all others as they are asked. */
function ownOf(request: PlanRequest, key: 'schedule' | 'recompute'): string | undefined {
  const { [key]: _, ...rest } = request;
  const found = orNothing(() => {
    const subject = namedSubject(rest);
    return planOf(subject, rest, parseLayout(rest.layout ?? '', subject.cluster.numGpus))[key];
  });
  return found ?? undefined;
}

/** What the planner refuses, it refuses itself, with its hint; a field then promises nothing. */
function orNothing<T>(found: () => T): T | null {
  try {
    return found();
  } catch (error) {
    refusalOf(error);
    return null;
  }
}
