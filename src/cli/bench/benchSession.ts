/**
 * Sequences on the serving executor, several in one instruction, by the programs that
 * `serving/generate.ts` writes for one: prefill or decode, then a greedy sample of every last row.
 */
import { Random } from '../../base/random.ts';
import type { ServingExecutor } from '../../executor/executor.ts';
import type { Kernels } from '../../kernels/kernels.ts';
import { BlockManager } from '../../policy/cache/blockManager.ts';
import type { Sampling, SequenceTokens } from '../../program/instruction.ts';
import { machineClock } from '../../runtime/clock.ts';
import type { OpenedModel } from '../../runtime/openModel.ts';
import { servingExecutor } from '../wiring.ts';

const BLOCK_SIZE = 64;
const GREEDY: Sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 };

export interface SessionOptions {
  readonly opened: OpenedModel;
  readonly kernels: Kernels;
  readonly numSequences: number;
  /** Positions that each sequence may take. */
  readonly maxPositions: number;
}

/** An executor with a cache that the sequences fill to the last block. */
export function openSequences({ opened, kernels, numSequences, maxPositions }: SessionOptions): {
  readonly executor: ServingExecutor;
  readonly cache: BlockManager;
} {
  const numBlocks = numSequences * Math.ceil(maxPositions / BLOCK_SIZE);
  const executor = servingExecutor({
    ...{ kernels, numBlocks, maxPositions },
    model: opened.model,
    clock: machineClock,
    blockSize: BLOCK_SIZE,
    mtpHidden: 'postNorm',
  });
  return { executor, cache: new BlockManager({ numBlocks, blockSize: BLOCK_SIZE }) };
}

export class BenchSession {
  readonly #options: SessionOptions;
  readonly #executor: ServingExecutor;
  readonly #cache: BlockManager;
  /** The sequences' ids that no pass has run yet, and how many positions lie behind them. */
  #next: (readonly number[])[] = [];
  #position = 0;

  constructor(options: SessionOptions) {
    this.#options = options;
    const { executor, cache } = openSequences(options);
    this.#executor = executor;
    this.#cache = cache;
  }

  /** Positions that the next pass's tokens attend to, their own included, summed over sequences. */
  get cachedPositions(): number {
    return this.#next.length * (this.#position + 1);
  }

  /** Forgets what was run and takes new prompts: random tokens, the same ones every time. */
  begin(length: number): void {
    const { vocabSize } = this.#options.opened.config;
    const random = new Random(0, 'prompt');
    for (const [sequenceId] of this.#next.entries()) this.#cache.release(sequenceId);
    this.#position = 0;
    this.#next = Array.from({ length: this.#options.numSequences }, () =>
      Array.from({ length }, () => random.integer(vocabSize)),
    );
  }

  /** One pass over what the sequences have new, a greedy token for each, and its seconds. */
  async step(): Promise<number> {
    const firstPosition = this.#position;
    const start = machineClock.now();
    const sequences: SequenceTokens[] = this.#next.map((ids, sequenceId) => {
      const blocks = this.#cache.reserve(sequenceId, firstPosition + ids.length);
      return { sequenceId, ids, firstPosition, blocks: [...blocks] };
    });
    const wanted = sequences.map(({ sequenceId }) => {
      return { sequenceId, positions: 1, sampling: GREEDY, numDrafts: 0 };
    });
    const kind = firstPosition === 0 ? 'prefill' : 'decode';
    const { outcomes } = await this.#executor.run([
      {
        rank: 0,
        instructions: [
          { kind, sequences },
          { kind: 'sample', sequences: wanted },
        ],
      },
    ]);
    this.#position += this.#next[0]?.length ?? 0;
    const sampled = new Map<number, readonly number[]>();
    for (const outcome of outcomes) {
      if (outcome.kind === 'tokens') sampled.set(outcome.sequenceId, outcome.sampled);
    }
    this.#next = this.#next.map((_, sequenceId) => sampled.get(sequenceId) ?? []);
    return machineClock.now() - start;
  }
}
