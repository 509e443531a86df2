/**
 * Regular expressions of a `tokenizer.json` are written for Oniguruma (the engine behind Hugging
 * Face's tokenizers); this file rewrites one into JavaScript's `v` dialect, piece by piece, keeping
 * its meaning, and refuses by name what it cannot keep.
 *
 * What differs and therefore is rewritten: `\s` is White_Space (JavaScript's adds U+FEFF and lacks
 * U+0085), `\d` and `\w` are Unicode, `^` and `$` stop at every line, `.` excludes only line feeds,
 * `\p{Han}` needs `Script=`, possessive `x++` and atomic `(?>x)` become a captured look-ahead, and
 * `(?i:…)` folds ASCII letters. Groups capture nothing here: only where a match lies is used.
 */
import { MoebiusError } from '../base/errors.ts';

/** A global, Unicode-aware RegExp with Oniguruma's meaning of `pattern`. */
export function compileOniguruma(pattern: string): RegExp {
  const source = new Translator(pattern).translate();
  try {
    return new RegExp(source, 'gv');
  } catch (cause) {
    throw new MoebiusError(
      'tokenizer.regex',
      `the regular expression ${pattern} does not compile`,
      {
        values: { pattern, rewritten: source },
        hint: 'Report this pattern, or replace the pre-tokenizer by one that is supported.',
        cause,
      },
    );
  }
}

/** The same for a literal string, as the `String` form of a pattern. */
export function compileLiteral(text: string): RegExp {
  return new RegExp(Array.from(text, literal).join(''), 'gv');
}

const WORD = '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}';
/** Escapes that stand for a set, as they are written inside a class. */
const SETS: ReadonlyMap<string, string> = new Map([
  ['s', '\\p{White_Space}'],
  ['S', '\\P{White_Space}'],
  ['d', '\\p{Nd}'],
  ['D', '\\P{Nd}'],
  ['w', WORD],
  ['W', `[^${WORD}]`],
  ['h', '0-9A-Fa-f'],
  ['H', '[^0-9A-Fa-f]'],
]);
const POSIX: ReadonlyMap<string, string> = new Map([
  ['alpha', '\\p{Alphabetic}'],
  ['digit', '\\p{Nd}'],
  ['alnum', '\\p{Alphabetic}\\p{Nd}'],
  ['lower', '\\p{Lowercase}'],
  ['upper', '\\p{Uppercase}'],
  ['space', '\\p{White_Space}'],
]);
const CONTROLS: ReadonlyMap<string, number> = new Map([
  ['n', 0x0a],
  ['r', 0x0d],
  ['t', 0x09],
  ['f', 0x0c],
  ['v', 0x0b],
  ['a', 0x07],
  ['e', 0x1b],
]);
const ANCHORS: ReadonlyMap<string, string> = new Map([
  ['A', '(?<![\\s\\S])'],
  ['z', '(?![\\s\\S])'],
  ['Z', '(?=\\n?(?![\\s\\S]))'],
]);
const GROUPS = ['(?:', '(?=', '(?!', '(?<=', '(?<!'];

/** A class item: a set, or one code point that may open or close a range. */
type ClassItem =
  | { readonly kind: 'set'; readonly source: string }
  | { readonly kind: 'point'; readonly point: number };

class Translator {
  readonly #pattern: string;
  #at = 0;
  #atomicGroups = 0;
  #foldsCase = false;

  constructor(pattern: string) {
    this.#pattern = pattern;
  }

  translate(): string {
    const source = this.#alternatives();
    if (this.#at < this.#pattern.length) throw this.#refuse('an unmatched )');
    return source;
  }

  #alternatives(): string {
    let source = this.#sequence();
    while (this.#take('|')) source += `|${this.#sequence()}`;
    return source;
  }

  #sequence(): string {
    let source = '';
    while (this.#at < this.#pattern.length && !this.#sees('|') && !this.#sees(')')) {
      source += this.#quantified();
    }
    return source;
  }

