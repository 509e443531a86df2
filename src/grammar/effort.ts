/**
 * How much work one grammar may make. Grammars come from strangers, and while one is compiled, or a
 * mask of it is found, the engine decides nobody's tokens; so work is counted, in units that its
 * time follows, and a grammar that makes too much is refused. A count and no clock: the same
 * grammar is refused on every machine.
 *
 * `node bench/grammarMasks.ts` shows under `hostile` what the bounds come to in seconds.
 */
import { MoebiusError } from '../base/errors.ts';

/** States, members of subsets and rows of tables, of all automata of a grammar. */
const MAX_COMPILING = 2_000_000;
/** States of all places that the walks for one mask meet for the first time. */
const MAX_WALKING = 1_000_000;

interface Work {
  left: number;
  readonly refuse: () => never;
}

/** All of it is synchronous, so there is one at a time; what nobody bounds is free. */
let work: Work | null = null;

/** @throws grammar.tooLarge for too much work, grammar.tooDeep where parts nest too deep */
export function withinCompiling<T>(compile: () => T): T {
  try {
    return within({ left: MAX_COMPILING, refuse: refuseCompiling }, compile);
  } catch (error) {
    // A grammar is followed by recursion: how deep, its author decides.
    if (!(error instanceof RangeError && /call stack/.test(error.message))) throw error;
    throw new MoebiusError('grammar.tooDeep', 'the grammar nests too deep, or has too many parts', {
      hint: 'Name parts of it as rules of their own, or as $defs, and nest them less.',
    });
  }
}

/** @throws grammar.tooAmbiguous */
export function withinWalking<T>(walk: () => T): T {
  return within({ left: MAX_WALKING, refuse: () => refuseAmbiguity({ work: MAX_WALKING }) }, walk);
}

/** @throws what the work under way is refused with once it was too much */
export function spendEffort(units: number): void {
  if (work === null) return;
  work.left -= units;
  if (work.left < 0) work.refuse();
}

/** Texts that are grammars are read character by character. @throws grammar.tooLarge */
export function refuseTooLong(text: string, maxLength: number): void {
  if (text.length <= maxLength) return;
  throw new MoebiusError(
    'grammar.tooLarge',
    `the grammar has ${text.length} characters, more than ${maxLength}`,
    { values: { length: text.length, maxLength }, hint: 'Write less of it, or several grammars.' },
  );
}

export function refuseAmbiguity(limits: Readonly<Record<string, number>>): never {
  throw new MoebiusError(
    'grammar.tooAmbiguous',
    'the grammar can read the text so far in too many ways at once',
    {
      values: limits,
      hint: 'Rewrite rules that match the same text in several ways, such as (a* b*)*.',
    },
  );
}

function refuseCompiling(): never {
  throw new MoebiusError('grammar.tooLarge', 'the grammar takes too long to compile', {
    values: { maxWork: MAX_COMPILING },
    hint: 'Use fewer or simpler patterns, and lower bounds (maxLength, maxItems, {m,n}).',
  });
}

function within<T>(bounded: Work, run: () => T): T {
  const outer = work;
  work = bounded;
  try {
    return run();
  } finally {
    work = outer;
  }
}
