/**
 * What a recording that ends in a draw reads anew each time: rows it looks up, rules and positions
 * of what is drawn; and where its tokens lie afterwards.
 */
import { at } from '../base/assert.ts';
import type { F32, I32, Kernels, SamplingRule } from '../kernels/kernels.ts';
import type { Arena } from '../tensor/arena.ts';
import { hostArray, slices } from '../tensor/tensor.ts';
import {
  allocateSampled,
  finite,
  readSampled,
  type SampledRows,
  type SampledTensors,
} from './sampler.ts';

/** Rows of a pass to sample at: by which rules, and the positions of what is drawn. */
export interface WantedRows {
  readonly chosen: readonly number[];
  readonly rules: readonly SamplingRule[];
  readonly positions: readonly number[];
}

/** Nobody else writes to these rows, so they are written only when others are chosen. */
export class ChosenRows {
  readonly rows: I32;
  readonly #kernels: Kernels;
  /** What `rows` holds. */
  readonly #known: Int32Array;

  constructor(kernels: Kernels, arena: Arena, numRows: number) {
    this.#kernels = kernels;
    this.rows = arena.allocate('i32', [numRows]);
    this.#known = new Int32Array(numRows).fill(-1);
  }

  choose(chosen: readonly number[]): void {
    let isSame = true;
    for (let i = 0; i < chosen.length; i++) {
      const row = at(chosen, i);
      if (this.#known[i] === row) continue;
      this.#known[i] = row;
      isSame = false;
    }
    if (!isSame) this.#kernels.write(this.rows, this.#known);
  }
}

/**
 * Logits of all recordings in one arena, one recording's at a time: a row of V3's is half a
 * megabyte, and there are recordings for every shape.
 */
export class SharedLogits {
  readonly #all: F32;

  constructor(arena: Arena, { numRows, vocabSize }: { numRows: number; vocabSize: number }) {
    this.#all = arena.allocate('f32', [numRows, vocabSize]);
  }

  /** Until another recording runs. */
  rows(count: number): F32 {
    return slices(this.#all, 0, count);
  }
}

/** One token behind each of some rows of logits. */
export class RecordedDraw {
  readonly #kernels: Kernels;
  readonly #sampled: SampledTensors;
  /** What the recording draws by. */
  readonly #rules: SamplingRule[] = [];
  readonly #positions: number[] = [];
  #seen: SampledRows | null = null;

  constructor(kernels: Kernels, arena: Arena, numRows: number) {
    this.#kernels = kernels;
    this.#sampled = allocateSampled(arena, numRows);
  }

  /** @param kernels those of the recording that is being made */
  record(kernels: Kernels, logits_TV: F32): void {
    const [rules, positions] = [this.#rules, this.#positions];
    kernels.sampleTokens({ ...this.#sampled, logits_TV, rules, positions });
  }

  /** Before the recording runs. */
  setRules({ rules, positions }: Pick<WantedRows, 'rules' | 'positions'>): void {
    for (let i = 0; i < rules.length; i++) {
      this.#rules[i] = at(rules, i);
      this.#positions[i] = at(positions, i);
    }
  }

  /**
   * After it has run.
   *
   * @returns arrays that hold until it runs again
   * @throws sampling.nonFinite
   */
  read(): SampledRows | Promise<SampledRows> {
    const { ids_T, logProbabilities_T } = this.#sampled;
    // What a recording did is done: where the host can look, it need not wait.
    if (ids_T.memory.buffer === null) return readSampled(this.#kernels, this.#sampled);
    if (this.#seen?.ids.buffer !== ids_T.memory.buffer) {
      this.#seen = { ids: hostArray(ids_T), logProbabilities: hostArray(logProbabilities_T) };
    }
    return finite(this.#seen);
  }
}
