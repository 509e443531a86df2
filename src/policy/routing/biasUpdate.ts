/**
 * Auxiliary-loss-free load balancing (DeepSeek-V3 report, 2.1.2): after each step a router's bias
 * moves by a fixed speed, down for experts above the mean load and up for those below it. The bias
 * steers selection only, so no gradient fights the language-model loss.
 *
 * Loads are (token, expert) choices over the *whole* batch of the step: all micro-batches, all
 * ranks.
 */
import { assert, at } from '../../base/assert.ts';

/**
 * bias + speed · sign(mean − load), elementwise; sign(0) = 0. Megatron's form: deltas are not
 * centred, so the biases may drift together, which changes no choice.
 */
export function biasUpdate(
  bias: ArrayLike<number>,
  loads: ArrayLike<number>,
  speed: number,
): Float32Array {
  assert(bias.length === loads.length, `${bias.length} biases, ${loads.length} loads`);
  const mean = meanLoad(loads);
  return Float32Array.from(loads, (load, expert) => {
    return at(bias, expert) + speed * Math.sign(mean - load);
  });
}

/** MaxVio = max load / mean load − 1: 0 is perfect balance. 0 where nothing was routed. */
export function maxViolation(loads: ArrayLike<number>): number {
  const mean = meanLoad(loads);
  if (mean === 0) return 0;
  let largest = 0;
  for (let i = 0; i < loads.length; i++) largest = Math.max(largest, at(loads, i));
  return largest / mean - 1;
}

/** Experts that no token chose. */
export function numDeadExperts(loads: ArrayLike<number>): number {
  let dead = 0;
  for (let i = 0; i < loads.length; i++) if (at(loads, i) === 0) dead++;
  return dead;
}

/** Load over mean load, per expert: 1 is fair, 0 is dead. */
export function utilisation(loads: ArrayLike<number>): Float64Array {
  const mean = meanLoad(loads);
  return Float64Array.from(loads, (load) => (mean === 0 ? 0 : load / mean));
}

function meanLoad(loads: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < loads.length; i++) sum += at(loads, i);
  return loads.length === 0 ? 0 : sum / loads.length;
}
