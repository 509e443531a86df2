/**
 * A rate of so much a minute, as a bucket that fills evenly and holds one minute's worth.
 *
 * What is taken may be more than there is: the bucket then owes, and is empty for longer. So a
 * request's output is paid for when it is known, and no reservation has to be guessed.
 */
import type { Clock } from '../base/clock.ts';

export class TokenBucket {
  readonly #perMinute: number;
  readonly #clock: Clock;
  #balance: number;
  #at: number;

  constructor({ perMinute, clock }: { readonly perMinute: number; readonly clock: Clock }) {
    this.#perMinute = perMinute;
    this.#clock = clock;
    this.#balance = perMinute;
    this.#at = clock.now();
  }

  /** Seconds until it holds at least `amount`, or is full where it never holds so much. */
  secondsUntil(amount: number): number {
    this.#refill();
    const missing = Math.min(amount, this.#perMinute) - this.#balance;
    return missing <= 0 ? 0 : (missing * 60) / this.#perMinute;
  }

  take(amount: number): void {
    this.#refill();
    this.#balance -= amount;
  }

  #refill(): void {
    const now = this.#clock.now();
    const gained = ((now - this.#at) * this.#perMinute) / 60;
    this.#balance = Math.min(this.#perMinute, this.#balance + gained);
    this.#at = now;
  }
}
