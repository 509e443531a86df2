/**
 * What all grammars are translated to first: regular expressions over characters, with calls of
 * rules (for what nests) and control tokens beside the characters.
 *
 * Characters are Unicode scalar values, which UTF-8 can spell; `nfa.ts` turns them into bytes.
 */
import type { Automaton } from './automaton.ts';

/** First and last code point. */
export type CodeRange = readonly [first: number, last: number];

export type Pattern =
  | { readonly kind: 'text'; readonly text: string }
  /** One character of sorted, disjoint ranges. */
  | { readonly kind: 'class'; readonly ranges: readonly CodeRange[] }
  | { readonly kind: 'sequence'; readonly parts: readonly Pattern[] }
  | { readonly kind: 'choice'; readonly options: readonly Pattern[] }
  | {
      readonly kind: 'repeat';
      readonly body: Pattern;
      readonly min: number;
      /** May be Infinity. */
      readonly max: number;
    }
  | { readonly kind: 'rule'; readonly name: string }
  | { readonly kind: 'control'; readonly id: number }
  | MembersPattern
  | { readonly kind: 'automaton'; readonly automaton: Automaton };

/**
 * A list in a fixed order, of which optional ones may be missing, with separators between. At least
 * one comes.
 */
export interface MembersPattern {
  readonly kind: 'members';
  readonly members: readonly { readonly pattern: Pattern; readonly isOptional: boolean }[];
  readonly separator: Pattern;
  /** Any number of these may follow. */
  readonly extra: Pattern | null;
}

/** Rules by name, and the one that a text is. */
export interface RuleSet {
  readonly rules: ReadonlyMap<string, Pattern>;
  readonly root: string;
}

export const EMPTY: Pattern = { kind: 'sequence', parts: [] };
/** Nothing matches it, not even the empty text. */
export const NOTHING: Pattern = { kind: 'choice', options: [] };
export const MAX_CODE_POINT = 0x10ffff;
/** Surrogates are no characters. */
export const ALL_CHARACTERS: readonly CodeRange[] = [
  [0, 0xd7ff],
  [0xe000, MAX_CODE_POINT],
];
export const ANY_CHARACTER: Pattern = { kind: 'class', ranges: ALL_CHARACTERS };

export function text(value: string): Pattern {
  return { kind: 'text', text: value };
}

export function characters(...ranges: readonly CodeRange[]): Pattern {
  return { kind: 'class', ranges: sortedRanges(ranges) };
}

export function sequence(...parts: readonly Pattern[]): Pattern {
  return parts.length === 1 ? (parts[0] as Pattern) : { kind: 'sequence', parts };
}

export function choice(...options: readonly Pattern[]): Pattern {
  return options.length === 1 ? (options[0] as Pattern) : { kind: 'choice', options };
}

export function repeat(body: Pattern, min: number, max: number): Pattern {
  return { kind: 'repeat', body, min, max };
}

export function optional(body: Pattern): Pattern {
  return repeat(body, 0, 1);
}

export function rule(name: string): Pattern {
  return { kind: 'rule', name };
}

/** Sorted, disjoint, without surrogates. */
export function sortedRanges(ranges: readonly CodeRange[]): readonly CodeRange[] {
  const sorted = ranges.toSorted(([a], [b]) => a - b);
  const merged: [number, number][] = [];
  for (const [first, last] of sorted) {
    const previous = merged.at(-1);
    if (previous !== undefined && first <= previous[1] + 1) {
      previous[1] = Math.max(previous[1], last);
    } else merged.push([first, last]);
  }
  return merged.flatMap(([first, last]): CodeRange[] => {
    if (last < 0xd800 || first > 0xdfff) return [[first, last]];
    const halves: CodeRange[] = [
      [first, 0xd7ff],
      [0xe000, last],
    ];
    return halves.filter(([from, to]) => from <= to);
  });
}

/** All characters but these. */
export function complementOf(ranges: readonly CodeRange[]): readonly CodeRange[] {
  const rest: CodeRange[] = [];
  let from = 0;
  for (const [first, last] of sortedRanges(ranges)) {
    if (from < first) rest.push([from, first - 1]);
    from = last + 1;
  }
  if (from <= MAX_CODE_POINT) rest.push([from, MAX_CODE_POINT]);
  return sortedRanges(rest);
}

/** The patterns directly inside. */
export function partsOf(pattern: Pattern): readonly Pattern[] {
  switch (pattern.kind) {
    case 'sequence':
      return pattern.parts;
    case 'choice':
      return pattern.options;
    case 'repeat':
      return [pattern.body];
    case 'members':
      return [
        ...pattern.members.map((member) => member.pattern),
        pattern.separator,
        ...(pattern.extra === null ? [] : [pattern.extra]),
      ];
    case 'text':
    case 'class':
    case 'rule':
    case 'control':
    case 'automaton':
      return [];
    default:
      return pattern satisfies never;
  }
}

/** The same with each part replaced. */
export function mapParts(pattern: Pattern, replace: (part: Pattern) => Pattern): Pattern {
  switch (pattern.kind) {
    case 'sequence':
      return { kind: 'sequence', parts: pattern.parts.map(replace) };
    case 'choice':
      return { kind: 'choice', options: pattern.options.map(replace) };
    case 'repeat':
      return { ...pattern, body: replace(pattern.body) };
    case 'members':
      return {
        kind: 'members',
        members: pattern.members.map((member) => ({
          pattern: replace(member.pattern),
          isOptional: member.isOptional,
        })),
        separator: replace(pattern.separator),
        extra: pattern.extra === null ? null : replace(pattern.extra),
      };
    case 'text':
    case 'class':
    case 'rule':
    case 'control':
    case 'automaton':
      return pattern;
    default:
      return pattern satisfies never;
  }
}
