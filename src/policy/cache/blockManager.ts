/**
 * Which blocks of the latent cache belong to which sequence.
 *
 * The cache is `numBlocks` blocks of `blockSize` positions; a sequence owns a list of them, in
 * order of position, that grows as it does. Full blocks are remembered by their tokens
 * (`prefixCache.ts`): sequences that begin alike share them, and a block that nobody uses keeps its
 * tokens until its room is needed, the longest unused first.
 *
 *     free ──reserve──► owned ──release──► free, or unused with its tokens ──adopt──► owned
 *
 * A state machine: events in, decisions out.
 */
import { assert, at } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';
import { type CachedBlock, PrefixCache } from './prefixCache.ts';

/** What a sequence finds in the cache when it begins. */
export interface AdoptedPrefix {
  /** Positions from 0 on; a multiple of the block size. */
  readonly positions: number;
  /** Of these, those that the MTP modules' caches hold too, from 0 on. */
  readonly draftedPositions: number;
}

/** Tokens of a sequence, of which the cache holds the first `numComputed`. */
export interface ComputedTokens {
  readonly ids: readonly number[];
  readonly numComputed: number;
  readonly salt: string;
  readonly isDrafted: boolean;
}

interface Table {
  readonly blocks: number[];
  /** Entries of the prefix cache for its first blocks: the chain that the next block hangs on. */
  readonly entries: CachedBlock[];
}

export class BlockManager {
  readonly blockSize: number;
  readonly numBlocks: number;
  /** Blocks that hold nothing anybody may want. */
  readonly #empty: number[];
  /** Blocks without an owner whose tokens are known; the longest unused first. */
  readonly #unused = new Set<number>();
  readonly #owners: Int32Array;
  readonly #tables = new Map<number, Table>();
  readonly #prefixes = new PrefixCache();

  constructor({ numBlocks, blockSize }: { numBlocks: number; blockSize: number }) {
    this.blockSize = blockSize;
    this.numBlocks = numBlocks;
    this.#empty = Array.from({ length: numBlocks }, (_, i) => numBlocks - 1 - i);
    this.#owners = new Int32Array(numBlocks);
  }

  /** Blocks that no sequence owns. */
  get numFree(): number {
    return this.#empty.length + this.#unused.size;
  }

  /** Of the free ones, those whose tokens are still known. */
  get numUnused(): number {
    return this.#unused.size;
  }

  /** Blocks whose tokens are known, owned or not. */
  get numCached(): number {
    return this.#prefixes.numBlocks;
  }

