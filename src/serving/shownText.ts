/**
 * Tokens as text that may be shown, with each token beside the text it begins in.
 *
 * A token can hold half a character, or the beginning of what may become a stop string; text waits
 * then, and its tokens wait with it. When a stop string cuts the text, tokens that begin behind the
 * cut are dropped: their probabilities are nobody's business.
 */
import { at } from '../base/assert.ts';
import { StreamDecoder, type TokenBytes } from '../tokenizer/streamDecoder.ts';
import type { EngineToken } from './engineClient.ts';
import { StopStrings } from './stopStrings.ts';

export interface ShownPiece {
  readonly text: string;
  readonly tokens: readonly EngineToken[];
}

export class ShownText {
  readonly #decoder: StreamDecoder;
  readonly #stops: StopStrings;
  /** Tokens that have not been shown, and where in the text each begins. */
  readonly #held: { token: EngineToken; begin: number }[] = [];
  /** Characters decoded, and shown. */
  #decoded = 0;
  #shown = 0;

  constructor(
    tokens: TokenBytes,
    { stop, showsSpecial }: { stop: readonly string[]; showsSpecial: boolean },
  ) {
    this.#decoder = new StreamDecoder(tokens, { skipSpecialTokens: !showsSpecial });
    this.#stops = new StopStrings(stop);
  }

  /** The stop string that ended the text, or null. */
  get stop(): string | null {
    return this.#stops.stop;
  }

  push(token: EngineToken): ShownPiece {
    this.#held.push({ token, begin: this.#decoded });
    const text = this.#decoder.push(token.id);
    this.#decoded += text.length;
    return this.#show(this.#stops.push(text));
  }

  /** What was held back, once no token follows. */
  end(): ShownPiece {
    if (this.stop !== null) return { text: '', tokens: [] };
    const shown = this.#show(this.#stops.push(this.#decoder.end()) + this.#stops.end());
    if (this.stop !== null) return shown;
    const rest = this.#held.splice(0).map(({ token }) => token);
    return { text: shown.text, tokens: [...shown.tokens, ...rest] };
  }

  #show(text: string): ShownPiece {
    this.#shown += text.length;
    let count = 0;
    while (count < this.#held.length && at(this.#held, count).begin < this.#shown) count++;
    return { text, tokens: this.#held.splice(0, count).map(({ token }) => token) };
  }
}
