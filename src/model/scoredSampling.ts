/**
 * Sampling where rows want more than a draw: logits that a policy adjusted first, the likeliest
 * tokens, probabilities of what was drawn under the model or under what it was drawn from.
 *
 *     logits ─ adjustLogits ─► adjusted ─ sampleTokens ─► ids
 *        └───── topTokens ─────────┴────► ln p, top tokens
 *
 * Masks change with every token, so these operations are not recorded; rows that want nothing of
 * this kind are drawn by the recorded pass (`decodePasses.ts`), as if none of it existed.
 */
import { assert, at } from '../base/assert.ts';
import { MoebiusError } from '../base/errors.ts';
import {
  type F32,
  type I32,
  type Kernels,
  MAX_TOP_TOKENS,
  type SamplingRule,
} from '../kernels/kernels.ts';
import type { Arena } from '../tensor/arena.ts';
import { numColumns, numRows } from '../tensor/tensor.ts';
import { allocateSampled, checkRules, readSampled, type SampledRows } from './sampler.ts';

/** What is done to one row's logits; the shape of `LogitAdjustment` in `program/instruction.ts`. */
export interface RowAdjustment {
  /** Bit v mod 32 of word ⌊v / 32⌋ is set where token v may come; null: all may. */
  readonly allowed: Uint32Array | null;
  readonly ids: readonly number[];
  readonly factors: readonly number[];
  readonly addends: readonly number[];
}

/** What one row wants beyond a draw. */
export interface RowWish {
  readonly adjustment: RowAdjustment | null;
  /** The likeliest tokens to report, at most `MAX_TOP_TOKENS`. */
  readonly numTop: number;
  /** `sampler`: after adjustments and temperature (greedy rows: temperature 1). */
  readonly probabilitiesOf: 'model' | 'sampler';
}

export interface TopRow {
  readonly ids: readonly number[];
  /** Falling; tokens that cannot come are left out. */
  readonly logProbabilities: readonly number[];
}

export interface ScoredRows extends SampledRows {
  /** null where none were wished for. */
  readonly top: readonly (TopRow | null)[];
}

export interface ScoredArgs {
  readonly logits: F32;
  readonly rules: readonly SamplingRule[];
  readonly positions: readonly number[];
  readonly wishes: readonly RowWish[];
}

interface Memory {
  readonly kernels: Kernels;
  readonly arena: Arena;
}

/**
 * @throws sampling.invalid, sampling.nonFinite, as `sampleRows`
 * @throws sampling.noToken when an adjustment leaves no token to draw
 */
export async function sampleScored(memory: Memory, args: ScoredArgs): Promise<ScoredRows> {
  const { logits, rules, positions, wishes } = args;
  const rows = numRows(logits);
  assert(rules.length === rows && wishes.length === rows, 'a rule and a wish for every row');
  checkRules(rules);
  const drawnFrom = adjusted(memory, args);
  const sampled = allocateSampled(memory.arena, rows);
  memory.kernels.sampleTokens({ ...sampled, logits_TV: drawnFrom, rules, positions });
  const drawn = await readSampled(memory.kernels, sampled, ({ row, logit }) => {
    const isEmptied = at(wishes, row).adjustment !== null && logit === Number.NEGATIVE_INFINITY;
    return isEmptied ? noToken({ row }) : null;
  });
  const logProbabilities = drawn.logProbabilities.slice();
  const top: (TopRow | null)[] = wishes.map(() => null);
  for (const basis of ['model', 'sampler'] as const) {
    const wanted = wishes.map((wish) => wish.probabilitiesOf === basis && isScored(wish));
    if (!wanted.includes(true)) continue;
    const temperatures = rules.map(({ temperature }) =>
      basis === 'model' || temperature === 0 ? 1 : temperature,
    );
    const scored = await likelihoods(memory, {
      logits: basis === 'model' ? logits : drawnFrom,
      ids: drawn.ids,
      temperatures,
      most: Math.max(...wishes.map(({ numTop }, row) => (at(wanted, row) ? numTop : 0))),
    });
    for (let row = 0; row < rows; row++) {
      if (!at(wanted, row)) continue;
      logProbabilities[row] = at(scored.logProbabilities, row);
      const { numTop } = at(wishes, row);
      if (numTop > 0) top[row] = topOf(scored, row, numTop);
    }
  }
  return { ids: drawn.ids, logProbabilities, top };
}

/** Whether `sampleTokens` alone does not say what the row wants to know. */
function isScored({ adjustment, numTop, probabilitiesOf }: RowWish): boolean {
  return adjustment !== null || numTop > 0 || probabilitiesOf === 'sampler';
}

/**
 * An adjustment by which some token can be drawn.
 *
 * @param context of the request, for the message
 * @throws sampling.adjustment, sampling.noToken
 */
