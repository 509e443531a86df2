/**
 * Classes of code points, from the engine's own Unicode data: the answers equal `\p{…}` of a
 * regular expression in the same engine, because that is where they come from.
 */

/** Code points are classified this many at a time; it divides the planes and the surrogates. */
export const CLASS_BLOCK = 128;

/** A bit, and the pattern (global, Unicode-aware, of the form `…+`) whose matches have it. */
export type ClassRule = readonly [bit: number, runs: RegExp];

/** Adds the rules' bits to `table[p]` for the code points p of the block that `codePoint` is in. */
export function classifyBlock(
  table: Uint8Array,
  codePoint: number,
  rules: readonly ClassRule[],
): void {
  const first = codePoint - (codePoint % CLASS_BLOCK);
  const units = first < 0x10000 ? 1 : 2;
  const points = Array.from({ length: CLASS_BLOCK }, (_, i) => first + i);
  const text = String.fromCodePoint(...points);
  for (const [bit, runs] of rules) {
    for (const run of text.matchAll(runs)) {
      const from = first + run.index / units;
      const to = from + run[0].length / units;
      for (let point = from; point < to; point++) table[point] = (table[point] as number) | bit;
    }
  }
}
