/**
 * GPUs of one kind are not alike: chips differ, and power and heat set their clocks. Tables of
 * kernels are measured on one of them; ranks that wait for one another go at the pace of the
 * slowest.
 *
 * Sinha et al. (SC 2022, arXiv 2208.11035) ran the same work on over 90 % of the GPUs of five
 * clusters: without outliers the slowest takes 8 % longer than the fastest, on average over
 * clusters and programs. Outliers are those beyond 1.5 interquartile ranges, so of normally
 * distributed times the rest spans 5.4 standard deviations.
 */

const RANGE = 0.08;
const RANGE_DEVIATIONS = 5.4;
/** Of one GPU's seconds over the mean of all. */
export const GPU_DEVIATION: number = RANGE / RANGE_DEVIATIONS;

/** Seconds of the slowest of `count` GPUs over those of the mean one, expected. */
export function slowestOf(count: number): number {
  return 1 + GPU_DEVIATION * expectedMaximum(count);
}

/** Of `count` standard normal draws (Blom 1958): 4 % too large for two, 1 % from eight on. */
export function expectedMaximum(count: number): number {
  if (count <= 1) return 0;
  return normalQuantile((count - 0.375) / (count + 0.25));
}

/** Inverse of the normal distribution above the median. */
function normalQuantile(probability: number): number {
  // Abramowitz and Stegun, 26.2.23: off by less than 4.5e-4.
  const t = Math.sqrt(-2 * Math.log(1 - probability));
  const ratio =
    (2.515517 + t * (0.802853 + t * 0.010328)) /
    (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
  return Math.max(0, t - ratio);
}
