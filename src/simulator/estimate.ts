/**
 * A predicted number that knows where it is from and how far it may be off.
 */

/**
 * `measured`: a published or own measurement of this very thing. `fitted`: inside the range of a
 * fit. `derived`: from operation counts and data-sheet limits, nothing of its kind was measured.
 * `extrapolated`: a fit used outside of its range, or on other hardware.
 */
export type EstimateSource = 'measured' | 'fitted' | 'derived' | 'extrapolated';

export interface Estimate {
  readonly seconds: number;
  readonly source: EstimateSource;
  /** One standard deviation of truth over estimate, minus 1: 0.1 is ± 10 %. */
  readonly relativeError: number;
}

/** Of a normal distribution nine tenths lie this many standard deviations around the mean. */
const BAR_DEVIATIONS = 1.645;

/** Half of the printed error bar, relative: nine of ten truths lie inside. */
export function errorBar({ relativeError }: Pick<Estimate, 'relativeError'>): number {
  return BAR_DEVIATIONS * relativeError;
}
