/**
 * Prompts that cannot fit, told before they are tokenized: encoding many megabytes would keep the
 * thread that answers all other requests for seconds. No token is longer than the vocabulary's
 * longest, so a text has at least so many tokens as that goes into it.
 */
import type { Tokenizer } from '../../tokenizer/byteLevelBpe.ts';
import type { ProtocolContext } from './protocol.ts';
import { invalid } from './protocolError.ts';

const longest = new WeakMap<Tokenizer, number>();

/** @throws ProtocolError 400 context_length_exceeded, with the least that it can have */
export function refuseOverlong(
  texts: readonly string[],
  param: string,
  { tokenizer, info }: Pick<ProtocolContext, 'tokenizer' | 'info'>,
): void {
  // Every UTF-16 unit is a byte or more of UTF-8.
  const numBytes = texts.reduce((sum, text) => sum + text.length, 0);
  const least = Math.ceil(numBytes / longestToken(tokenizer));
  if (least <= info.maxContext) return;
  throw invalid(
    param,
    `the prompt has ${least} tokens or more; the context holds ${info.maxContext}`,
    {
      apiCode: 'context_length_exceeded',
      values: { n_prompt_tokens: least, n_ctx: info.maxContext },
      hint: `Shorten the prompt to at most ${info.maxContext - 1} tokens.`,
    },
  );
}

/** In bytes. */
function longestToken(tokenizer: Tokenizer): number {
  let length = longest.get(tokenizer);
  if (length === undefined) {
    length = 1;
    for (let id = 0; id < tokenizer.vocabSize; id++) {
      length = Math.max(length, tokenizer.tokenBytes(id).length);
    }
    longest.set(tokenizer, length);
  }
  return length;
}