export function checkWish(
  { adjustment, numTop }: RowWish,
  context: { readonly vocabSize: number; readonly sequenceId: number },
): void {
  const { vocabSize, sequenceId } = context;
  const isTop = Number.isInteger(numTop) && numTop >= 0 && numTop <= MAX_TOP_TOKENS;
  if (!isTop) {
    throw new MoebiusError('sampling.top', `${numTop} likeliest tokens cannot be reported`, {
      values: { numTop, sequenceId },
      hint: `Ask for a whole number from 0 to ${MAX_TOP_TOKENS}.`,
    });
  }
  if (adjustment === null) return;
  const { allowed, ids, factors, addends } = adjustment;
  assert(factors.length === ids.length && addends.length === ids.length, 'one of each per token');
  for (let n = 0; n < ids.length; n++) {
    const [id, factor, addend] = [at(ids, n), at(factors, n), at(addends, n)];
    const isKnown = Number.isInteger(id) && id >= 0 && id < vocabSize;
    const isSound = factor > 0 && factor < Infinity && addend < Infinity;
    if (isKnown && isSound) continue;
    throw new MoebiusError('sampling.adjustment', `the logit of token ${id} cannot be changed`, {
      values: { id, factor, addend, vocabSize, sequenceId },
      hint: `Take ids below ${vocabSize}, factors above 0 and finite addends.`,
    });
  }
  if (allowed === null) return;
  const words = Math.ceil(vocabSize / 32);
  assert(allowed.length === words, `a mask of ${allowed.length} words, not ${words}`);
  for (let w = 0; w < words; w++) {
    const bitsLeft = vocabSize - 32 * w;
    const real = bitsLeft >= 32 ? -1 : 2 ** bitsLeft - 1;
    if ((at(allowed, w) & real) !== 0) return;
  }
  throw noToken({ sequenceId });
}

function noToken(values: Readonly<Record<string, number>>): MoebiusError {
  return new MoebiusError('sampling.noToken', 'no token may come next', {
    values,
    hint: 'Loosen the grammar or the biases: together they forbid every token.',
  });
}

/** The logits that tokens are drawn from; the model's own where no row changes any. */
function adjusted({ kernels, arena }: Memory, { logits, wishes }: ScoredArgs): F32 {
  if (wishes.every(({ adjustment }) => adjustment === null)) return logits;
  const [rows, vocabulary] = [numRows(logits), numColumns(logits)];
  const width = Math.ceil(vocabulary / 32);
  const words = new Int32Array(rows * width).fill(-1);
  const offsets = [0];
  const ids: number[] = [];
  const factors: number[] = [];
  const addends: number[] = [];
  let isMasked = false;
  for (let row = 0; row < rows; row++) {
    const { adjustment } = at(wishes, row);
    if (adjustment !== null) {
      ids.push(...adjustment.ids);
      factors.push(...adjustment.factors);
      addends.push(...adjustment.addends);
      if (adjustment.allowed !== null) {
        words.set(adjustment.allowed, row * width);
        isMasked = true;
      }
    }
    offsets.push(ids.length);
  }
  const floats = (values: readonly number[]): F32 => {
    const tensor = arena.allocate('f32', [values.length]);
    kernels.write(tensor, Float32Array.from(values));
    return tensor;
  };
  const out_TV = arena.allocate('f32', [rows, vocabulary]);
  const ids_N = arena.allocate('i32', [ids.length]);
  kernels.write(ids_N, Int32Array.from(ids));
  const changes = { ids_N, factors_N: floats(factors), addends_N: floats(addends), offsets };
  let allowed_TW: I32 | undefined;
  if (isMasked) {
    allowed_TW = arena.allocate('i32', [rows, width]);
    kernels.write(allowed_TW, words);
  }
  kernels.adjustLogits({ out_TV, logits_TV: logits, allowed_TW, ...changes });
  return out_TV;
}

interface Likelihoods {
  readonly most: number;
  readonly ids: Int32Array;
  readonly topLogProbabilities: Float32Array;
  readonly logProbabilities: Float32Array;
}

async function likelihoods(
  { kernels, arena }: Memory,
  args: { logits: F32; ids: Int32Array; temperatures: readonly number[]; most: number },
): Promise<Likelihoods> {
  const { logits, ids, temperatures } = args;
  const rows = ids.length;
  const most = Math.min(args.most, numColumns(logits));
  const chosen_T = arena.allocate('i32', [rows]);
  kernels.write(chosen_T, ids);
  const ids_TN = arena.allocate('i32', [rows, most]);
  const logProbabilities_TN = arena.allocate('f32', [rows, most]);
  const chosenLogProbabilities_T = arena.allocate('f32', [rows]);
  kernels.topTokens({
    ids_TN,
    logProbabilities_TN,
    chosenLogProbabilities_T,
    chosen_T,
    logits_TV: logits,
    temperatures,
  });
  return {
    most,
    ids: await kernels.read(ids_TN),
    topLogProbabilities: await kernels.read(logProbabilities_TN),
    logProbabilities: await kernels.read(chosenLogProbabilities_T),
  };
}

function topOf(
  { most, ids, topLogProbabilities }: Likelihoods,
  row: number,
  numTop: number,
): TopRow {
  const first = row * most;
  let count = 0;
  while (count < Math.min(numTop, most) && at(topLogProbabilities, first + count) > -Infinity) {
    count++;
  }
  return {
    ids: [...ids.subarray(first, first + count)],
    logProbabilities: [...topLogProbabilities.subarray(first, first + count)],
  };
}
