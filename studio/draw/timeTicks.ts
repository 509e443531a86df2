/** The scale of a timeline's times: ticks at round numbers, as dense as their labels allow. */
import type { TimelineView } from './timelineView.ts';

export interface Ticks {
  readonly step: number;
  readonly times: readonly number[];
}

/** Multiples of 1, 2 or 5 times a power of ten in the window, at most so many. */
export function ticksOf({ from, to }: Pick<TimelineView, 'from' | 'to'>, most: number): Ticks {
  const least = (to - from) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(least));
  const factor = [1, 2, 5, 10].find((each) => each * power >= least) ?? 10;
  const step = factor * power;
  const times: number[] = [];
  const first = Math.ceil(from / step);
  for (let index = first; index * step <= to && times.length < most + 1; index++) {
    times.push(index * step);
  }
  return { step, times };
}
