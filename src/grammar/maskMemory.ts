/**
 * What the masks of all grammars of a vocabulary take together. A server meets one grammar after
 * the other, so a bound for each would be no bound: beyond this one all of them forget, and find
 * anew what they still need. Bytes of grammars that are gone count until the next forgetting.
 */

/** Few tokens as a list, many as a mask. */
export interface TokenSet {
  readonly count: number;
  readonly first: number;
  readonly list: Int32Array | null;
  readonly mask: Uint32Array | null;
}

/** Of a walk over the vocabulary’s tree: what it allows, and where its rule may end. */
export interface Walked {
  readonly tokens: TokenSet;
  readonly exitNodes: Int32Array;
}

const MAX_BYTES = 256 * 2 ** 20;

export class MaskMemory {
  /** Walks of rules that stand on their own, by the rule's automaton; for all grammars. */
  readonly shared: Map<string, (Walked | undefined)[]> = new Map();
  readonly #maxBytes: number;
  #numBytes = 0;
  #generation = 0;

  constructor(maxBytes: number = MAX_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** What was kept under an earlier one is to be forgotten. */
  get generation(): number {
    return this.#generation;
  }

  add(bytes: number): void {
    this.#numBytes += bytes;
    if (this.#numBytes <= this.#maxBytes) return;
    this.#numBytes = 0;
    this.#generation++;
    this.shared.clear();
  }
}
