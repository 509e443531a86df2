/**
 * Sampling at the model's end: rules are checked where they come in, tokens are drawn by the
 * kernels' `sampleTokens`, and only ids and log probabilities reach the host.
 */
import { assert, at } from '../base/assert.ts';
import { MoebiusError } from '../base/errors.ts';
import type { F32, Kernels, SamplingRule } from '../kernels/kernels.ts';
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
): Promise<{ readonly ids: Int32Array; readonly logProbabilities: Float32Array }> {
  const { logits, rules, positions } = args;
  assert(rules.length === numRows(logits), 'a rule for every row');
  for (let row = 0; row < rules.length; row++) {
    // Rows of one sequence share its rule.
    if (row === 0 || rules[row] !== rules[row - 1]) checkSampling(at(rules, row));
  }
  const ids_T = arena.allocate('i32', [rules.length]);
  const logProbabilities_T = arena.allocate('f32', [rules.length]);
  kernels.sampleTokens({ ids_T, logProbabilities_T, logits_TV: logits, rules, positions });
  const ids = await kernels.read(ids_T);
  const logProbabilities = await kernels.read(logProbabilities_T);
  for (let row = 0; row < ids.length; row++) {
    const id = at(ids, row);
    if (id < 0) throw nonFinite(-1 - id, at(logProbabilities, row));
  }
  return { ids, logProbabilities };
}

function nonFinite(id: number, logit: number): MoebiusError {
  return new MoebiusError('sampling.nonFinite', `the logit of token ${id} is ${logit}`, {
    values: { id, logit: String(logit) },
    hint: 'Check the weights for NaN: this model cannot continue the text.',
  });
}
