/** From the command line to a search for plans. */
import { formatPercent, formatSeconds } from '../../base/units.ts';
import { searchPlans } from '../../planner/search/searchPlans.ts';
import type {
  SearchProgress,
  SearchRequest,
  SearchResult,
} from '../../planner/search/searchRequest.ts';
import { parsePartialLayout } from '../../policy/plan/layoutRanges.ts';
import { machineClock } from '../../runtime/clock.ts';
import { note } from '../output.ts';
import { chosenSizes, type PlanOptions, type ResolvedPlan } from './resolvePlan.ts';

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

/** @throws what `searchPlans` throws: nothing to try, nothing that fits, nothing within limits */
export function searchSubject(
  subject: ResolvedPlan,
  options: SearchOptions,
  measured: Pick<SearchRequest, 'calibration'>,
): SearchResult {
  const { deadlineDays, budgetDollars, microBatch, gpus } = options;
  const { model, cluster, totalTokens, imbalance } = subject;
  const { schedule, recompute, ...sizes } = chosenSizes(subject, options);
  note('searching layouts, schedules, micro-batches and recomputation …');
  const result = searchPlans({
    ...{ model, cluster, totalTokens, clock: machineClock, onProgress: progressNotes() },
    ...parsePartialLayout(options.layout ?? ''),
    ...{ ...sizes, ...measured },
    ...(imbalance === undefined ? {} : { imbalance }),
    ...(gpus === undefined ? {} : { gpuCounts: gpus }),
    ...(schedule === undefined ? {} : { schedules: [schedule] }),
    ...(recompute === undefined ? {} : { recomputes: [recompute] }),
    ...(microBatch === undefined ? {} : { microBatchSizes: [microBatch] }),
    ...(deadlineDays === undefined ? {} : { deadlineDays }),
    ...(budgetDollars === undefined ? {} : { budgetDollars }),
  });
  const { numPlans, numFitting, seconds } = result;
  const rate = seconds === null ? '' : `, ${Math.round(numPlans / seconds)} a second`;
  note(`${numPlans} plans${rate}; ${numFitting} fit`);
  return result;
}

const SECONDS_BETWEEN_NOTES = 3;

/** A line every few seconds: how many plans, which share, how long still. */
function progressNotes(): (progress: SearchProgress) => void {
  let size = 0;
  let begun = 0;
  let told = 0;
  return ({ numGpus, priced, total }) => {
    const now = machineClock.now();
    if (numGpus !== size) [size, begun, told] = [numGpus, now, now];
    if (priced === 0 || now - told < SECONDS_BETWEEN_NOTES) return;
    told = now;
    const left = ((now - begun) / priced) * (total - priced);
    const share = formatPercent(priced / total, 0);
    note(`${numGpus} GPUs: ${priced} of ${total} plans · ${share} · ETA ${formatSeconds(left)}`);
  };
}