  #quantified(): string {
    const atom = this.#atom();
    const quantifier = this.#quantifier();
    if (quantifier === '') return atom;
    let source = `${atom}${quantifier}`;
    if (this.#take('?')) source += '?';
    else if (this.#sees('+')) {
      // Ruby syntax: a `+` after braces repeats, after a sign it makes the repetition possessive.
      if (quantifier.startsWith('{')) throw this.#refuse('a + after {…}');
      this.#at++;
      source = this.#atomic(source);
    }
    if (this.#quantifier() !== '') throw this.#refuse('a quantifier after a quantifier');
    return source;
  }

  #quantifier(): string {
    const sign = this.#pattern[this.#at];
    if (sign === '*' || sign === '+' || sign === '?') {
      this.#at++;
      return sign;
    }
    const braces = /^\{(\d*)(,?)(\d*)\}/.exec(this.#pattern.slice(this.#at));
    if (braces === null || (braces[1] === '' && braces[3] === '')) return '';
    this.#at += braces[0].length;
    return `{${braces[1] === '' ? '0' : braces[1]}${braces[2]}${braces[3]}}`;
  }

  /** Matches once and never gives back: JavaScript's look-ahead is atomic, its capture is text. */
  #atomic(source: string): string {
    const name = `atomic${this.#atomicGroups++}`;
    return `(?:(?=(?<${name}>${source}))\\k<${name}>)`;
  }

