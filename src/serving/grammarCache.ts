/**
 * Grammars that were compiled, kept for the next request that asks for the same: bounded in bytes,
 * since whoever sends requests chooses them. Masks are bounded by themselves (`MaskMemory`).
 */
import { MoebiusError } from '../base/errors.ts';
import type { CompiledGrammar, GrammarSpec } from '../grammar/grammar.ts';

export interface GrammarLimits {
  readonly maxKept: number;
  /** Of those that are kept, their specs included; the newest is kept whatever it takes. */
  readonly maxKeptBytes: number;
  /** While those that texts follow take more, no new one is compiled. */
  readonly maxBusyBytes: number;
}

export const GRAMMAR_LIMITS: GrammarLimits = {
  maxKept: 64,
  maxKeptBytes: 256 * 2 ** 20,
  maxBusyBytes: 1024 * 2 ** 20,
};

export class GrammarCache {
  readonly #compile: (spec: GrammarSpec) => CompiledGrammar;
  readonly #limits: GrammarLimits;
  /** By the spec's text; the longest unused first. */
  readonly #kept = new Map<string, CompiledGrammar>();

  constructor(
    compile: (spec: GrammarSpec) => CompiledGrammar,
    limits: GrammarLimits = GRAMMAR_LIMITS,
  ) {
    this.#compile = compile;
    this.#limits = limits;
  }

  /**
   * @param busy the grammars that texts follow now
   * @throws grammar.*, engine.grammarsFull
   */
  get(spec: GrammarSpec, busy: Iterable<CompiledGrammar>): CompiledGrammar {
    const key = JSON.stringify(spec);
    const known = this.#kept.get(key);
    if (known === undefined) this.#refuseWhenFull(busy);
    const grammar = known ?? this.#compile(spec);
    this.#kept.delete(key);
    this.#kept.set(key, grammar);
    this.#forgetOldest();
    return grammar;
  }

  #refuseWhenFull(busy: Iterable<CompiledGrammar>): void {
    let busyBytes = 0;
    for (const { numBytes } of new Set(busy)) busyBytes += numBytes;
    const { maxBusyBytes } = this.#limits;
    if (busyBytes <= maxBusyBytes) return;
    throw new MoebiusError('engine.grammarsFull', 'the grammars under way take too much memory', {
      values: { busyBytes, maxBusyBytes, retryAfterSeconds: 5 },
      hint: 'Ask again when other requests have ended, or for a grammar that is in use.',
    });
  }

  #forgetOldest(): void {
    const { maxKept, maxKeptBytes } = this.#limits;
    let numBytes = 0;
    for (const [key, grammar] of this.#kept) numBytes += keptBytes(key, grammar);
    for (const [key, grammar] of this.#kept) {
      const fits = numBytes <= maxKeptBytes && this.#kept.size <= maxKept;
      if (fits || this.#kept.size === 1) return;
      this.#kept.delete(key);
      numBytes -= keptBytes(key, grammar);
    }
  }
}

function keptBytes(key: string, { numBytes }: CompiledGrammar): number {
  return 2 * key.length + numBytes;
}
