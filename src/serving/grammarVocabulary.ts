/** A tokenizer's tokens as grammars see them: bytes, or control tokens that have none. */
import type { GrammarVocabulary } from '../grammar/grammar.ts';
import type { Tokenizer } from '../tokenizer/byteLevelBpe.ts';

/** @param vocabSize the model's, which may be more than the tokenizer's: such ids never come */
export function grammarVocabulary(
  tokenizer: Tokenizer,
  { vocabSize, endIds }: { vocabSize: number; endIds: ReadonlySet<number> },
): GrammarVocabulary {
  return {
    size: vocabSize,
    endIds,
    bytesOf: (id) => {
      if (tokenizer.idToToken(id) === undefined) return null;
      // Added tokens are text of their own: a grammar names them, or they do not come.
      return tokenizer.addedToken(id) === undefined ? tokenizer.tokenBytes(id) : null;
    },
    controlToken: (text) => {
      const id = tokenizer.tokenToId(text);
      return id !== undefined && tokenizer.addedToken(id) !== undefined ? id : undefined;
    },
  };
}
