/**
 * How uneven a router is from one micro-batch to the next, where nobody says.
 *
 * Biases that follow the load even it out over a batch (busiest expert 4 % over the mean: arXiv
 * 2408.15664, table 2), not within a micro-batch, and a micro-batch is what ranks wait for. FEPLB
 * (arXiv 2604.19654) measured that in training: of the time of GLM-5's expert layers (128 experts,
 * 8 ranks, no auxiliary loss) 18.6 % goes to waiting for the busiest rank. No other measurement is
 * known to us, so it stands for every router and every number of ranks. A benchmark that forces
 * balance has 1.
 */
import type { PlannedModel } from '../config/gqaModelConfig.ts';
import type { ParallelPlan } from '../config/parallelPlan.ts';

/** Mean over busiest. */
const USED_SHARE: number = 1 - 0.186;

/**
 * The most that the busiest rank can have over the mean: then each of its experts has every token,
 * or as many of them as a token takes. ep where a rank holds top-k experts, fewer below.
 */
export function mostImbalance(model: PlannedModel, { ep }: ParallelPlan): number {
  const { nRoutedExperts, numExpertsPerTok } = model;
  if (nRoutedExperts === 0 || ep === 1) return 1;
  return (ep * Math.min(numExpertsPerTok, nRoutedExperts / ep)) / numExpertsPerTok;
}

/**
 * Load of the busiest rank of a group over the mean: what the caller says, or as published; never
 * more than can be. It is 1 where there is nothing to be uneven: no experts, or all of them on
 * every rank.
 */
export function imbalanceOf(
  model: PlannedModel,
  layout: ParallelPlan,
  given: number | null | undefined,
): number {
  return Math.min(mostImbalance(model, layout), given ?? 1 / USED_SHARE);
}
