/**
 * Added tokens (control tokens, markers) are found in the text before it is split into words: at
 * each position the longest one that is spelled there, leftmost first.
 *
 * Two sets are searched one after the other, as Hugging Face does: tokens that are not normalized
 * in the raw text, then the others in what the normalizer made of the rest.
 */
import { wrongShape } from './jsonFields.ts';

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** A control token: `decode` leaves it out when asked to skip special tokens. */
  readonly isSpecial: boolean;
  /** Searched for after the normalizer rather than before. */
  readonly isNormalized: boolean;
  /** Takes the white space to its left, or right, with it. */
  readonly stripsLeft: boolean;
  readonly stripsRight: boolean;
  /** Matches only where no letter, digit or underscore touches it. */
  readonly isWholeWord: boolean;
}

/** A stretch of the text, with the token it is, or undefined for text. */
export type SegmentVisitor = (segment: string, token: AddedToken | undefined) => void;

export class AddedTokenMatcher {
  /** Trie edges, keyed `node × 65536 + UTF-16 unit`; node 0 is the root. */
  readonly #edges = new Map<number, number>();
  readonly #tokenAt: (AddedToken | undefined)[] = [undefined];
  /** Units that some token begins with: nearly every position is dismissed by this alone. */
  readonly #begins = new Set<number>();
  /** That unit, when all tokens begin alike (`<`): then the engine's own search finds it. */
  readonly #onlyBegin: string;

  /** Pairs of what to look for and the token it is (they differ when a normalizer respells it). */
  constructor(entries: readonly (readonly [string, AddedToken])[]) {
    for (const [content, token] of entries) {
      if (content === '') throw wrongShape(content, `added token ${token.id}`, 'a non-empty text');
      let node = 0;
      for (let i = 0; i < content.length; i++) {
        const key = node * 65536 + content.charCodeAt(i);
        let next = this.#edges.get(key);
        if (next === undefined) {
          next = this.#tokenAt.push(undefined) - 1;
          this.#edges.set(key, next);
        }
        node = next;
      }
      this.#tokenAt[node] = token;
      this.#begins.add(content.charCodeAt(0));
    }
    const [only] = this.#begins;
    const isAlike = this.#begins.size === 1 && only !== undefined;
    this.#onlyBegin = isAlike ? String.fromCharCode(only) : '';
  }

  /** Calls `visit` for every stretch of `text`, in order; none is empty. */
  forEachSegment(text: string, visit: SegmentVisitor): void {
    let done = 0;
    for (let at = this.#nextBegin(text, 0); at < text.length; ) {
      const found = this.#longestAt(text, at);
      if (found === undefined) {
        at = this.#nextBegin(text, at + 1);
        continue;
      }
      const { token, length } = found;
      let [from, to] = [at, at + length];
      if (!(token.isWholeWord && touchesWord(text, from, to))) {
        if (token.stripsLeft) while (from > done && isBlank(text.charCodeAt(from - 1))) from--;
        if (token.stripsRight) while (to < text.length && isBlank(text.charCodeAt(to))) to++;
        if (from > done) visit(text.slice(done, from), undefined);
        visit(text.slice(from, to), token);
        done = to;
      }
      at = this.#nextBegin(text, to);
    }
    if (done < text.length) visit(done === 0 ? text : text.slice(done), undefined);
  }

  /** The next position where a token may begin. */
  #nextBegin(text: string, from: number): number {
    if (this.#onlyBegin !== '') {
      const found = text.indexOf(this.#onlyBegin, from);
      return found < 0 ? text.length : found;
    }
    let at = this.#begins.size === 0 ? text.length : from;
    while (at < text.length && !this.#begins.has(text.charCodeAt(at))) at++;
    return at;
  }

  /** The length of the longest token spelled at `at`, or 0. */
  lengthAt(text: string, at: number): number {
    return this.#longestAt(text, at)?.length ?? 0;
  }

  #longestAt(text: string, start: number): { token: AddedToken; length: number } | undefined {
    let best: { token: AddedToken; length: number } | undefined;
    let node = 0;
    for (let i = start; i < text.length; i++) {
      const next = this.#edges.get(node * 65536 + text.charCodeAt(i));
      if (next === undefined) break;
      node = next;
      const token = this.#tokenAt[node];
      if (token !== undefined) best = { token, length: i + 1 - start };
    }
    return best;
  }
}

const WORD_BEFORE = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]$/u;
const WORD_AFTER = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]/u;

function touchesWord(text: string, from: number, to: number): boolean {
  // Two units hold any one character; a half that is cut off is no word character.
  const before = text.slice(Math.max(0, from - 2), from);
  return WORD_BEFORE.test(before) || WORD_AFTER.test(text.slice(to, to + 2));
}

/** White_Space, which lies in the basic plane. */
function isBlank(code: number): boolean {
  return code < 0x80
    ? code === 0x20 || (code >= 0x09 && code <= 0x0d)
    : BLANK.test(String.fromCharCode(code));
}

const BLANK = /^\p{White_Space}$/u;
