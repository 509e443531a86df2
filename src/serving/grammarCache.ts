/**
 * Compiled grammars by what they say, the last used longest. Bounded by number and by the bytes of
 * their tables: every one of them may come from another stranger. Masks are bounded by themselves.
 */
import type { CompiledGrammar, GrammarSpec } from '../grammar/grammar.ts';

export interface GrammarCacheLimits {
  readonly maxGrammars: number;
  readonly maxBytes: number;
}

const LIMITS: GrammarCacheLimits = { maxGrammars: 64, maxBytes: 128 * 2 ** 20 };

export class GrammarCache {
  readonly #limits: GrammarCacheLimits;
  readonly #compile: (spec: GrammarSpec) => CompiledGrammar;
  /** The longest unused first. */
  readonly #known = new Map<string, CompiledGrammar>();
  #numBytes = 0;

  constructor(
    compile: (spec: GrammarSpec) => CompiledGrammar,
    limits: GrammarCacheLimits = LIMITS,
  ) {
    this.#compile = compile;
    this.#limits = limits;
  }

  /** @throws grammar.* */
  get(spec: GrammarSpec): CompiledGrammar {
    const key = JSON.stringify(spec);
    const known = this.#known.get(key);
    const grammar = known ?? this.#compile(spec);
    this.#known.delete(key);
    this.#known.set(key, grammar);
    if (known === undefined) this.#numBytes += key.length + grammar.numBytes;
    const { maxGrammars, maxBytes } = this.#limits;
    for (const [oldest, { numBytes }] of this.#known) {
      const isWithin = this.#known.size <= maxGrammars && this.#numBytes <= maxBytes;
      // The one that is asked for stays, however large.
      if (isWithin || oldest === key) break;
      this.#known.delete(oldest);
      this.#numBytes -= oldest.length + numBytes;
    }
    return grammar;
  }
}
