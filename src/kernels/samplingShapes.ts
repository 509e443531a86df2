/** What the operations around a draw demand of their arguments (`shapes.ts` has the others). */
import { assert } from '../base/assert.ts';
import { isContiguous, numColumns, numElements, numRows } from '../tensor/tensor.ts';
import { MAX_TOP_TOKENS, type OperationArgs } from './kernels.ts';
import { isSameView, needApart, needSameShape, needSequences, needShape } from './shapeRules.ts';

/** Tokens that a word of a mask speaks of. */
const WORD = 32;

export function needAdjustLogits(args: OperationArgs<'adjustLogits'>): void {
  const { out_TV, logits_TV, allowed_TW, ids_N, factors_N, addends_N, offsets } = args;
  const [rows, vocabulary] = [numRows(logits_TV), numColumns(logits_TV)];
  needSameShape('adjustLogits', { out_TV, logits_TV });
  needShape('adjustLogits: ids', ids_N, [numElements(ids_N.shape)]);
  needSameShape('adjustLogits', { ids_N, factors_N });
  needSameShape('adjustLogits', { ids_N, addends_N });
  for (const list of [ids_N, factors_N, addends_N]) {
    assert(isContiguous(list), 'adjustLogits: a list of changes with gaps');
  }
  needSequences('adjustLogits', offsets, numElements(ids_N.shape));
  assert(offsets.length === rows + 1, `adjustLogits: ${offsets.length} offsets for ${rows} rows`);
  if (allowed_TW) {
    needShape('adjustLogits: mask', allowed_TW, [rows, Math.ceil(vocabulary / WORD)]);
  }
  const inputs = { ids_N, factors_N, addends_N, ...(allowed_TW ? { allowed_TW } : {}) };
  needApart(
    'adjustLogits',
    { out_TV },
    isSameView(out_TV, logits_TV) ? inputs : { ...inputs, logits_TV },
  );
}

export function needTopTokens(args: OperationArgs<'topTokens'>): void {
  const { ids_TN, logProbabilities_TN, chosenLogProbabilities_T, chosen_T, logits_TV } = args;
  const [rows, vocabulary] = [numRows(logits_TV), numColumns(logits_TV)];
  const count = numColumns(ids_TN);
  assert(vocabulary > 0, 'topTokens: an empty vocabulary');
  const fits = count <= Math.min(MAX_TOP_TOKENS, vocabulary);
  assert(fits, fits ? '' : `topTokens: ${count} of ${vocabulary}, at most ${MAX_TOP_TOKENS}`);
  needShape('topTokens: ids', ids_TN, [rows, count]);
  needShape('topTokens: logProbabilities', logProbabilities_TN, [rows, count]);
  needShape('topTokens: chosen', chosen_T, [rows]);
  needShape('topTokens: chosenLogProbabilities', chosenLogProbabilities_T, [rows]);
  const { temperatures } = args;
  assert(temperatures.length === rows, `topTokens: ${temperatures.length} temperatures`);
  const isSound = temperatures.every((each) => each > 0 && Number.isFinite(each));
  assert(isSound, isSound ? '' : `topTokens: temperatures [${temperatures}]`);
  const outputs = { ids_TN, logProbabilities_TN, chosenLogProbabilities_T };
  needApart('topTokens', outputs, { chosen_T, logits_TV });
  needApart('topTokens', { ids_TN }, { logProbabilities_TN, chosenLogProbabilities_T });
  needApart('topTokens', { logProbabilities_TN }, { chosenLogProbabilities_T });
}
