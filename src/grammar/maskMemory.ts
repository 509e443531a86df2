/**
 * What the masks of all grammars of a vocabulary take together. A server meets one grammar after the
 * other, so a bound for each would be no bound: beyond this one all of them forget, and find anew
 * what they still need.
 */
import type { Walked } from './maskCache.ts';

const MAX_BYTES = 256 * 2 ** 20;

export class MaskMemory {
  /** Walks of rules that stand on their own, by the rule's automaton; for all grammars. */
  readonly shared: Map<string, (Walked | undefined)[]> = new Map();
  #numBytes = 0;
  #generation = 0;

  /** What was kept under an earlier one is to be forgotten. */
  get generation(): number {
    return this.#generation;
  }

  add(bytes: number): void {
    this.#numBytes += bytes;
    if (this.#numBytes <= MAX_BYTES) return;
    this.#numBytes = 0;
    this.#generation++;
    this.shared.clear();
  }
}
