/** The named classes of regular expressions, as ECMAScript's Unicode mode has them. */
import type { CodeRange } from './pattern.ts';

export const DIGITS: readonly CodeRange[] = [[0x30, 0x39]];

export const WORD_CHARACTERS: readonly CodeRange[] = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
];

export const WHITE_SPACE: readonly CodeRange[] = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];

export const LINE_ENDS: readonly CodeRange[] = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
];

const BLOCK = 4096;
const propertyRanges = new Map<string, readonly CodeRange[]>();

/**
 * The characters of `\p{…}`, asked of the engine's own regular expressions.
 *
 * @returns null where the engine knows no such property
 */
export function rangesOfProperty(property: string): readonly CodeRange[] | null {
  const known = propertyRanges.get(property);
  if (known !== undefined) return known;
  let runs: RegExp;
  try {
    runs = new RegExp(`\\p{${property}}+`, 'gu');
  } catch {
    return null;
  }
  const ranges: CodeRange[] = [];
  for (let first = 0; first < 0x110000; first += BLOCK) {
    // Half of a pair is no character, and two halves side by side would be read as one.
    if (first >= 0xd000 && first < 0xe000) {
      ranges.push(...rangesOfBlock(runs, first, 0x800));
    } else ranges.push(...rangesOfBlock(runs, first, BLOCK));
  }
  propertyRanges.set(property, ranges);
  return ranges;
}

function rangesOfBlock(runs: RegExp, first: number, count: number): readonly CodeRange[] {
  const units = first < 0x10000 ? 1 : 2;
  const text = String.fromCodePoint(...Array.from({ length: count }, (_, i) => first + i));
  return [...text.matchAll(runs)].map((run): CodeRange => {
    const from = first + run.index / units;
    return [from, from + run[0].length / units - 1];
  });
}
