/**
 * Prices an operation in seconds from a machine's profile.
 *
 * A shape that was measured costs its sample. Any other costs its family's line, fitted by least
 * squares of the *relative* error with no negative term, so that a large product does not drown the
 * small ones. A family nobody measured costs the roofline: max(FLOPs/peak, bytes/bandwidth).
 */
import { at } from '../base/assert.ts';
import type { MachineProfile, OperationCost, OperationSample } from '../config/machineProfile.ts';

/** An operation's work, as the meta kernels write it down. */
export interface OperationWork {
  readonly key: string;
  readonly family: string;
  readonly flops: number;
  readonly bytes: number;
}

export interface CostModel {
  seconds(work: OperationWork): number;
}

export function createCostModel(
  profile: Pick<MachineProfile, 'roofline' | 'samples'> & Partial<MachineProfile>,
): CostModel {
  const measured = new Map<string, number>();
  const families = new Map<string, OperationSample[]>();
  for (const sample of profile.samples) {
    measured.set(sample.key, sample.seconds);
    const family = families.get(sample.family);
    if (family === undefined) families.set(sample.family, [sample]);
    else family.push(sample);
  }
  const costs = new Map([...families].map(([name, samples]) => [name, fitCost(samples)]));
  const { fmaPeak, readBandwidth } = profile.roofline;
  return {
    seconds: ({ key, family, flops, bytes }) => {
      const exact = measured.get(key);
      if (exact !== undefined) return exact;
      const cost = costs.get(family);
      if (cost === undefined) return Math.max(flops / fmaPeak, bytes / readBandwidth);
      return cost.secondsPerCall + cost.secondsPerFlop * flops + cost.secondsPerByte * bytes;
    },
  };
}

/**
 * The line through samples with the least relative error and no negative coefficient.
 *
 * Three unknowns at most, so every subset of terms is tried: the best subset whose solution has no
 * negative term is the non-negative optimum.
 */
export function fitCost(samples: readonly OperationSample[]): OperationCost {
  const rows = samples.map(({ flops, bytes, seconds }) => ({
    terms: [1 / seconds, flops / seconds, bytes / seconds],
  }));
  let best = { error: Number.POSITIVE_INFINITY, coefficients: [0, 0, 0] };
  for (let subset = 1; subset < 8; subset++) {
    const active = [0, 1, 2].filter((term) => (subset >> term) & 1);
    if (active.length > samples.length) continue;
    const solution = leastSquares(rows.map(({ terms }) => active.map((term) => at(terms, term))));
    if (solution === undefined || solution.some((value) => value < 0)) continue;
    const coefficients = [0, 0, 0];
    for (const [i, term] of active.entries()) coefficients[term] = at(solution, i);
    const error = rows.reduce((sum, { terms }) => {
      const predicted = terms.reduce((s, term, i) => s + term * at(coefficients, i), 0);
      return sum + (predicted - 1) ** 2;
    }, 0);
    if (error < best.error - 1e-12) best = { error, coefficients };
  }
  const [secondsPerCall, secondsPerFlop, secondsPerByte] = best.coefficients;
  return {
    secondsPerCall: secondsPerCall ?? 0,
    secondsPerFlop: secondsPerFlop ?? 0,
    secondsPerByte: secondsPerByte ?? 0,
  };
}

/**
 * Solves min Σ (row · x − 1)² by the normal equations, columns scaled first; undefined if singular.
 */
function leastSquares(rows: readonly number[][]): number[] | undefined {
  const size = rows[0]?.length ?? 0;
  const scales = Array.from({ length: size }, (_, i) =>
    Math.sqrt(rows.reduce((sum, row) => sum + at(row, i) ** 2, 0)),
  );
  if (scales.some((scale) => scale === 0)) return undefined;
  const matrix = scales.map((si, i) => [
    ...scales.map((sj, j) => rows.reduce((sum, r) => sum + (at(r, i) / si) * (at(r, j) / sj), 0)),
    rows.reduce((sum, row) => sum + at(row, i) / si, 0),
  ]);
  for (let pivot = 0; pivot < size; pivot++) {
    const row = at(matrix, pivot);
    if (Math.abs(at(row, pivot)) < 1e-9) return undefined;
    for (let other = 0; other < size; other++) {
      if (other === pivot) continue;
      const target = at(matrix, other);
      const factor = at(target, pivot) / at(row, pivot);
      for (let j = pivot; j <= size; j++) target[j] = at(target, j) - factor * at(row, j);
    }
  }
  return scales.map((scale, i) => at(at(matrix, i), size) / at(at(matrix, i), i) / scale);
}
