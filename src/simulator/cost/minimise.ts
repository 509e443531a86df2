/**
 * The downhill simplex of Nelder and Mead (1965) for fits of a few parameters: no derivatives, no
 * chance, so the same numbers come out on every machine.
 */
import { at } from '../../base/assert.ts';

export interface Minimum {
  readonly point: readonly number[];
  readonly value: number;
}

export function minimise(
  cost: (point: readonly number[]) => number,
  start: readonly number[],
  { step, iterations }: { readonly step: number; readonly iterations: number },
): Minimum {
  const evaluate = (point: readonly number[]): Minimum => ({ point, value: cost(point) });
  let simplex = [
    evaluate(start),
    ...start.map((_, i) => evaluate(start.map((value, j) => (i === j ? value + step : value)))),
  ];
  const size = start.length;
  for (let iteration = 0; iteration < iterations; iteration++) {
    simplex = simplex.sort((a, b) => a.value - b.value);
    const worst = at(simplex, size);
    const rest = simplex.slice(0, size);
    const centre = start.map(
      (_, j) => rest.reduce((sum, { point }) => sum + at(point, j), 0) / size,
    );
    const towards = (factor: number): Minimum =>
      evaluate(centre.map((value, j) => value + factor * (at(worst.point, j) - value)));
    const reflected = towards(-1);
    const [best, second] = [at(simplex, 0), at(simplex, size - 1)];
    if (reflected.value < best.value) {
      const expanded = towards(-2);
      simplex[size] = expanded.value < reflected.value ? expanded : reflected;
    } else if (reflected.value < second.value) {
      simplex[size] = reflected;
    } else {
      const contracted = towards(reflected.value < worst.value ? -0.5 : 0.5);
      if (contracted.value < Math.min(worst.value, reflected.value)) {
        simplex[size] = contracted;
      } else {
        simplex = simplex.map(({ point }) =>
          evaluate(point.map((value, j) => (value + at(best.point, j)) / 2)),
        );
      }
    }
  }
  return simplex.reduce((best, each) => (each.value < best.value ? each : best));
}
