/**
 * The smallest real tokenizer: the special tokens and the 256 bytes, nothing merged. One id per
 * byte makes it the natural choice for tests, and for models too small for a vocabulary.
 */
import { loadTokenizer, type Tokenizer } from './byteLevelBpe.ts';
import { DEFAULT_SPECIAL_TOKENS } from './specialTokens.ts';
import { saveTokenizerJson } from './tokenizerFile.ts';

/** Ids 0 … are the special tokens, the 256 bytes follow. */
export function byteTokenizer(
  specialTokens: readonly string[] = DEFAULT_SPECIAL_TOKENS,
): Tokenizer {
  return loadTokenizer(saveTokenizerJson({ specialTokens, merges: [] }));
}
