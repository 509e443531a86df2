/** What stands for many measurements of which some were disturbed. */
import { assert } from './assert.ts';

/** The middle of the values in order, of an even number the mean of the two; there must be one. */
export function median(values: readonly number[]): number {
  assert(values.length > 0, 'the median of nothing');
  const sorted = values.toSorted((a, b) => a - b);
  const [upper = 0, lower = upper] = [sorted[sorted.length >> 1], sorted[(sorted.length - 1) >> 1]];
  return upper === lower ? upper : (upper + lower) / 2;
}
