/**
 * Grammars as llama.cpp's GBNF writes them, and two things more:
 *
 *   root    ::= ~"<call>" "<call>" name ( "(" number{1,3} ")" )?   # a comment
 *   name    ::= [a-zA-Z_] [a-zA-Z0-9_]* | <[<｜tool▁sep｜>]>
 *   number  ::= "-"? [0-9]+
 *
 * `<[text]>` is the control token spelled so; `~"text"` is any text in which that text is not
 * found. `.` is any character. A rule ends where the next `name ::=` begins.
 */
import { MoebiusError, nearestName } from '../base/errors.ts';
import { refuseTooLong } from './effort.ts';
import {
  ANY_CHARACTER,
  type CodeRange,
  characters,
  choice,
  complementOf,
  MAX_CODE_POINT,
  type Pattern,
  repeat,
  rule,
  sequence,
  text,
} from './pattern.ts';
import { textWithout } from './textWithout.ts';

export interface EbnfOptions {
  /** The id of a control token, or a refusal. */
  readonly controlId: (spelling: string) => number;
  /** Rules that are defined elsewhere. */
  readonly outside?: ReadonlySet<string>;
}

/** @throws grammar.badEbnf, grammar.unknownRule, grammar.duplicateRule, grammar.tooLarge */
export function parseEbnf(source: string, options: EbnfOptions): ReadonlyMap<string, Pattern> {
  return new EbnfParser(source, options).rules();
}

