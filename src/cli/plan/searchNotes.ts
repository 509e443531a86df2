/** How far a search is, said on a terminal while it goes on. */
import { formatPercent, formatSeconds } from '../../base/units.ts';
import type { SearchProgress, SearchResult } from '../../planner/search/searchRequest.ts';
import { machineClock } from '../../runtime/clock.ts';
import { note } from '../output.ts';

export function noteSearch(): void {
  note('searching layouts, schedules, micro-batches and recomputation …');
}

export function noteFound({ numPlans, numFitting, seconds }: SearchResult): void {
  const rate = seconds === null ? '' : `, ${Math.round(numPlans / seconds)} a second`;
  note(`${numPlans} plans${rate}; ${numFitting} fit`);
}

const SECONDS_BETWEEN_NOTES = 3;

/** A line every few seconds: how many plans, which share, how long still. */
export function progressNotes(): (progress: SearchProgress) => void {
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
