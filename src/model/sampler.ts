/**
 * Drawing the next token from its logits.
 *
 * Temperature, then top-k, top-p on what is left, and min-p relative to the most likely token. The
 * draw is a race: token i finishes at −ln(u_i) / w_i, the earliest wins, which happens with
 * probability w_i / Σ w. The uniforms u_i depend on the seed, the position and the token alone. So
 * a token does not depend on how many positions a step ran, speculation changes no output; and a
 * draft drawn by the same rule from a similar distribution meets the same u_i and mostly the same
 * winner (agreement at least (1 − d) / (1 + d) at total variation d).
 */
import { at } from '../base/assert.ts';
import { MoebiusError } from '../base/errors.ts';
import { uniformAt } from '../base/random.ts';

/** The shape of `Sampling` in `program/instruction.ts`. */
export interface SamplingRule {
  /** 0 is greedy; ties go to the lower id. */
  readonly temperature: number;
  /** 0 keeps all. */
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly seed: number;
}

/**
 * @param position of the token that is drawn
 * @throws sampling.invalid when the rule is outside its range
 * @throws sampling.nonFinite when the model gave no usable logits
 */
export function sampleToken(logits: Float32Array, rule: SamplingRule, position: number): number {
  checkRule(rule);
  const best = greedyToken(logits);
  if (rule.temperature === 0) return best;
  const weights = new Float64Array(logits.length);
  const largest = at(logits, best);
  for (let id = 0; id < weights.length; id++) {
    weights[id] = Math.exp((at(logits, id) - largest) / rule.temperature);
  }
  const { topK, topP, minP } = rule;
  if (topK > 0 && topK < weights.length) keepLargest(weights, (kept) => kept >= topK);
  if (topP < 1) {
    const enough = topP * weights.reduce((sum, weight) => sum + weight, 0);
    keepLargest(weights, (_, mass) => mass >= enough);
  }
  // The most likely token weighs 1.
  if (minP > 0) {
    for (let id = 0; id < weights.length; id++) if (at(weights, id) < minP) weights[id] = 0;
  }
  return raceWinner(weights, seedAt(rule.seed, position));
}

/** The token of the largest logit; ties go to the lower id. */
export function greedyToken(logits: Float32Array): number {
  let best = 0;
  for (let id = 0; id < logits.length; id++) {
    const logit = at(logits, id);
    if (Number.isNaN(logit)) throw nonFinite(id, logit);
    if (logit > at(logits, best)) best = id;
  }
  const largest = logits[best] ?? Number.NaN;
  if (!Number.isFinite(largest)) throw nonFinite(best, largest);
  return best;
}

/** Natural logarithm of a token's probability under the model itself. */
export function logProbability(logits: Float32Array, id: number): number {
  const largest = at(logits, greedyToken(logits));
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(at(logits, i) - largest);
  return at(logits, id) - largest - Math.log(sum);
}

/**
 * Zeroes all but the largest weights, as many as it takes; ties go to the lower id.
 *
 * Only those above a cutoff are sorted, lowered until they suffice: of a large vocabulary a text
 * leaves few tokens likely.
 */
function keepLargest(
  weights: Float64Array,
  isEnough: (kept: number, mass: number) => boolean,
): void {
  let cutoff = 1;
  let [kept, mass] = [0, 0];
  while (cutoff > 0 && !isEnough(kept, mass)) {
    // 2⁻⁴, 2⁻¹², 2⁻²⁸ … and after nine rounds 0, which keeps all.
    cutoff *= cutoff / 16;
    [kept, mass] = [0, 0];
    for (const weight of weights) {
      if (weight < cutoff) continue;
      kept++;
      mass += weight;
    }
  }
  const sorted = weights.filter((weight) => weight >= cutoff).sort();
  [kept, mass] = [0, 0];
  for (let i = sorted.length - 1; i >= 0 && !isEnough(kept, mass); i--) {
    kept++;
    mass += at(sorted, i);
  }
  const smallest = at(sorted, sorted.length - kept);
  let ties = kept;
  for (const weight of sorted) if (weight > smallest) ties--;
  for (let id = 0; id < weights.length; id++) {
    const weight = at(weights, id);
    if (weight > smallest) continue;
    if (weight === smallest && ties > 0) ties--;
    else weights[id] = 0;
  }
}

/** Uniforms below this take a second draw for 24 more bits: small ones decide for rare tokens. */
const FINE = 2 ** -10;

function raceWinner(weights: Float64Array, seed: number): number {
  let winner = -1;
  let earliest = Number.POSITIVE_INFINITY;
  for (let id = 0; id < weights.length; id++) {
    const weight = at(weights, id);
    if (weight === 0) continue;
    let u = uniformAt(seed, 2 * id);
    // −ln(1 − u) ≥ u: most tokens are out of the race without a logarithm.
    if (u >= earliest * weight) continue;
    if (u < FINE) u += (uniformAt(seed, 2 * id + 1) + 2 ** -25) * 2 ** -24;
    const time = -Math.log1p(-u) / weight;
    if (time < earliest) {
      earliest = time;
      winner = id;
    }
  }
  return winner;
}

/** 32 bits that name one position of one seed. */
function seedAt(seed: number, position: number): number {
  const high = Math.floor(uniformAt(seed, 2 * position) * 2 ** 24);
  const low = Math.floor(uniformAt(seed, 2 * position + 1) * 2 ** 24);
  return ((high << 8) ^ low) >>> 0;
}

function checkRule(rule: SamplingRule): void {
  const { temperature, topK, topP, minP } = rule;
  const isSound =
    Number.isFinite(temperature) &&
    temperature >= 0 &&
    Number.isInteger(topK) &&
    topK >= 0 &&
    topP > 0 &&
    topP <= 1 &&
    minP >= 0 &&
    minP <= 1;
  if (isSound) return;
  throw new MoebiusError('sampling.invalid', 'tokens cannot be drawn by this rule', {
    values: { ...rule },
    hint: 'Keep temperature ≥ 0, topK a whole number ≥ 0, topP in (0, 1] and minP in [0, 1].',
  });
}

function nonFinite(id: number, logit: number): MoebiusError {
  return new MoebiusError('sampling.nonFinite', `the logit of token ${id} is ${logit}`, {
    values: { id, logit: String(logit) },
    hint: 'Check the weights for NaN: this model cannot continue the text.',
  });
}
