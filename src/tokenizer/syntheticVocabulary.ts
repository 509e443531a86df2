/**
 * A vocabulary of made-up tokens, of any size: for models of made-up weights, whose server must
 * read and write text all the same. Every token is a text of its own, none is half a character.
 *
 *     special tokens, 256 bytes, pairs of 64 characters, such pairs and one character more
 */
import { MoebiusError } from '../base/errors.ts';
import { DEFAULT_SPECIAL_TOKENS } from './specialTokens.ts';
import type { BpeVocabulary } from './tokenizerFile.ts';

const CHARACTERS = ' etaoinshrdlucmfwypvbgkjqxzETAOINSHRDLUCMFWYPVBGKJQXZ0123456789.';

/** The fewest tokens there can be: the control tokens and all bytes. */
export const LEAST_VOCABULARY: number = DEFAULT_SPECIAL_TOKENS.length + 256;

/** @throws tokenizer.vocabSize when there are too few ids, or more than texts of three */
export function syntheticVocabulary(vocabSize: number): BpeVocabulary {
  const letters = new TextEncoder().encode(CHARACTERS);
  const most = LEAST_VOCABULARY + letters.length ** 2 + letters.length ** 3;
  if (vocabSize < LEAST_VOCABULARY || vocabSize > most) {
    throw new MoebiusError('tokenizer.vocabSize', `no vocabulary of ${vocabSize} is made up`, {
      values: { vocabSize, least: LEAST_VOCABULARY, most },
      hint: `Take a size from ${LEAST_VOCABULARY} to ${most}.`,
    });
  }
  const merges: [Uint8Array, Uint8Array][] = [];
  const pairs: Uint8Array[] = [];
  for (const a of letters) for (const b of letters) pairs.push(Uint8Array.of(a, b));
  const wanted = vocabSize - LEAST_VOCABULARY;
  for (const pair of pairs) merges.push([pair.subarray(0, 1), pair.subarray(1)]);
  for (const pair of pairs) {
    if (merges.length >= wanted) break;
    for (const letter of letters) merges.push([pair, Uint8Array.of(letter)]);
  }
  return { specialTokens: DEFAULT_SPECIAL_TOKENS, merges: merges.slice(0, wanted) };
}
