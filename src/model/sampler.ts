/**
 * Sampling at the model's end: rules are checked where they come in, tokens are drawn by the
 * kernels' `sampleTokens`, and only ids and log probabilities reach the host.
 */
import { assert, at } from '../base/assert.ts';
import { MoebiusError } from '../base/errors.ts';
import type { F32, I32, Kernels, SamplingRule } from '../kernels/kernels.ts';
import { isSamplingRule } from '../kernels/shapeRules.ts';
import type { Arena } from '../tensor/arena.ts';
import { numRows } from '../tensor/tensor.ts';

/** @throws sampling.invalid when tokens cannot be drawn by this rule */
export function checkSampling(rule: SamplingRule): void {
  if (isSamplingRule(rule)) return;
  throw new MoebiusError('sampling.invalid', 'tokens cannot be drawn by this rule', {
    values: { ...rule },
    hint: 'Keep temperature ≥ 0, topK a whole number ≥ 0, topP in (0, 1] and minP in [0, 1].',
  });
}

/**
 * One token per row of logits `[rows, vocabulary]`.
 *
 * @param positions of the tokens that are drawn
 * @returns ids, and natural logarithms of their probabilities under the model itself
 * @throws sampling.invalid
 * @throws sampling.nonFinite when the model gave no usable logits
 */
export async function sampleRows(
  { kernels, arena }: { readonly kernels: Kernels; readonly arena: Arena },
  args: {
    readonly logits: F32;
    readonly rules: readonly SamplingRule[];
    readonly positions: readonly number[];
  },
): Promise<SampledRows> {
  const { logits, rules, positions } = args;
  assert(rules.length === numRows(logits), 'a rule for every row');
  checkRules(rules);
  const sampled = allocateSampled(arena, rules.length);
  kernels.sampleTokens({ ...sampled, logits_TV: logits, rules, positions });
  return readSampled(kernels, sampled);
}

export interface SampledRows {
  readonly ids: Int32Array;
  readonly logProbabilities: Float32Array;
}

/** Outputs of `sampleTokens`. */
export interface SampledTensors {
  readonly ids_T: I32;
  readonly logProbabilities_T: F32;
}

export function allocateSampled(arena: Arena, numRows: number): SampledTensors {
  return {
    ids_T: arena.allocate('i32', [numRows]),
    logProbabilities_T: arena.allocate('f32', [numRows]),
  };
}

/** @throws sampling.invalid */
export function checkRules(rules: readonly SamplingRule[]): void {
  for (let row = 0; row < rules.length; row++) {
    // Rows of one sequence share its rule.
    if (row === 0 || rules[row] !== rules[row - 1]) checkSampling(at(rules, row));
  }
}

/** Why a row is unusable, where something else than the model is to blame; else null. */
export type Blame = (unusable: { row: number; logit: number }) => Error | null;

/** @throws sampling.nonFinite when the model gave no usable logits, or what `blame` says */
export async function readSampled(
  kernels: Kernels,
  { ids_T, logProbabilities_T }: SampledTensors,
  blame?: Blame,
): Promise<SampledRows> {
  const ids = await kernels.read(ids_T);
  const logProbabilities = await kernels.read(logProbabilities_T);
  return finite({ ids, logProbabilities }, blame);
}

/** @throws sampling.nonFinite, or what `blame` says */
export function finite(rows: SampledRows, blame?: Blame): SampledRows {
  const { ids, logProbabilities } = rows;
  for (let row = 0; row < ids.length; row++) {
    const id = at(ids, row);
    if (id >= 0) continue;
    const logit = at(logProbabilities, row);
    throw blame?.({ row, logit }) ?? nonFinite(-1 - id, logit);
  }
  return rows;
}

function nonFinite(id: number, logit: number): MoebiusError {
  return new MoebiusError('sampling.nonFinite', `the logit of token ${id} is ${logit}`, {
    values: { id, logit: String(logit) },
    hint: 'Check the weights for NaN: this model cannot continue the text.',
  });
}
