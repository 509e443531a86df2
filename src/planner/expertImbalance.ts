/**
 * How uneven a router is in training, where nobody says. The auxiliary-loss-free paper (arXiv
 * 2408.15664, table 2) gives the busiest expert's load over the mean, minus 1: 0.04 with biases that
 * follow the load, 0.72 (1B) and 0.52 (3B) with an auxiliary loss. A rank holds several experts,
 * which are busy independently of each other.
 */
import { isGqa, type PlannedModel } from '../config/gqaModelConfig.ts';
import type { ParallelPlan } from '../config/parallelPlan.ts';

const MAX_VIOLATION = { biases: 0.04, auxiliaryLoss: 0.52 };

/** Load of the busiest rank of a group over the mean: 1 without expert parallelism. */
export function expectedImbalance(model: PlannedModel, { ep }: ParallelPlan): number {
  if (model.nRoutedExperts === 0 || ep === 1) return 1;
  const hasBiases = !isGqa(model) && model.topkMethod === 'noaux_tc';
  const violation = hasBiases ? MAX_VIOLATION.biases : MAX_VIOLATION.auxiliaryLoss;
  return 1 + violation / Math.sqrt(model.nRoutedExperts / ep);
}