  #atom(): string {
    const character = this.#next();
    switch (character) {
      case '.':
        return '[^\\n]';
      case '^':
        return '(?<![^\\n])';
      case '$':
        return '(?![^\\n])';
      case '[':
        return this.#characterClass();
      case '(':
        return this.#group();
      case '\\':
        return this.#escape();
      case '*':
      case '+':
      case '?':
        throw this.#refuse(`${character} with nothing before it`);
      default:
        return this.#folded(character.codePointAt(0) as number);
    }
  }

  #group(): string {
    this.#at--;
    const rest = this.#pattern.slice(this.#at);
    const foldsBefore = this.#foldsCase;
    let open = GROUPS.find((prefix) => rest.startsWith(prefix));
    let isAtomic = false;
    if (open !== undefined) this.#at += open.length;
    else {
      const special = /^\((?:\?i:|\?>|\?<[A-Za-z_]\w*>|(?!\?))/.exec(rest)?.[0];
      if (special === undefined) throw this.#refuse(`the group ${rest.slice(0, 4)}`);
      this.#at += special.length;
      open = '(?:';
      isAtomic = special === '(?>';
      if (special === '(?i:') this.#foldsCase = true;
    }
    const inner = this.#alternatives();
    if (!this.#take(')')) throw this.#refuse('an unclosed group');
    this.#foldsCase = foldsBefore;
    return isAtomic ? this.#atomic(inner) : `${open}${inner})`;
  }

  #escape(): string {
    const anchor = ANCHORS.get(this.#pattern[this.#at] ?? '');
    if (anchor !== undefined) {
      this.#at++;
      return anchor;
    }
    const item = this.#escapedItem();
    return item.kind === 'set' ? `[${item.source}]` : this.#folded(item.point);
  }

  /** What follows a backslash, inside a class or outside. */
  #escapedItem(): ClassItem {
    const rest = this.#pattern.slice(this.#at);
    const property = /^([pP])\{(\^?)([^}]*)\}/.exec(rest);
    if (property !== null) {
      this.#at += property[0].length;
      if (this.#foldsCase) throw this.#refuse(`\\${property[0]} inside (?i:…)`);
      const isNegated = (property[1] === 'P') !== (property[2] === '^');
      return { kind: 'set', source: this.#property(property[3] as string, isNegated ? 'P' : 'p') };
    }
    const code = /^(?:x\{([0-9A-Fa-f]{1,6})\}|x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4}))/.exec(rest);
    if (code !== null) {
      this.#at += code[0].length;
      const point = Number.parseInt((code[1] ?? code[2] ?? code[3]) as string, 16);
      if (point > 0x10ffff) throw this.#refuse(`the code point \\${code[0]}`);
      return { kind: 'point', point };
    }
    if (rest === '') throw this.#refuse('a \\ at the end');
    const character = this.#next();
    const set = SETS.get(character);
    if (set !== undefined) return { kind: 'set', source: set };
    const control = CONTROLS.get(character);
    if (control !== undefined) return { kind: 'point', point: control };
    if (/[A-Za-z0-9]/.test(character)) throw this.#refuse(`\\${character}`);
    return { kind: 'point', point: character.codePointAt(0) as number };
  }

  #property(name: string, letter: 'p' | 'P'): string {
    for (const spelled of [name, `Script=${name}`]) {
      try {
        new RegExp(`\\p{${spelled}}`, 'v');
        return `\\${letter}{${spelled}}`;
      } catch {
        // Not a property under this spelling; the next one may be.
      }
    }
    throw this.#refuse(`the property \\${letter}{${name}}`);
  }

  /** After `[`: operands joined by `&&`, each a union of items. */
  #characterClass(): string {
    const isNegated = this.#take('^');
    const operands: string[] = [];
    let operand = '';
    for (let isFirst = true; ; isFirst = false) {
      if (this.#at >= this.#pattern.length) throw this.#refuse('an unclosed [');
      if (!isFirst && this.#take(']')) break;
      if (this.#take('&&')) {
        operands.push(operand);
        operand = '';
        continue;
      }
      operand += this.#classRange();
    }
    operands.push(operand);
    if (operands.includes('')) throw this.#refuse('an empty side of &&');
    const inner = operands.length === 1 ? operand : operands.map((one) => `[${one}]`).join('&&');
    return `[${isNegated ? '^' : ''}${inner}]`;
  }

  #classRange(): string {
    const first = this.#classItem();
    if (first.kind === 'set') return first.source;
    const isRange = this.#sees('-') && !/^-(?:\]|&&|\[)/.test(this.#pattern.slice(this.#at));
    if (!isRange) return this.#foldedInClass(first.point);
    this.#at++;
    const last = this.#classItem();
    if (last.kind === 'set') return `${this.#foldedInClass(first.point)}\\-${last.source}`;
    if (last.point < first.point) throw this.#refuse('a range that runs backwards');
    const range = `${escaped(first.point)}-${escaped(last.point)}`;
    if (!this.#foldsCase) return range;
    const inLetters = /^[a-z]{2}$|^[A-Z]{2}$/.test(String.fromCodePoint(first.point, last.point));
    if (!inLetters) throw this.#refuse('this range inside (?i:…)');
    return `${range}${escaped(first.point ^ 0x20)}-${escaped(last.point ^ 0x20)}`;
  }

  #classItem(): ClassItem {
    const rest = this.#pattern.slice(this.#at);
    const posix = /^\[:(\^?)(\w+):\]/.exec(rest);
    if (posix !== null) {
      const set = POSIX.get(posix[2] as string);
      if (set === undefined) throw this.#refuse(posix[0]);
      this.#at += posix[0].length;
      return { kind: 'set', source: posix[1] === '^' ? `[^${set}]` : set };
    }
    const character = this.#next();
    if (character === '[') return { kind: 'set', source: this.#characterClass() };
    if (character === '\\') return this.#escapedItem();
    return { kind: 'point', point: character.codePointAt(0) as number };
  }

  #folded(point: number): string {
    return this.#foldsCase && isAsciiLetter(point)
      ? `[${escaped(point)}${escaped(point ^ 0x20)}]`
      : escaped(point);
  }

  #foldedInClass(point: number): string {
    return this.#foldsCase && isAsciiLetter(point)
      ? `${escaped(point)}${escaped(point ^ 0x20)}`
      : escaped(point);
  }

  #next(): string {
    const character = String.fromCodePoint(this.#pattern.codePointAt(this.#at) as number);
    this.#at += character.length;
    return character;
  }

  #sees(text: string): boolean {
    return this.#pattern.startsWith(text, this.#at);
  }

  #take(text: string): boolean {
    if (!this.#sees(text)) return false;
    this.#at += text.length;
    return true;
  }

  #refuse(what: string): MoebiusError {
    const pattern = this.#pattern;
    return new MoebiusError('tokenizer.regex', `${what} is not supported, in ${pattern}`, {
      values: { pattern, position: this.#at },
      hint: 'Rewrite the pattern without it, or report the tokenizer that needs it.',
    });
  }
}

function isAsciiLetter(point: number): boolean {
  const lower = point | 0x20;
  return point < 0x80 && lower >= 0x61 && lower <= 0x7a;
}

function literal(character: string): string {
  return escaped(character.codePointAt(0) as number);
}

/** Letters and digits as they are, all else by number: nothing is special by accident. */
function escaped(point: number): string {
  const isPlain = isAsciiLetter(point) || (point >= 0x30 && point <= 0x39);
  return isPlain ? String.fromCharCode(point) : `\\u{${point.toString(16)}}`;
}
