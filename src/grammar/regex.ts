/**
 * Regular expressions, read as ECMAScript's Unicode mode reads them, without what is not regular:
 * looking around, back references, and conditions inside a text (`\b`, anchors that are not at an
 * end). Laziness of quantifiers changes no language and is let pass.
 */
import { MoebiusError } from '../base/errors.ts';
import { refuseTooLong } from './effort.ts';
import {
  ANY_CHARACTER,
  type CodeRange,
  characters,
  choice,
  complementOf,
  EMPTY,
  MAX_CODE_POINT,
  type Pattern,
  repeat,
  sequence,
  text,
} from './pattern.ts';
import { DIGITS, LINE_ENDS, rangesOfProperty, WHITE_SPACE, WORD_CHARACTERS } from './regexClass.ts';

/** Texts of which the whole matches; anchors at the ends say nothing new. */
export function wholeRegex(source: string): Pattern {
  return choice(...parseRegex(source).map(({ pattern }) => pattern));
}

/** Texts of which some part matches, at the ends where anchors say so. */
export function searchRegex(source: string): Pattern {
  const anything = repeat(ANY_CHARACTER, 0, Number.POSITIVE_INFINITY);
  return choice(
    ...parseRegex(source).map(({ pattern, isStartAnchored, isEndAnchored }) =>
      sequence(isStartAnchored ? EMPTY : anything, pattern, isEndAnchored ? EMPTY : anything),
    ),
  );
}

interface Alternative {
  readonly pattern: Pattern;
  readonly isStartAnchored: boolean;
  readonly isEndAnchored: boolean;
}

/** @throws grammar.badRegex, grammar.notRegular, grammar.tooLarge */
function parseRegex(source: string): readonly Alternative[] {
  const parser = new RegexParser(source);
  const alternatives = parser.alternatives();
  parser.expectEnd();
  return alternatives;
}

const CONTROL_ESCAPES: Readonly<Record<string, number>> = {
  t: 0x09,
  n: 0x0a,
  v: 0x0b,
  f: 0x0c,
  r: 0x0d,
};

const REFUSED_GROUPS: readonly (readonly [prefix: string, name: string])[] = [
  ['(?=', 'a lookahead'],
  ['(?!', 'a negative lookahead'],
  ['(?<=', 'a lookbehind'],
  ['(?<!', 'a negative lookbehind'],
  ['(?P=', 'a back reference'],
  ['(?>', 'an atomic group'],
  ['(?(', 'a condition'],
  ['(?#', 'a comment'],
];

/** Of a regular expression, and of what a part of it that is read at once may have. */
const MAX_LENGTH = 65_536;
const MAX_MATCHED = 256;

class RegexParser {
  readonly #source: string;
  readonly #points: readonly string[];
  #place = 0;
  #depth = 0;

  constructor(source: string) {
    refuseTooLong(source, MAX_LENGTH);
    this.#source = source;
    this.#points = [...source];
  }

  /** Of the whole, each with its anchors. */
  alternatives(): readonly Alternative[] {
    const alternatives: Alternative[] = [];
    do {
      const isStartAnchored = this.#skip('^');
      const pattern = this.#terms();
      const isEndAnchored = this.#skip('$');
      if (this.#peek() !== '' && this.#peek() !== '|') break;
      alternatives.push({ pattern, isStartAnchored, isEndAnchored });
    } while (this.#skip('|'));
    return alternatives;
  }

  expectEnd(): void {
    const next = this.#peek();
    if (next === '') return;
    if (next === ')') this.#fail('a ) closes nothing', 'Write \\) for the character.');
    this.#notRegular('an anchor in the middle of a text', 'Put anchors at the ends only.');
  }

  #peek(ahead = 0): string {
    return this.#points[this.#place + ahead] ?? '';
  }

  #take(): string {
    const point = this.#peek();
    this.#place++;
    return point;
  }

  #skip(wanted: string): boolean {
    if (this.#peek() !== wanted) return false;
    this.#place++;
    return true;
  }

  /** What comes next, if it matches the anchored expression; it is then passed. */
  #match(expression: RegExp): RegExpExecArray | null {
    const end = this.#place + MAX_MATCHED;
    const match = expression.exec(this.#points.slice(this.#place, end).join(''));
    if (match !== null) this.#place += [...match[0]].length;
    return match;
  }

