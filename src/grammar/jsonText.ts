/**
 * JSON's own grammar (RFC 8259), with the white space that models write and no more: none or one
 * space, or a line break and an indentation. What may repeat without end inside a text would let a
 * model write nothing else.
 *
 * Strings are UTF-8 with all escapes of JSON, but no half of a surrogate pair. Where a string's
 * content is constrained, each character has one spelling: itself where it may, else the shortest
 * escape (`spelledInJson`).
 */
import {
  ALL_CHARACTERS,
  type CodeRange,
  characters,
  choice,
  complementOf,
  mapParts,
  optional,
  type Pattern,
  repeat,
  rule,
  sequence,
  text,
} from './pattern.ts';

export const MAX_INDENT_SPACES = 64;
export const MAX_INDENT_TABS = 16;

const MUST_ESCAPE: readonly CodeRange[] = [
  [0x00, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
];
const RAW_RANGES = complementOf(MUST_ESCAPE);
const RAW_CHARACTER = characters(...RAW_RANGES);
const DIGIT = characters([0x30, 0x39]);
const HEX = characters([0x30, 0x39], [0x41, 0x46], [0x61, 0x66]);
const ENDLESS = Number.POSITIVE_INFINITY;

export const WHITE_SPACE_RULE: Pattern = rule('json white space');
export const STRING_RULE: Pattern = rule('json string');
export const STRING_CHARACTER_RULE: Pattern = rule('json string character');
export const NUMBER_RULE: Pattern = rule('json number');
export const INTEGER_RULE: Pattern = rule('json integer');
export const VALUE_RULE: Pattern = rule('json value');
export const OBJECT_RULE: Pattern = rule('json object');
export const ARRAY_RULE: Pattern = rule('json array');
export const BOOLEAN: Pattern = choice(text('true'), text('false'));
export const NULL: Pattern = text('null');
export const COMMA: Pattern = sequence(text(','), WHITE_SPACE_RULE);
export const COLON: Pattern = sequence(text(':'), optional(text(' ')));

/** The rules that the patterns above name; nobody else's rule begins with `json `. */
export function jsonRules(): Map<string, Pattern> {
  return new Map([
    ['json white space', whiteSpace()],
    ['json string', sequence(text('"'), repeat(stringCharacter(), 0, ENDLESS), text('"'))],
    ['json string character', stringCharacter()],
    ['json number', number()],
    ['json integer', integer()],
    ['json value', choice(OBJECT_RULE, ARRAY_RULE, STRING_RULE, NUMBER_RULE, BOOLEAN, NULL)],
    [
      'json object',
      bracketed('{', '}', listOf(sequence(STRING_RULE, COLON, VALUE_RULE)), 'optional'),
    ],
    ['json array', bracketed('[', ']', listOf(VALUE_RULE), 'optional')],
  ]);
}

/** Brackets and white space around a content; an optional one may be missing. */
export function bracketed(
  open: string,
  close: string,
  content: Pattern,
  presence: 'optional' | 'required',
): Pattern {
  const inner = sequence(content, WHITE_SPACE_RULE);
  return sequence(
    text(open),
    WHITE_SPACE_RULE,
    presence === 'optional' ? optional(inner) : inner,
    text(close),
  );
}

/** One or more with commas between. */
function listOf(item: Pattern): Pattern {
  return sequence(item, repeat(sequence(COMMA, item), 0, ENDLESS));
}

function whiteSpace(): Pattern {
  const indent = choice(
    repeat(text(' '), 0, MAX_INDENT_SPACES),
    repeat(text('\t'), 1, MAX_INDENT_TABS),
  );
  return optional(choice(text(' '), sequence(text('\n'), indent)));
}

function stringCharacter(): Pattern {
  const highHalf = sequence(characters([0x44, 0x44], [0x64, 0x64]), characters(...hexOf('89ab')));
  const lowHalf = sequence(characters([0x44, 0x44], [0x64, 0x64]), characters(...hexOf('cdef')));
  const noHalf = choice(
    sequence(characters([0x30, 0x39], ...hexOf('abcef')), HEX),
    sequence(characters([0x44, 0x44], [0x64, 0x64]), characters([0x30, 0x37])),
  );
  const unicode = choice(
    sequence(noHalf, HEX, HEX),
    sequence(highHalf, HEX, HEX, text('\\u'), lowHalf, HEX, HEX),
  );
  const short = characters(...pointsOf('"\\/bfnrt'));
  return choice(RAW_CHARACTER, sequence(text('\\'), choice(short, sequence(text('u'), unicode))));
}

function pointsOf(letters: string): readonly CodeRange[] {
  return [...letters].map((letter): CodeRange => [letter.charCodeAt(0), letter.charCodeAt(0)]);
}

function hexOf(letters: string): readonly CodeRange[] {
  return pointsOf(letters + letters.toUpperCase());
}

function integer(): Pattern {
  const positive = sequence(characters([0x31, 0x39]), repeat(DIGIT, 0, ENDLESS));
  return sequence(optional(text('-')), choice(text('0'), positive));
}

function number(): Pattern {
  const fraction = sequence(text('.'), repeat(DIGIT, 1, ENDLESS));
  const sign = characters(...pointsOf('+-'));
  const exponent = sequence(
    characters(...pointsOf('eE')),
    optional(sign),
    repeat(DIGIT, 1, ENDLESS),
  );
  return sequence(integer(), optional(fraction), optional(exponent));
}

/** A pattern of characters, as a string's content spells it. */
export function spelledInJson(pattern: Pattern): Pattern {
  switch (pattern.kind) {
    case 'text':
      return text(JSON.stringify(pattern.text).slice(1, -1));
    case 'class':
      return spelledClass(pattern.ranges);
    default:
      return mapParts(pattern, spelledInJson);
  }
}

/** Any character, spelled in its one way. */
export const SPELLED_CHARACTER: Pattern = spelledClass(ALL_CHARACTERS);

function spelledClass(ranges: readonly CodeRange[]): Pattern {
  const raw: CodeRange[] = [];
  const escaped: Pattern[] = [];
  for (const [first, last] of ranges) {
    for (const [from, to] of RAW_RANGES) {
      const overlap: CodeRange = [Math.max(first, from), Math.min(last, to)];
      if (overlap[0] <= overlap[1]) raw.push(overlap);
    }
    for (const [from, to] of MUST_ESCAPE) {
      for (let point = Math.max(first, from); point <= Math.min(last, to); point++) {
        escaped.push(text(JSON.stringify(String.fromCharCode(point)).slice(1, -1)));
      }
    }
  }
  return choice(characters(...raw), ...escaped);
}

/** One value, with white space where JSON has it. */
export function valuePattern(value: unknown): Pattern {
  if (Array.isArray(value)) {
    const items = value.map(valuePattern);
    return fixed('[', ']', items);
  }
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(([key, inner]) =>
      sequence(text(JSON.stringify(key)), COLON, valuePattern(inner)),
    );
    return fixed('{', '}', members);
  }
  return text(JSON.stringify(value));
}

function fixed(open: string, close: string, items: readonly Pattern[]): Pattern {
  const separated = items.flatMap((item, i) => (i === 0 ? [item] : [COMMA, item]));
  const inner = items.length === 0 ? [] : [...separated, WHITE_SPACE_RULE];
  return sequence(text(open), WHITE_SPACE_RULE, ...inner, text(close));
}
