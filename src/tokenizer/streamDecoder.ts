/**
 * Turns ids into text one at a time, as a model generates them. A character whose bytes are spread
 * over several tokens is held back until it is whole, so that no piece ends in half a character;
 * the pieces joined are exactly what `Tokenizer.decode` gives for all the ids.
 */
import type { AddedToken } from './addedTokens.ts';

/** What a decoder asks of a tokenizer. */
export interface TokenBytes {
  tokenBytes(id: number): Uint8Array;
  addedToken(id: number): AddedToken | undefined;
}

export class StreamDecoder {
  readonly #tokens: TokenBytes;
  readonly #skipsSpecial: boolean;
  readonly #utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

  constructor(tokens: TokenBytes, options: { readonly skipSpecialTokens?: boolean } = {}) {
    this.#tokens = tokens;
    this.#skipsSpecial = options.skipSpecialTokens ?? false;
  }

  /**
   * The text that `id` completes; empty while a character is incomplete. Bytes that can no longer
   * become a character come out as U+FFFD at once.
   *
   * @throws tokenizer.unknownId
   */
  push(id: number): string {
    const added = this.#tokens.addedToken(id);
    if (added === undefined)
      return this.#utf8.decode(this.#tokens.tokenBytes(id), { stream: true });
    if (added.isSpecial && this.#skipsSpecial) return '';
    // An added token is text of its own: a character cannot go on across it.
    return this.#utf8.decode() + added.content;
  }

  /** What is left: U+FFFD when the ids stopped inside a character. The decoder starts afresh. */
  end(): string {
    return this.#utf8.decode();
  }
}