  #fail(problem: string, hint: string): never {
    throw new MoebiusError(
      'grammar.badRegex',
      `regular expression, character ${this.#place + 1}: ${problem}`,
      { values: { pattern: this.#source, position: this.#place + 1 }, hint },
    );
  }

  #notRegular(what: string, hint: string): never {
    throw new MoebiusError(
      'grammar.notRegular',
      `regular expression, character ${this.#place + 1}: ${what} cannot be enforced`,
      { values: { pattern: this.#source, position: this.#place + 1 }, hint },
    );
  }

  #terms(): Pattern {
    const parts: Pattern[] = [];
    for (let next = this.#peek(); !['', '|', ')', '$', '^'].includes(next); next = this.#peek()) {
      parts.push(this.#quantified(this.#atom()));
    }
    return sequence(...parts);
  }

  #quantified(atom: Pattern): Pattern {
    const bounds = this.#bounds();
    if (bounds === null) return atom;
    if (this.#peek() === '+') {
      this.#notRegular('a possessive quantifier', 'Leave out the second +.');
    }
    this.#skip('?');
    if (this.#bounds() !== null) {
      this.#fail('a quantifier follows a quantifier', 'Put the first one into a group.');
    }
    const { min, max } = bounds;
    if (max < min) this.#fail(`{${min},${max}} has its bounds reversed`, 'Swap the bounds.');
    return repeat(atom, min, max);
  }

  #bounds(): { readonly min: number; readonly max: number } | null {
    if (this.#skip('*')) return { min: 0, max: Number.POSITIVE_INFINITY };
    if (this.#skip('+')) return { min: 1, max: Number.POSITIVE_INFINITY };
    if (this.#skip('?')) return { min: 0, max: 1 };
    if (this.#peek() !== '{') return null;
    const match = this.#match(/^\{(\d{1,20})(?:(,)(\d{0,20}))?\}/);
    if (match === null) {
      if (this.#match(/^\{\d{20}/) !== null) this.#fail('a bound is too large', 'Lower it.');
      if (this.#match(/^\{,\d+\}/) !== null) {
        this.#fail('{,n} is a literal text in some dialects', 'Write {0,n}.');
      }
      return null;
    }
    const min = Number(match[1]);
    if (match[2] === undefined) return { min, max: min };
    return { min, max: match[3] === '' ? Number.POSITIVE_INFINITY : Number(match[3]) };
  }

  #atom(): Pattern {
    const next = this.#peek();
    switch (next) {
      case '(':
        return this.#group();
      case '[':
        return this.#class();
      case '.':
        this.#place++;
        return characters(...complementOf(LINE_ENDS));
      case '*':
      case '+':
      case '?':
        return this.#fail(`${next} has nothing to repeat`, `Write \\${next} for the character.`);
      case '\\': {
        this.#place++;
        return characters(...this.#escape());
      }
      default:
        this.#place++;
        if (!next.isWellFormed()) {
          this.#fail('half a surrogate pair is no character', 'Write the whole character.');
        }
        return text(next);
    }
  }

  #group(): Pattern {
    for (const [prefix, name] of REFUSED_GROUPS) {
      if (this.#points.slice(this.#place, this.#place + prefix.length).join('') === prefix) {
        this.#notRegular(`${name} (${prefix}…)`, 'Write out what it allows.');
      }
    }
    if (this.#match(/^\((?:\?:|\?P?<[\p{ID_Start}$_][\p{ID_Continue}$]*>)?(?!\?)/u) === null) {
      this.#fail('a group of an unknown kind', 'Use ( ), (?: ) or (?<name> ).');
    }
    if (++this.#depth > 200) this.#fail('groups are nested too deep', 'Nest at most 200.');
    const options: Pattern[] = [];
    do options.push(this.#terms());
    while (this.#skip('|'));
    this.#depth--;
    if (this.#peek() === '^' || this.#peek() === '$') {
      this.#notRegular(`the anchor ${this.#peek()} inside a group`, 'Put it outside of the group.');
    }
    if (!this.#skip(')')) this.#fail('a group is not closed', 'Add a ).');
    return choice(...options);
  }

  #class(): Pattern {
    this.#place++;
    const isNegated = this.#skip('^');
    const ranges: CodeRange[] = [];
    while (!this.#skip(']')) {
      const first = this.#classAtom();
      const point = onlyPoint(first);
      const isRange = this.#peek() === '-' && this.#peek(1) !== ']' && this.#peek(1) !== '';
      if (!isRange || point === null) {
        ranges.push(...first);
        continue;
      }
      this.#place++;
      const second = this.#classAtom();
      const last = onlyPoint(second);
      if (last === null) ranges.push(...first, [0x2d, 0x2d], ...second);
      else if (last < point) this.#fail('a range has its ends reversed', 'Swap its ends.');
      else ranges.push([point, last]);
    }
    return characters(...(isNegated ? complementOf(ranges) : ranges));
  }

  #classAtom(): readonly CodeRange[] {
    const next = this.#take();
    if (next === '') this.#fail('a class is not closed', 'Add a ].');
    if (next === '\\') {
      if (this.#skip('b')) return [[0x08, 0x08]];
      return this.#escape();
    }
    const point = next.codePointAt(0) as number;
    return [[point, point]];
  }

  /** Behind the backslash. */
  #escape(): readonly CodeRange[] {
    const letter = this.#take();
    const control = CONTROL_ESCAPES[letter];
    if (control !== undefined) return [[control, control]];
    switch (letter) {
      case '':
        return this.#fail('the expression ends in a backslash', 'Write \\\\ for the character.');
      case 'd':
        return DIGITS;
      case 'D':
        return complementOf(DIGITS);
      case 'w':
        return WORD_CHARACTERS;
      case 'W':
        return complementOf(WORD_CHARACTERS);
      case 's':
        return WHITE_SPACE;
      case 'S':
        return complementOf(WHITE_SPACE);
      case 'p':
      case 'P':
        return this.#property(letter);
      case 'b':
      case 'B':
        return this.#notRegular(`the word boundary \\${letter}`, 'Write out what lies beside it.');
      case 'k':
        return this.#notRegular('the back reference \\k', 'Write out what it repeats.');
      case '0':
      case 'x':
      case 'u':
      case 'c': {
        const point = this.#codePoint(letter);
        return [[point, point]];
      }
      default: {
        if (/[1-9]/.test(letter)) {
          this.#notRegular(`the back reference \\${letter}`, 'Write out what it repeats.');
        }
        if (/[A-Za-z]/.test(letter)) {
          this.#fail(`\\${letter} is no escape`, `Write ${letter} for the character.`);
        }
        const point = letter.codePointAt(0) as number;
        return [[point, point]];
      }
    }
  }

  #codePoint(letter: '0' | 'x' | 'u' | 'c'): number {
    if (letter === '0') {
      if (/\d/.test(this.#peek())) this.#fail('octal escapes are not read', 'Write \\xHH.');
      return 0;
    }
    if (letter === 'c') {
      const match = this.#match(/^[A-Za-z]/);
      if (match === null) this.#fail('\\c needs a letter', 'Write \\cA … \\cZ.');
      return (match[0].codePointAt(0) as number) % 32;
    }
    if (letter === 'x') {
      const match = this.#match(/^[\da-fA-F]{2}/);
      if (match === null) this.#fail('\\x needs two hexadecimal digits', 'Write \\xHH.');
      return Number.parseInt(match[0], 16);
    }
    const pair = this.#match(/^([dD][89abAB][\da-fA-F]{2})\\u([dD][c-fC-F][\da-fA-F]{2})/);
    if (pair !== null) {
      const [high, low] = [Number.parseInt(pair[1] ?? '', 16), Number.parseInt(pair[2] ?? '', 16)];
      return 0x10000 + (high - 0xd800) * 0x400 + (low - 0xdc00);
    }
    const match = this.#match(/^(?:\{([\da-fA-F]{1,6})\}|([\da-fA-F]{4}))/);
    const point = Number.parseInt(match?.[1] ?? match?.[2] ?? 'ffffffff', 16);
    if (point > MAX_CODE_POINT || (point >= 0xd800 && point <= 0xdfff)) {
      this.#fail('\\u does not name a character', 'Write \\uHHHH or \\u{HHHHHH}.');
    }
    return point;
  }

  #property(letter: 'p' | 'P'): readonly CodeRange[] {
    const match = this.#match(/^\{([\w=]+)\}/);
    const ranges = match === null ? null : rangesOfProperty(match[1] ?? '');
    if (ranges === null) {
      this.#fail(
        '\\p names no Unicode property',
        'Write a name such as \\p{L} or \\p{Script=Han}.',
      );
    }
    return letter === 'p' ? ranges : complementOf(ranges);
  }
}

function onlyPoint(ranges: readonly CodeRange[]): number | null {
  const [first] = ranges;
  return ranges.length === 1 && first !== undefined && first[0] === first[1] ? first[0] : null;
}
