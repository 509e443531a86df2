/**
 * Which blocks of the latent cache hold which tokens, so that a prompt need not be run again where
 * another one began the same way.
 *
 * A full block is known by the block before it and its own tokens. The key spells both out, so two
 * different texts can never meet in one entry, whatever a caller sends; the first block's key
 * begins with the caller's salt, and requests of different salts never meet at all.
 *
 *     salt ─► [t0 … t63] ─► [t64 … t127] ─► …          an entry is named by a number, never reused
 */
import { assert } from '../../base/assert.ts';

export interface CachedBlock {
  readonly block: number;
  readonly entryId: number;
  /** Whether the caches of the MTP modules hold the same positions. */
  readonly isDrafted: boolean;
}

export class PrefixCache {
  readonly #byKey = new Map<string, CachedBlock>();
  /** By block. */
  readonly #keys = new Map<number, string>();
  #nextEntryId = 0;

  get numBlocks(): number {
    return this.#keys.size;
  }

  has(block: number): boolean {
    return this.#keys.has(block);
  }

  /** The block that holds these tokens behind an entry, or behind a salt at the beginning. */
  find(parent: string | number, ids: readonly number[]): CachedBlock | undefined {
    return this.#byKey.get(keyOf(parent, ids));
  }

  /** @returns the entry that holds these tokens: the block's own, or one that was there before */
  add(
    parent: string | number,
    ids: readonly number[],
    { block, isDrafted }: { block: number; isDrafted: boolean },
  ): CachedBlock {
    const key = keyOf(parent, ids);
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    assert(!this.#keys.has(block), 'a block holds one text');
    const entry = { block, entryId: this.#nextEntryId++, isDrafted };
    this.#byKey.set(key, entry);
    this.#keys.set(block, key);
    return entry;
  }

  /** The block is going to hold something else. */
  forget(block: number): void {
    const key = this.#keys.get(block);
    if (key === undefined) return;
    this.#keys.delete(block);
    this.#byKey.delete(key);
  }
}

/** Entries are numbers and salts are quoted, so no salt reads as an entry. */
function keyOf(parent: string | number, ids: readonly number[]): string {
  return `${typeof parent === 'string' ? JSON.stringify(parent) : parent}:${ids.join(',')}`;
}
