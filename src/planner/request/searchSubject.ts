/** From what was asked for to a search for plans. */
import { parsePartialLayout } from '../../policy/plan/layoutRanges.ts';
import { searchPlans } from '../search/searchPlans.ts';
import type { SearchRequest, SearchResult } from '../search/searchRequest.ts';
import { chosenSizes, type PlanOptions, type ResolvedPlan } from './planRequest.ts';

export interface SearchOptions extends PlanOptions {
  readonly search?: boolean;
  readonly deadlineDays?: number;
  readonly budgetDollars?: number;
}

/** A search where one was asked for, where the layout leaves something open, or sizes compete. */
export function isSearch(options: SearchOptions): boolean {
  const { layout, search, deadlineDays, budgetDollars, gpus = [] } = options;
  if (search === true || layout === undefined || gpus.length > 1) return true;
  if (deadlineDays !== undefined || budgetDollars !== undefined) return true;
  return Object.keys(parsePartialLayout(layout).ranges).length > 0;
}

/** What a search is given from outside: measured factors, a clock, whom to tell how far it is. */
export type SearchMeans = Pick<SearchRequest, 'calibration' | 'clock' | 'onProgress'>;

/** @throws what `searchPlans` throws: nothing to try, nothing that fits, nothing within limits */
export function searchSubject(
  subject: ResolvedPlan,
  options: SearchOptions,
  means: SearchMeans,
): SearchResult {
  const { deadlineDays, budgetDollars, microBatch, gpus } = options;
  const { model, cluster, totalTokens, imbalance } = subject;
  const { schedule, recompute, ...sizes } = chosenSizes(subject, options);
  return searchPlans({
    ...{ model, cluster, totalTokens },
    ...parsePartialLayout(options.layout ?? ''),
    ...{ ...sizes, ...means },
    ...(imbalance === undefined ? {} : { imbalance }),
    ...(gpus === undefined ? {} : { gpuCounts: gpus }),
    ...(schedule === undefined ? {} : { schedules: [schedule] }),
    ...(recompute === undefined ? {} : { recomputes: [recompute] }),
    ...(microBatch === undefined ? {} : { microBatchSizes: [microBatch] }),
    ...(deadlineDays === undefined ? {} : { deadlineDays }),
    ...(budgetDollars === undefined ? {} : { budgetDollars }),
  });
}
