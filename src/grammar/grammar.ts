/**
 * What a text may be: a grammar as data, and the machine that follows one token by token.
 *
 * Grammars are over bytes, tokens are strings of bytes, so any vocabulary works, half characters
 * included. A matcher says for every token of the vocabulary whether the text may go on with it.
 */

/** As a caller gives it; JSON, so that it crosses threads. */
export type GrammarSpec =
  /** Any JSON object. */
  | { readonly kind: 'jsonObject' }
  | { readonly kind: 'jsonSchema'; readonly schema: unknown }
  /** The whole text matches. */
  | { readonly kind: 'regex'; readonly pattern: string }
  /** Rules `name ::= …`; the text is one `root`. `<[text]>` stands for a control token. */
  | {
      readonly kind: 'ebnf';
      readonly text: string;
      readonly root?: string;
      /** Rules that are grammars of other kinds, by the name that the text calls them by. */
      readonly parts?: Readonly<Record<string, GrammarSpec>>;
    }
  | { readonly kind: 'choice'; readonly choices: readonly string[] };

/** What a grammar asks of a tokenizer. */
export interface GrammarVocabulary {
  /** Tokens 0 … size − 1; the model's, which may be more than the tokenizer's. */
  readonly size: number;
  /** null: a control token, or no token at all; it comes only where a grammar names it. */
  bytesOf(id: number): Uint8Array | null;
  /** The control token that is spelled so. */
  controlToken(text: string): number | undefined;
  /** Tokens that end a text; they may come where the text may end. */
  readonly endIds: ReadonlySet<number>;
}

/** Follows one text. A clone is cheap: drafts are followed on clones. */
export interface GrammarMatcher {
  /** Whether the text may end here. */
  readonly mayEnd: boolean;
  /** Whether it must: only end tokens are allowed. */
  readonly mustEnd: boolean;
  /** Sets bit v mod 32 of word ⌊v / 32⌋ exactly for tokens that may come now. */
  fillMask(mask: Uint32Array): void;
  /**
   * Goes on with a token; false, and nothing changed, where it may not come. After an end token
   * only end tokens may come.
   *
   * @throws grammar.tooAmbiguous
   */
  accept(id: number): boolean;
  /** The only token that may come now, or null: a draft that always stands. */
  forcedToken(): number | null;
  clone(): GrammarMatcher;
}

/** A grammar made ready for one vocabulary; shared by all texts that follow it. */
export interface CompiledGrammar {
  /** Of its tables, about, without masks: those are bounded for all grammars together. */
  readonly numBytes: number;
  start(): GrammarMatcher;
}
