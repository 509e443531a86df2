/** The machine's own clock, monotonic; the only one of its kind outside of simulations. */
import type { Clock } from '../base/clock.ts';

export const machineClock: Clock = {
  now: () => performance.now() / 1000,
};
