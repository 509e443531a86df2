/** Cutting a text at the matches of a pattern, with the five behaviours Hugging Face files name. */
import { asObject, asString, wrongShape } from './jsonFields.ts';
import { compileLiteral, compileOniguruma } from './oniguruma.ts';

const BEHAVIORS = [
  'Removed',
  'Isolated',
  'MergedWithPrevious',
  'MergedWithNext',
  'Contiguous',
] as const;

/**
 * What becomes of a match, for `-` in `a--b`: Removed `a b`, Isolated `a - - b`,
 * MergedWithPrevious `a- - b`, MergedWithNext `a - -b`, Contiguous `a -- b`.
 */
export type SplitBehavior = (typeof BEHAVIORS)[number];

export interface SplitRule {
  readonly pattern: RegExp;
  readonly behavior: SplitBehavior;
  /** Swaps what counts as the match and what lies between matches. */
  readonly isInverted: boolean;
}

/** A file's `{"Regex": …}` or `{"String": …}`. */
export function readPattern(value: unknown, path: string): RegExp {
  const config = asObject(value, path);
  if (config.Regex !== undefined) return compileOniguruma(asString(config.Regex, `${path}.Regex`));
  return compileLiteral(asString(config.String, `${path}.String`));
}

export function readBehavior(value: unknown, path: string): SplitBehavior {
  const known = BEHAVIORS.find((one) => one === value);
  if (known === undefined) throw wrongShape(value, path, `one of ${BEHAVIORS.join(', ')}`);
  return known;
}

interface Cut {
  start: number;
  end: number;
  readonly isMatch: boolean;
}

/** The pieces of `text`, in order, without empty ones. */
export function splitText(text: string, rule: SplitRule): string[] {
  const cuts = arrange(cutAtMatches(text, rule), rule.behavior);
  const pieces: string[] = [];
  for (const { start, end } of cuts) if (end > start) pieces.push(text.slice(start, end));
  return pieces;
}

/** Matches and the stretches between them; together they cover the text. */
function cutAtMatches(text: string, { pattern, isInverted }: SplitRule): Cut[] {
  const cuts: Cut[] = [];
  let done = 0;
  for (const match of text.matchAll(pattern)) {
    const start = match.index;
    const end = start + match[0].length;
    if (start > done) cuts.push({ start: done, end: start, isMatch: isInverted });
    cuts.push({ start, end, isMatch: !isInverted });
    done = end;
  }
  if (done < text.length) cuts.push({ start: done, end: text.length, isMatch: isInverted });
  return cuts;
}

function arrange(cuts: Cut[], behavior: SplitBehavior): Cut[] {
  switch (behavior) {
    case 'Isolated':
      return cuts;
    case 'Removed':
      return cuts.filter((cut) => !cut.isMatch);
    case 'Contiguous':
      return joinInto(cuts, (cut, before) => cut.isMatch === before.isMatch);
    case 'MergedWithPrevious':
      return joinInto(cuts, (cut, before) => cut.isMatch && !before.isMatch);
    case 'MergedWithNext':
      return joinInto(cuts.reverse(), (cut, before) => cut.isMatch && !before.isMatch).reverse();
    default:
      return behavior satisfies never;
  }
}

/** Joins each cut to the one before it in the list (which may run backwards) where `joins` says. */
function joinInto(cuts: readonly Cut[], joins: (cut: Cut, before: Cut) => boolean): Cut[] {
  const joined: Cut[] = [];
  let before: Cut | undefined;
  for (const cut of cuts) {
    const last = joined.at(-1);
    if (before !== undefined && last !== undefined && joins(cut, before)) {
      last.start = Math.min(last.start, cut.start);
      last.end = Math.max(last.end, cut.end);
    } else {
      joined.push({ ...cut });
    }
    before = cut;
  }
  return joined;
}
