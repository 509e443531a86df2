/**
 * Drawing the next token from its logits.
 *
 * Temperature, then top-k, top-p on what is left, and min-p relative to the most likely token. The
 * draw is a race: token i finishes at −ln(1 − u_i) / w_i, the earliest wins, which happens with
 * probability w_i / Σ w. The uniforms u_i depend on the seed, the position and the token alone. So
 * a token does not depend on how many positions a step ran, speculation changes no output; and a
 * draft drawn by the same rule from a similar distribution meets the same u_i and mostly the same
 * winner (agreement at least (1 − d) / (1 + d) at total variation d).
 */
import { at } from '../../base/assert.ts';
import { uniformAt } from '../../base/random.ts';
import type { DType, HostArrays } from '../../tensor/dtype.ts';
import { hostArray, numColumns, numRows, type Tensor } from '../../tensor/tensor.ts';
import type { SamplingRule } from '../kernels.ts';
import type { Operations } from '../shapes.ts';

export const sampling: Pick<Operations, 'sampleTokens' | 'adjustLogits' | 'topTokens'> = {
  sampleTokens: ({ ids_T, logProbabilities_T, logits_TV, rules, positions }) => {
    const [ids, logProbabilities] = [hostArray(ids_T), hostArray(logProbabilities_T)];
    const logits = hostArray(logits_TV);
    const width = numColumns(logits_TV);
    for (let t = 0; t < ids.length; t++) {
      const from = t * logits_TV.rowStride;
      const row = logits.subarray(from, from + width);
      const id = sampleToken(row, at(rules, t), at(positions, t));
      ids[t] = id;
      logProbabilities[t] = id < 0 ? at(row, -1 - id) : logProbability(row, id);
    }
  },
  adjustLogits: ({ out_TV, logits_TV, allowed_TW, ids_N, factors_N, addends_N, offsets }) => {
    const ids = hostArray(ids_N);
    for (let t = 0; t < numRows(logits_TV); t++) {
      const [out, logits] = [rowOf(out_TV, t), rowOf(logits_TV, t)];
      const words = allowed_TW && rowOf(allowed_TW, t);
      for (let v = 0; v < out.length; v++) {
        const mayCome = words === undefined || (at(words, v >>> 5) >>> (v & 31)) % 2 === 1;
        out[v] = mayCome ? at(logits, v) : Number.NEGATIVE_INFINITY;
      }
      for (let n = at(offsets, t); n < at(offsets, t + 1); n++) {
        const z = at(out, at(ids, n));
        const factor = at(hostArray(factors_N), n);
        out[at(ids, n)] = (z > 0 ? z / factor : z * factor) + at(hostArray(addends_N), n);
      }
    }
  },
  topTokens: (args) => {
    const { ids_TN, logProbabilities_TN, chosenLogProbabilities_T, chosen_T, logits_TV } = args;
    for (let t = 0; t < numRows(logits_TV); t++) {
      const logits = rowOf(logits_TV, t);
      const temperature = at(args.temperatures, t);
      const order = Uint32Array.from(logits.keys()).sort(
        (a, b) => at(logits, b) - at(logits, a) || a - b,
      );
      const scaled = Float64Array.from(
        logits,
        (logit) => (logit - at(logits, at(order, 0))) / temperature,
      );
      const log = Math.log(scaled.reduce((sum, below) => sum + Math.exp(below), 0));
      const [ids, logProbabilities] = [rowOf(ids_TN, t), rowOf(logProbabilities_TN, t)];
      for (let n = 0; n < ids.length; n++) {
        ids[n] = at(order, n);
        logProbabilities[n] = at(scaled, at(order, n)) - log;
      }
      hostArray(chosenLogProbabilities_T)[t] = at(scaled, at(hostArray(chosen_T), t)) - log;
    }
  },
};

function rowOf<D extends DType>(tensor: Tensor<D>, row: number): HostArrays[D] {
  const from = row * tensor.rowStride;
  return hostArray(tensor).subarray(from, from + numColumns(tensor)) as HostArrays[D];
}

/**
 * @param position of the token that is drawn
 * @returns a token, or −1 − id as `greedyToken` does
 */
export function sampleToken(logits: Float32Array, rule: SamplingRule, position: number): number {
  const best = greedyToken(logits);
  if (rule.temperature === 0 || best < 0) return best;
  const weights = new Float64Array(logits.length);
  const largest = at(logits, best);
  for (let id = 0; id < weights.length; id++) {
    weights[id] = Math.exp((at(logits, id) - largest) / rule.temperature);
  }
  cut(weights, logits, rule);
  return raceWinner(weights, seedAt(rule.seed, position));
}

/**
 * The token of the largest logit; ties go to the lower id. Where the model gave no usable logits,
 * −1 − id of the first NaN, else of the largest, which is infinite.
 */
export function greedyToken(logits: Float32Array): number {
  let best = 0;
  for (let id = 0; id < logits.length; id++) {
    const logit = at(logits, id);
    if (Number.isNaN(logit)) return -1 - id;
    if (logit > at(logits, best)) best = id;
  }
  return Number.isFinite(at(logits, best)) ? best : -1 - best;
}

/** Natural logarithm of a token's probability under the model itself. */
export function logProbability(logits: Float32Array, id: number): number {
  const largest = at(logits, greedyToken(logits));
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(at(logits, i) - largest);
  return at(logits, id) - largest - Math.log(sum);
}

/**
 * Zeroes what the rule cuts. Tokens are ordered by their logits and not their weights, which a high
 * temperature rounds to ties; the most likely one weighs 1.
 */
function cut(weights: Float64Array, logits: Float32Array, rule: SamplingRule): void {
  const { topK, topP, minP } = rule;
  if (topK > 0 || topP < 1) {
    const order = Uint32Array.from(weights.keys()).sort(
      (a, b) => at(logits, b) - at(logits, a) || a - b,
    );
    let kept = topK > 0 ? Math.min(topK, order.length) : order.length;
    if (topP < 1) {
      let total = 0;
      for (let i = 0; i < kept; i++) total += at(weights, at(order, i));
      let mass = 0;
      let enough = 0;
      while (enough < kept && mass < topP * total) mass += at(weights, at(order, enough++));
      kept = enough;
    }
    for (let i = kept; i < order.length; i++) weights[at(order, i)] = 0;
  }
  for (let id = 0; id < weights.length; id++) if (at(weights, id) < minP) weights[id] = 0;
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
