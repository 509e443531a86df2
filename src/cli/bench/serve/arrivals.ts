/**
 * When requests come, in an open loop: they do not wait for answers, as users do not.
 *
 * Gaps are gamma distributed with mean 1 / rate and shape `burstiness`: 1 is Poisson, below it
 * comes in bursts (variance 1 / (burstiness · rate²)), far above it at a steady beat. A seed gives
 * the same arrivals again, whatever the server does. A ramp moves the rate with the progress of the
 * run.
 */
import { MoebiusError } from '../../../base/errors.ts';
import { Random } from '../../../base/random.ts';

/** Requests per second at the beginning and at the end of a run, and how it goes between. */
export interface Rate {
  readonly law: 'linear' | 'exponential';
  readonly from: number;
  readonly to: number;
}

export class Arrivals {
  readonly #random: Random;
  readonly #rate: Rate;
  readonly #burstiness: number;

  constructor({ rate, burstiness, seed }: { rate: Rate; burstiness: number; seed: number }) {
    this.#random = new Random(seed, 'arrivals');
    this.#rate = rate;
    this.#burstiness = burstiness;
  }

  /** Seconds from one arrival to the next, `progress` (0 … 1) of the run being over. */
  gap(progress: number): number {
    const scale = 1 / (rateAt(this.#rate, progress) * this.#burstiness);
    return this.#random.gamma(this.#burstiness) * scale;
  }
}

export function rateAt({ law, from, to }: Rate, progress: number): number {
  const share = Math.min(1, Math.max(0, progress));
  return law === 'linear' ? from + (to - from) * share : from * (to / from) ** share;
}

/**
 * `linear:1..20`, `exponential:0.5..8`
 *
 * @throws bench.ramp
 */
export function parseRamp(text: string): Rate {
  const match = /^(linear|exponential):(\d*\.?\d+)\.\.(\d*\.?\d+)$/.exec(text);
  const [from, to] = [Number(match?.[2]), Number(match?.[3])];
  if (match === null || !(from > 0) || !(to > 0)) {
    throw new MoebiusError('bench.ramp', `"${text}" is no ramp of request rates`, {
      values: { ramp: text },
      hint: 'Write it as linear:1..20 or exponential:0.5..8, in requests per second.',
    });
  }
  return { law: match[1] === 'linear' ? 'linear' : 'exponential', from, to };
}
