/**
 * Chance is passed in, seeded, and its whole state fits in four integers, so that a resumed run
 * continues bit for bit.
 *
 * The generator is xoshiro128** (Blackman and Vigna, 2018), seeded through splitmix32 so that
 * near-by seeds give unrelated streams. Floats take 24 bits, hence are exact in float32 too.
 */
import { assert } from './assert.ts';

export type RandomState = readonly [number, number, number, number];

export class Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /** `stream` names an independent sequence of the same seed ("init", "shuffle", …). */
  constructor(seed: number, stream = '') {
    let mixed = (seed ^ Math.imul(Math.floor(seed / 2 ** 32), 0x9e3779b1)) >>> 0;
    for (let i = 0; i < stream.length; i++) {
      mixed = Math.imul(mixed ^ stream.charCodeAt(i), 0x01000193) >>> 0;
    }
    const next = (): number => {
      mixed = (mixed + 0x9e3779b9) >>> 0;
      let z = mixed;
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
      return (z ^ (z >>> 16)) >>> 0;
    };
    this.#a = next();
    this.#b = next();
    this.#c = next();
    this.#d = next() | 1;
  }

  static restore(state: RandomState): Random {
    const random = new Random(0);
    [random.#a, random.#b, random.#c, random.#d] = state;
    return random;
  }

  get state(): RandomState {
    return [this.#a >>> 0, this.#b >>> 0, this.#c >>> 0, this.#d >>> 0];
  }

  /** Uniform over 0 … 2³² − 1. */
  uint32(): number {
    const product = Math.imul(this.#b, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  /** Uniform in [0, 1). */
  uniform(): number {
    return (this.uint32() >>> 8) / 0x1000000;
  }

  /** Uniform integer in [0, bound), without modulo bias. */
  integer(bound: number): number {
    assert(Number.isInteger(bound) && bound > 0 && bound <= 2 ** 32, `an integer below ${bound}`);
    const limit = 0x100000000 - (0x100000000 % bound);
    let value = this.uint32();
    while (value >= limit) value = this.uint32();
    return value % bound;
  }

  /**
   * Standard normal (Box and Muller; the second value is dropped so that the state stays small).
   */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log((this.uint32() + 1) / 0x100000000));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /**
   * Gamma with this shape and scale 1: mean and variance are `shape`, and shape 1 is exponential
   * (Marsaglia and Tsang 2000; below 1 from the shape above it, by a power of a uniform number).
   */
  gamma(shape: number): number {
    assert(shape > 0 && Number.isFinite(shape), `a positive shape, not ${shape}`);
    if (shape < 1) {
      const power = (this.uint32() + 1) / 0x100000000;
      return this.gamma(shape + 1) * power ** (1 / shape);
    }
    const d = shape - 1 / 3;
    const c = 1 / Math.sqrt(9 * d);
    for (;;) {
      const x = this.normal();
      const v = (1 + c * x) ** 3;
      if (v <= 0) continue;
      const uniform = (this.uint32() + 1) / 0x100000000;
      if (Math.log(uniform) < x * x * 0.5 + d * (1 - v + Math.log(v))) return d * v;
    }
  }

  /** Fisher and Yates, in place. */
  shuffle<T extends { length: number; [index: number]: unknown }>(values: T): T {
    for (let i = values.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const kept = values[i];
      values[i] = values[j];
      values[j] = kept;
    }
    return values;
  }
}

/**
 * One uniform number in [0, 1) for a (seed, index) pair, with no state between calls. Sampling the
 * token at a position uses it, so that the outcome does not depend on how many tokens a step ran.
 */
export function uniformAt(seed: number, index: number): number {
  let z = (Math.imul(seed >>> 0, 0x9e3779b1) ^ Math.imul((index + 1) >>> 0, 0x85ebca77)) >>> 0;
  z = Math.imul(z ^ (z >>> 15), 0x2c1b3c6d);
  z = Math.imul(z ^ (z >>> 12), 0x297a2d39);
  z = Math.imul(z ^ (z >>> 15), 0x85ebca6b);
  return ((z ^ (z >>> 16)) >>> 8) / 0x1000000;
}