const NAME = /[A-Za-z_][\w-]*/y;
const DEFINITION = /([A-Za-z_][\w-]*)\s*::=/y;
const SPACE = /(?:\s|#[^\n]*)*/y;
const BOUNDS = /\{\s*(?:(\d+)\s*(?:(,)\s*(\d*))?|,\s*(\d+))\s*\}/y;
const CONTROL = /<\[([\s\S]+?)\]>/y;

const MAX_LENGTH = 262_144;

class EbnfParser {
  readonly #source: string;
  readonly #options: EbnfOptions;
  readonly #uses: { readonly name: string; readonly place: number }[] = [];
  #place = 0;
  #depth = 0;

  constructor(source: string, options: EbnfOptions) {
    refuseTooLong(source, MAX_LENGTH);
    this.#source = source;
    this.#options = options;
  }

  rules(): ReadonlyMap<string, Pattern> {
    const rules = new Map<string, Pattern>();
    this.#match(SPACE);
    while (this.#place < this.#source.length) {
      const definition = this.#match(DEFINITION);
      if (definition === null) this.#fail('a rule is expected', 'Write name ::= …');
      const name = definition[1] ?? '';
      if (rules.has(name)) {
        throw new MoebiusError('grammar.duplicateRule', `the rule ${name} is defined twice`, {
          values: { rule: name },
          hint: 'Join the definitions with |.',
        });
      }
      this.#match(SPACE);
      rules.set(name, this.#alternatives());
    }
    const known = new Set([...rules.keys(), ...(this.#options.outside ?? [])]);
    for (const { name } of this.#uses) if (!known.has(name)) refuseUnknownRule(name, known);
    return rules;
  }

  #match(expression: RegExp): RegExpExecArray | null {
    expression.lastIndex = this.#place;
    const match = expression.exec(this.#source);
    if (match !== null) this.#place += match[0].length;
    return match;
  }

  #peek(): string {
    return this.#source[this.#place] ?? '';
  }

  #skip(wanted: string): boolean {
    if (!this.#source.startsWith(wanted, this.#place)) return false;
    this.#place += wanted.length;
    return true;
  }

  #fail(problem: string, hint: string): never {
    const before = this.#source.slice(0, this.#place).split('\n');
    const [line, column] = [before.length, (before.at(-1) ?? '').length + 1];
    throw new MoebiusError(
      'grammar.badEbnf',
      `grammar, line ${line}, column ${column}: ${problem}`,
      { values: { line, column, text: this.#source.split('\n')[line - 1] ?? '' }, hint },
    );
  }

  #alternatives(): Pattern {
    const options = [this.#terms()];
    while (this.#skip('|')) {
      this.#match(SPACE);
      options.push(this.#terms());
    }
    return choice(...options);
  }

  #terms(): Pattern {
    const parts: Pattern[] = [];
    for (;;) {
      this.#match(SPACE);
      const next = this.#peek();
      if (next === '' || next === '|' || next === ')' || this.#isDefinition()) break;
      parts.push(this.#quantified(this.#atom()));
    }
    return sequence(...parts);
  }

  #isDefinition(): boolean {
    DEFINITION.lastIndex = this.#place;
    return DEFINITION.test(this.#source);
  }

  #quantified(atom: Pattern): Pattern {
    let pattern = atom;
    for (;;) {
      this.#match(SPACE);
      if (this.#skip('*')) pattern = repeat(pattern, 0, Number.POSITIVE_INFINITY);
      else if (this.#skip('+')) pattern = repeat(pattern, 1, Number.POSITIVE_INFINITY);
      else if (this.#skip('?')) pattern = repeat(pattern, 0, 1);
      else if (this.#peek() === '{') pattern = this.#bounded(pattern);
      else return pattern;
    }
  }

  #bounded(pattern: Pattern): Pattern {
    const match = this.#match(BOUNDS);
    if (match === null) this.#fail('a { begins no bounds', 'Write {m}, {m,} or {m,n}.');
    const min = Number(match[1] ?? 0);
    let max = min;
    if (match[4] !== undefined) max = Number(match[4]);
    else if (match[2] !== undefined) max = match[3] ? Number(match[3]) : Number.POSITIVE_INFINITY;
    if (max < min) this.#fail(`{${min},${max}} has its bounds reversed`, 'Swap the bounds.');
    return repeat(pattern, min, max);
  }

  #atom(): Pattern {
    if (this.#peek() === '"') return text(this.#literal());
    if (this.#peek() === '[') return this.#class();
    if (this.#skip('.')) return ANY_CHARACTER;
    if (this.#skip('~')) {
      if (this.#peek() !== '"') this.#fail('~ needs a literal', 'Write ~"text".');
      const stop = this.#literal();
      if (stop === '') this.#fail('every text has the empty text in it', 'Write ~"text".');
      return textWithout(stop);
    }
    if (this.#skip('(')) {
      if (++this.#depth > 200) this.#fail('groups are nested too deep', 'Nest at most 200.');
      this.#match(SPACE);
      const inner = this.#alternatives();
      this.#depth--;
      if (!this.#skip(')')) this.#fail('a group is not closed', 'Add a ).');
      return inner;
    }
    const control = this.#match(CONTROL);
    if (control !== null) {
      return { kind: 'control', id: this.#options.controlId(control[1] ?? '') };
    }
    const place = this.#place;
    const name = this.#match(NAME);
    if (name !== null) {
      this.#uses.push({ name: name[0], place });
      return rule(name[0]);
    }
    const hint = 'Write "text", [a-z], a rule, ( ), <[control token]>, or ~"text".';
    return this.#fail(`${this.#peek()} begins nothing that a rule can have`, hint);
  }

  #literal(): string {
    this.#place++;
    let value = '';
    while (!this.#skip('"')) {
      const next = this.#peek();
      if (next === '' || next === '\n') this.#fail('a literal is not closed', 'Add a ".');
      value += String.fromCodePoint(this.#character());
    }
    return value;
  }

  #class(): Pattern {
    this.#place++;
    const isNegated = this.#skip('^');
    const ranges: CodeRange[] = [];
    while (!this.#skip(']')) {
      if (this.#peek() === '') this.#fail('a class is not closed', 'Add a ].');
      const first = this.#character();
      let last = first;
      const isRange = this.#peek() === '-' && this.#source[this.#place + 1] !== ']';
      if (isRange) {
        this.#place++;
        if (this.#peek() === '') this.#fail('a class is not closed', 'Add a ].');
        last = this.#character();
      }
      if (last < first) this.#fail('a range has its ends reversed', 'Swap its ends.');
      ranges.push([first, last]);
    }
    return characters(...(isNegated ? complementOf(ranges) : ranges));
  }

  #character(): number {
    if (!this.#skip('\\')) {
      const point = this.#source.codePointAt(this.#place) as number;
      this.#place += point > 0xffff ? 2 : 1;
      return this.#checked(point);
    }
    const letter = this.#peek();
    this.#place++;
    switch (letter) {
      case 'n':
        return 0x0a;
      case 't':
        return 0x09;
      case 'r':
        return 0x0d;
      case 'x':
        return this.#hexadecimal(2);
      case 'u':
        return this.#hexadecimal(4);
      case 'U':
        return this.#hexadecimal(8);
      default:
        if (letter !== '' && !/[\w\s]/.test(letter)) return letter.codePointAt(0) as number;
        return this.#fail(
          `\\${letter} is no escape`,
          'Escapes are \\n \\t \\r \\xHH \\uHHHH \\UHHHHHHHH and \\ before a sign.',
        );
    }
  }

  #hexadecimal(digits: number): number {
    const spelled = this.#source.slice(this.#place, this.#place + digits);
    if (!/^[\da-fA-F]+$/.test(spelled) || spelled.length < digits) {
      this.#fail(`${digits} hexadecimal digits are expected`, 'Fill up with zeros.');
    }
    this.#place += digits;
    return this.#checked(Number.parseInt(spelled, 16));
  }

  #checked(point: number): number {
    if (point > MAX_CODE_POINT || (point >= 0xd800 && point <= 0xdfff)) {
      this.#fail('this is no character of Unicode', 'Write one up to U+10FFFF, no surrogate.');
    }
    return point;
  }
}

function refuseUnknownRule(name: string, known: ReadonlySet<string>): never {
  const nearest = nearestName(name, known);
  throw new MoebiusError('grammar.unknownRule', `the grammar has no rule ${name}`, {
    values: { rule: name, known: [...known] },
    hint: nearest === undefined ? `Define ${name} ::= …` : `Write ${nearest}, or define ${name}.`,
  });
}
