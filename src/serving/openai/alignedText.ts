/**
 * Text and tokens of one output, put side by side.
 *
 * An engine gives text and, apart from it, tokens; tokens and characters do not match one to one.
 * Decoding the tokens again tells where in the text each begins, so that control tokens can be told
 * from words that spell them, and a log probability shown exactly with the text it belongs to.
 *
 *   text     H  e  l  l  o  ␣  é        offsets in UTF-16 units
 *   tokens   [Hello  )[␣)[é:1 )         a half character covers the whole one
 *                        [é:2 )
 */
import type { AddedToken } from '../../tokenizer/addedTokens.ts';
import type { Tokenizer } from '../../tokenizer/byteLevelBpe.ts';
import type { StreamDecoder } from '../../tokenizer/streamDecoder.ts';
import type { EngineToken } from '../engineClient.ts';

/** A piece of text: words, or exactly one added token's content. */
export interface TextItem {
  readonly text: string;
  readonly added: AddedToken | null;
}

interface PlacedToken {
  readonly token: EngineToken;
  readonly from: number;
  readonly to: number;
}

export class AlignedText {
  readonly #tokenizer: Tokenizer;
  readonly #skipsSpecial: boolean;
  readonly #decoder: StreamDecoder;
  /** Where the next token begins. */
  #decoded = 0;
  /** Text given by the engine and not yet given on. */
  #pending = '';
  #pendingFrom = 0;
  /** Added tokens whose text was not given on yet. */
  readonly #added: { token: AddedToken; from: number }[] = [];
  readonly #placed: PlacedToken[] = [];
  /** First of `#placed` that no piece of output covers. */
  #nextShown = 0;
  /** First of `#placed` that `countBegun` has not counted. */
  #nextBegun = 0;

  constructor(tokenizer: Tokenizer, special: 'shown' | 'skipped') {
    this.#tokenizer = tokenizer;
    this.#skipsSpecial = special === 'skipped';
    this.#decoder = tokenizer.streamDecoder({ skipSpecialTokens: this.#skipsSpecial });
  }

  /** Takes what an event brought; gives the text cut at added tokens, what can be cut by now. */
  push(text: string, tokens: readonly EngineToken[]): readonly TextItem[] {
    for (const token of tokens) this.#place(token);
    this.#pending += text;
    return this.#cut('more');
  }

  /** The end of the text: the head of an added token that a stop string cut is not shown. */
  end(): readonly TextItem[] {
    return this.#cut('none');
  }

  /**
   * The tokens that the next characters of the output belong to, each given once.
   *
   * @param to offset behind the characters; calls come in order and leave none out
   */
  take(to: number, use: 'show' | 'hide'): readonly EngineToken[] {
    const taken: EngineToken[] = [];
    for (; this.#nextShown < this.#placed.length; this.#nextShown++) {
      const placed = this.#placed[this.#nextShown] as PlacedToken;
      if (use === 'show' ? placed.from >= to : placed.to > to) break;
      if (use === 'show') taken.push(placed.token);
    }
    return taken;
  }

  /** How many tokens begin before `to` that did not before the last call. */
  countBegun(to: number): number {
    let count = 0;
    for (; this.#nextBegun < this.#placed.length; this.#nextBegun++, count++) {
      if ((this.#placed[this.#nextBegun] as PlacedToken).from >= to) break;
    }
    return count;
  }

  #place(token: EngineToken): void {
    const from = this.#decoded;
    // The model may have more tokens than its tokenizer; those have no text.
    const isKnown = this.#tokenizer.hasToken(token.id);
    const text = isKnown ? this.#decoder.push(token.id) : '';
    this.#decoded += text.length;
    const added = isKnown ? this.#tokenizer.addedToken(token.id) : undefined;
    let begin = from;
    if (added !== undefined) {
      if (added.isSpecial && this.#skipsSpecial) return;
      // A half character before it came out with it.
      begin = this.#decoded - added.content.length;
      this.#added.push({ token: added, from: begin });
    }
    this.#placed.push({ token, from: begin, to: Math.max(this.#decoded, begin + 1) });
  }

  #cut(what: 'more' | 'none'): readonly TextItem[] {
    const items: TextItem[] = [];
    const give = (length: number, added: AddedToken | null): void => {
      if (length === 0) return;
      items.push({ text: this.#pending.slice(0, length), added });
      this.#pending = this.#pending.slice(length);
      this.#pendingFrom += length;
    };
    for (let next = this.#added[0]; next !== undefined; next = this.#added[0]) {
      const before = next.from - this.#pendingFrom;
      if (before >= this.#pending.length) break;
      give(before, null);
      const { length } = next.token.content;
      if (this.#pending.length < length && what === 'more') return items;
      give(Math.min(length, this.#pending.length), next.token);
      this.#added.shift();
    }
    give(this.#pending.length, null);
    return items;
  }
}
