/** Many measurements in a few numbers: the ones that serving benchmarks print for every latency. */

export interface Distribution {
  readonly count: number;
  readonly mean: number;
  readonly median: number;
  /** Of the population: the measurements are all there are. */
  readonly deviation: number;
  readonly p90: number;
  readonly p95: number;
  readonly p99: number;
}

/** null of nothing */
export function distributionOf(values: readonly number[]): Distribution | null {
  const count = values.length;
  if (count === 0) return null;
  const sorted = Float64Array.from(values).sort();
  const mean = sorted.reduce((sum, value) => sum + value, 0) / count;
  const square = sorted.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count;
  return {
    count,
    mean,
    median: percentile(sorted, 50),
    deviation: Math.sqrt(square),
    p90: percentile(sorted, 90),
    p95: percentile(sorted, 95),
    p99: percentile(sorted, 99),
  };
}

/**
 * Between the two nearest ranks in proportion, as numpy, vLLM and AIPerf have it (type 7 of Hyndman
 * and Fan 1996).
 *
 * @param sorted ascending, at least one value
 */
export function percentile(sorted: ArrayLike<number>, percent: number): number {
  const place = (percent / 100) * (sorted.length - 1);
  const below = Math.floor(place);
  const low = sorted[below] ?? Number.NaN;
  const high = sorted[Math.min(below + 1, sorted.length - 1)] ?? low;
  return low + (high - low) * (place - below);
}
