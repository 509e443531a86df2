/**
 * Time against money: what no other plan beats in one without losing in the other.
 */
import type { SearchedPlan } from './searchRequest.ts';

type Costs = Pick<SearchedPlan, 'days' | 'stepSeconds' | 'dollars'>;

export function timeOf({ days, stepSeconds }: Costs): number {
  return days ?? stepSeconds;
}

/** Whether `a` is as good as `b` in both and better in one. */
export function dominates(a: Costs, b: Costs): boolean {
  if (timeOf(a) > timeOf(b) || a.dollars > b.dollars) return false;
  return timeOf(a) < timeOf(b) || a.dollars < b.dollars;
}

/** Undominated, the fastest first; of plans that are equal in both the first stands for all. */
export function paretoFront<Plan extends Costs>(plans: readonly Plan[]): Plan[] {
  const sorted = [...plans].sort((a, b) => timeOf(a) - timeOf(b) || a.dollars - b.dollars);
  const front: Plan[] = [];
  let least = Number.POSITIVE_INFINITY;
  for (const plan of sorted) {
    if (plan.dollars >= least) continue;
    least = plan.dollars;
    front.push(plan);
  }
  return front;
}
