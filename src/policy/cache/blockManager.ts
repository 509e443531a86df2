/**
 * Which blocks of the latent cache belong to which sequence.
 *
 * The cache is `numBlocks` blocks of `blockSize` positions; a sequence owns a list of them, in
 * order of position, that grows as it does. A state machine: events in, decisions out.
 */
import { assert } from '../../base/assert.ts';
import { MoebiusError } from '../../base/errors.ts';

export class BlockManager {
  readonly blockSize: number;
  readonly numBlocks: number;
  readonly #free: number[];
  readonly #tables = new Map<number, number[]>();

  constructor({ numBlocks, blockSize }: { numBlocks: number; blockSize: number }) {
    this.blockSize = blockSize;
    this.numBlocks = numBlocks;
    this.#free = Array.from({ length: numBlocks }, (_, i) => numBlocks - 1 - i);
  }

  get numFree(): number {
    return this.#free.length;
  }

  /**
   * Makes sure that a sequence's blocks cover `numPositions`, and gives them in order.
   *
   * @throws cache.full when there are too few free blocks; nothing is taken then
   */
  reserve(sequenceId: number, numPositions: number): readonly number[] {
    const table = this.#tables.get(sequenceId) ?? [];
    const missing = Math.ceil(numPositions / this.blockSize) - table.length;
    if (missing > this.#free.length) {
      const most = (table.length + this.#free.length) * this.blockSize;
      throw new MoebiusError('cache.full', 'the latent cache has too few free blocks', {
        values: { sequenceId, numPositions, missing, free: this.#free.length },
        hint: `Ask for at most ${most} positions, or raise the context length.`,
      });
    }
    for (let i = 0; i < missing; i++) {
      const block = this.#free.pop();
      assert(block !== undefined, 'a free block after the check');
      table.push(block);
    }
    this.#tables.set(sequenceId, table);
    return table;
  }

  /** Gives all of a sequence's blocks back; unknown sequences own none. */
  release(sequenceId: number): void {
    const table = this.#tables.get(sequenceId) ?? [];
    this.#tables.delete(sequenceId);
    for (let i = table.length - 1; i >= 0; i--) this.#free.push(table[i] as number);
  }
}
