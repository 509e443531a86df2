/**
 * A real tokenizer of any size for weights that are made up: special tokens, the bytes, then `aa`,
 * `ab` … `aaa`, `aab` …, each one merged of the one before its last letter. Whatever such a model
 * says is text, so that serving it costs what serving costs.
 */
import { assert } from '../base/assert.ts';
import { loadTokenizer, type Tokenizer } from './byteLevelBpe.ts';
import { DEFAULT_SPECIAL_TOKENS } from './specialTokens.ts';
import { saveTokenizerJson } from './tokenizerFile.ts';

const LETTERS: readonly string[] = [...'abcdefghijklmnopqrstuvwxyz'];

/** @param size at least that of the special tokens and the bytes */
export function madeUpTokenizer(size: number): Tokenizer {
  const numMerges = size - DEFAULT_SPECIAL_TOKENS.length - 256;
  assert(numMerges >= 0, `room for the bytes in ${size} tokens`);
  return loadTokenizer(
    saveTokenizerJson({ specialTokens: DEFAULT_SPECIAL_TOKENS, merges: firstMerges(numMerges) }),
  );
}

type Merge = readonly [left: Uint8Array, right: Uint8Array];

function firstMerges(count: number): Merge[] {
  const merges: Merge[] = [];
  let words = LETTERS;
  const encoder = new TextEncoder();
  while (merges.length < count) {
    const longer: string[] = [];
    for (const word of words) {
      for (const letter of LETTERS) {
        if (merges.length === count) return merges;
        merges.push([encoder.encode(word), encoder.encode(letter)]);
        longer.push(word + letter);
      }
    }
    words = longer;
  }
  return merges;
}
