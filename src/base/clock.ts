/** Time is passed in. Real clocks live in `runtime` and `cli`; simulated ones in `simulator`. */
export interface Clock {
  /** Seconds since an origin that is fixed for this clock; never goes back. */
  now(): number;
}

/** A clock that moves only when told to: for tests, replays and simulations. */
export class ManualClock implements Clock {
  #seconds = 0;

  now(): number {
    return this.#seconds;
  }

  advance(seconds: number): void {
    this.#seconds += seconds;
  }
}