  /** Blocks without an owner whose tokens are known; the longest unused first. */
  get unusedBlocks(): readonly number[] {
    return [...this.#unused];
  }

  blocksOf(sequenceId: number): readonly number[] {
    return this.#tables.get(sequenceId)?.blocks ?? [];
  }

  /** Blocks that a sequence lacks for so many positions. */
  numMissing(sequenceId: number, numPositions: number): number {
    return Math.max(0, Math.ceil(numPositions / this.blockSize) - this.blocksOf(sequenceId).length);
  }

  /**
   * Makes sure that a sequence's blocks cover `numPositions`, and gives them in order.
   *
   * @throws cache.full when there are too few free blocks; nothing is taken then
   */
  reserve(sequenceId: number, numPositions: number): readonly number[] {
    const table = this.#tableOf(sequenceId);
    const missing = Math.ceil(numPositions / this.blockSize) - table.blocks.length;
    if (missing > this.numFree) {
      const most = (table.blocks.length + this.numFree) * this.blockSize;
      throw new MoebiusError('cache.full', 'the latent cache has too few free blocks', {
        values: { sequenceId, numPositions, missing, free: this.numFree },
        hint: `Ask for at most ${most} positions, or raise the context length.`,
      });
    }
    for (let i = 0; i < missing; i++) table.blocks.push(this.#take());
    return table.blocks;
  }

  /**
   * Gives a sequence that has no blocks yet those that hold the beginning of its tokens. The last
   * token is never among them: something has to be run to sample from.
   */
  adopt(
    sequenceId: number,
    { ids, salt }: { readonly ids: readonly number[]; readonly salt: string },
  ): AdoptedPrefix {
    const table = this.#tableOf(sequenceId);
    assert(table.blocks.length === 0, 'a sequence adopts blocks before it gets others');
    const entries = this.#matching(ids, salt);
    let drafted = 0;
    for (const entry of entries) {
      this.#own(entry.block);
      table.blocks.push(entry.block);
      table.entries.push(entry);
      if (entry.isDrafted && drafted === table.entries.length - 1) drafted++;
    }
    const { blockSize } = this;
    return { positions: entries.length * blockSize, draftedPositions: drafted * blockSize };
  }

  /** What `adopt` would find, without taking it, and how many of these blocks nobody uses now. */
  peek({ ids, salt }: { readonly ids: readonly number[]; readonly salt: string }): {
    readonly numBlocks: number;
    readonly numUnused: number;
  } {
    const entries = this.#matching(ids, salt);
    let numUnused = 0;
    for (const { block } of entries) if (this.#unused.has(block)) numUnused++;
    return { numBlocks: entries.length, numUnused };
  }

  #matching(ids: readonly number[], salt: string): CachedBlock[] {
    const entries: CachedBlock[] = [];
    let parent: string | number = salt;
    for (let end = this.blockSize; end < ids.length; end += this.blockSize) {
      const entry = this.#prefixes.find(parent, ids.slice(end - this.blockSize, end));
      if (entry === undefined) break;
      entries.push(entry);
      parent = entry.entryId;
    }
    return entries;
  }

  /** Remembers the tokens of a sequence's blocks that have become full. */
  note(sequenceId: number, { ids, numComputed, salt, isDrafted }: ComputedTokens): void {
    const { blocks, entries } = this.#tableOf(sequenceId);
    const { blockSize } = this;
    while ((entries.length + 1) * blockSize <= numComputed) {
      const i = entries.length;
      const parent = i === 0 ? salt : at(entries, i - 1).entryId;
      const own = ids.slice(i * blockSize, (i + 1) * blockSize);
      // Where another sequence was first, its block keeps the name and ours goes without.
      entries.push(this.#prefixes.add(parent, own, { block: at(blocks, i), isDrafted }));
    }
  }

  /** Gives all of a sequence's blocks back; unknown sequences own none. */
  release(sequenceId: number): void {
    const blocks = this.#tables.get(sequenceId)?.blocks ?? [];
    this.#tables.delete(sequenceId);
    // From the end: of one text, later blocks are worth nothing without earlier ones.
    for (let i = blocks.length - 1; i >= 0; i--) {
      const block = at(blocks, i);
      const owners = at(this.#owners, block) - 1;
      assert(owners >= 0, 'a released block had an owner');
      this.#owners[block] = owners;
      if (owners > 0) continue;
      if (this.#prefixes.has(block)) this.#unused.add(block);
      else this.#empty.push(block);
    }
  }

  /** Forgets the tokens of blocks that nobody uses; @returns how many they were */
  flush(): number {
    const count = this.#unused.size;
    for (const block of this.#unused) {
      this.#prefixes.forget(block);
      this.#empty.push(block);
    }
    this.#unused.clear();
    return count;
  }

  #tableOf(sequenceId: number): Table {
    const known = this.#tables.get(sequenceId);
    if (known !== undefined) return known;
    const table = { blocks: [], entries: [] };
    this.#tables.set(sequenceId, table);
    return table;
  }

  #own(block: number): void {
    this.#unused.delete(block);
    this.#owners[block] = at(this.#owners, block) + 1;
  }

  #take(): number {
    const block = this.#empty.pop() ?? this.#evict();
    this.#own(block);
    return block;
  }

  #evict(): number {
    const [block] = this.#unused;
    assert(block !== undefined, 'a free block after the check');
    this.#unused.delete(block);
    this.#prefixes.forget(block);
    return block;
  }
}
