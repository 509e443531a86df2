/**
 * What must come out, in doubles, and how far a float32 result may be from it.
 *
 * Bounds are forward error bounds, not fitted numbers: a float32 sum of n products, in whatever
 * order, is within (n + 2) · 2⁻²⁴ of Σ |terms| (Higham, Accuracy and Stability, 3.1). That is far
 * below what a dropped or doubled term changes.
 */
import { at } from '../../src/base/assert.ts';

export interface Expectation {
  readonly values: ArrayLike<number>;
  /** The largest error allowed, for each element or for all. */
  readonly bounds: ArrayLike<number> | number;
}

/** Half a unit in the last place of 1: the relative error of one float32 operation. */
export const UNIT: number = 2 ** -24;

/** What is asked several times and made once. */
export function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

/** Below this float32 has lost its last bits. */
export const TINY: number = 2 ** -126;

/** Roundings beside those of the sum itself: products, scales, the final store. */
const MORE_ROUNDINGS = 8;

/** Each of `count` elements is a sum of `numTerms`, on top of what was there before. */
export function sums(args: {
  readonly count: number;
  readonly numTerms: number | ((element: number) => number);
  readonly term: (element: number, index: number) => number;
  readonly before?: ArrayLike<number> | undefined;
}): Expectation {
  const { count, numTerms, term, before } = args;
  const values = new Float64Array(count);
  const bounds = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const terms = typeof numTerms === 'number' ? numTerms : numTerms(i);
    let sum = before ? at(before, i) : 0;
    let magnitude = Math.abs(sum);
    for (let s = 0; s < terms; s++) {
      const value = term(i, s);
      sum += value;
      magnitude += Math.abs(value);
    }
    values[i] = sum;
    bounds[i] = (terms + MORE_ROUNDINGS) * UNIT * magnitude + TINY;
  }
  return { values, bounds };
}

/** Elements that are computed alone; `roundings` is how many float32 operations lie behind each. */
export function each(args: {
  readonly count: number;
  readonly roundings: number;
  readonly value: (element: number) => number;
  /** The size of what cancels in it, where that is more than the value. */
  readonly magnitude?: (element: number) => number;
}): Expectation {
  const values = Float64Array.from({ length: args.count }, (_, i) => args.value(i));
  const magnitude = args.magnitude ?? ((i: number) => at(values, i));
  const bounds = Float64Array.from(
    values,
    (_, i) => args.roundings * UNIT * Math.abs(magnitude(i)) + TINY,
  );
  return { values, bounds };
}

export function exactly(values: ArrayLike<number>): Expectation {
  return { values, bounds: 0 };
}

/**
 * Within a share of the largest absolute value, for gradients, whose elements cancel freely; where
 * all of them may cancel, `floor` is the size of what does.
 */
export function withinLargest(values: ArrayLike<number>, share: number, floor = 0): Expectation {
  let largest = floor;
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(at(values, i)));
  return { values, bounds: share * largest + TINY };
}

/**
 * The gradient of a function of doubles by central differences of fourth order: with h = 1e-3 both
 * the h⁴ of the formula and the rounding of doubles are below 1e-10.
 */
export function gradient(
  f: (x: Float64Array) => number,
  x: ArrayLike<number>,
  h = 1e-3,
): Float64Array {
  const point = Float64Array.from(x);
  return point.map((centre, i) => {
    const moved = (by: number): number => {
      point[i] = centre + by * h;
      return f(point);
    };
    const slope = (8 * (moved(1) - moved(-1)) - (moved(2) - moved(-2))) / (12 * h);
    point[i] = centre;
    return slope;
  });
}
