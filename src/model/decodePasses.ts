/**
 * Passes over a few cached rows, each laid out and recorded once and then run token after token.
 *
 * A token drags all weights through the caches, so whatever else is touched is read from memory:
 * looking at two dozen operations' tensors anew took 0.7 ms a token, with all threads waiting. What
 * does not change between two tokens is written down (`kernels/recording.ts`); ids, positions and
 * blocks are checked and written each time.
 */
import { assert, at } from '../base/assert.ts';
import type { ModelConfig } from '../config/modelConfig.ts';
import { type I32, MAX_DECODE_ROWS, type SamplingRule } from '../kernels/kernels.ts';
import { type Recording, record } from '../kernels/recording.ts';
import type { ArenaMark } from '../tensor/arena.ts';
import { hostArray } from '../tensor/tensor.ts';
import type { StepContext } from './context.ts';
import { logitsOfRows, runRows, type States } from './inference.ts';
import type { Model } from './model.ts';
import {
  allocateSampled,
  checkRules,
  finite,
  readSampled,
  type SampledRows,
  type SampledTensors,
} from './sampler.ts';
import { FewRows, type FewRowsShape, type LatentCaches, type SequenceRows } from './servingRows.ts';

/** Shapes that are remembered; when there are more, all are forgotten. */
const MOST_SHAPES = 16;

/** The model's passes by shape, in an arena that nobody else uses. */
export class DecodePasses {
  readonly #context: StepContext;
  readonly #model: Model;
  readonly #caches: LatentCaches;
  readonly #maxPositions: number;
  readonly #mark: ArenaMark;
  readonly #known: DecodePass[] = [];

  /** @param context with an arena for these passes alone */
  constructor(
    context: StepContext,
    model: Model,
    args: { caches: LatentCaches; maxPositions: number },
  ) {
    this.#context = context;
    this.#model = model;
    this.#caches = args.caches;
    this.#maxPositions = args.maxPositions;
    this.#mark = context.arena.mark();
  }

  /**
   * Runs sequences of at most `MAX_DECODE_ROWS` rows together.
   *
   * @throws input.tokenOutOfRange, input.tooLong
   */
  run(sequences: readonly SequenceRows[]): DecodePass {
    const shape = FewRows.shapeOf(sequences);
    assert(shape.numRows <= MAX_DECODE_ROWS, `${shape.numRows} rows in a pass over few`);
    const pass = this.#passOf(shape);
    pass.run(sequences);
    return pass;
  }

  get config(): ModelConfig {
    return this.#model.shared.config;
  }

  #passOf(shape: FewRowsShape): DecodePass {
    for (let i = 0; i < this.#known.length; i++) {
      const known = at(this.#known, i);
      if (!known.isCurrent) break;
      if (isSame(known.shape, shape)) return known;
    }
    const isStale = this.#known.some((known) => !known.isCurrent);
    if (isStale || this.#known.length === MOST_SHAPES) {
      this.#known.length = 0;
      this.#context.arena.release(this.#mark);
    }
    const { arena, kernels } = this.#context;
    const { vocabSize } = this.#model.shared.config;
    const [caches, maxPositions] = [this.#caches, this.#maxPositions];
    const rows = new FewRows({ kernels, arena, shape, caches, vocabSize, maxPositions });
    const pass = new DecodePass(this.#context, this.#model, { rows, caches });
    this.#known.push(pass);
    return pass;
  }
}

/** The pass of one shape. */
export class DecodePass {
  readonly #context: StepContext;
  readonly #model: Model;
  readonly #rows: FewRows;
  readonly #caches: LatentCaches;
  #states: States | null = null;
  #layers: Recording | null = null;
  readonly #heads: DecodeHead[] = [];

  constructor(context: StepContext, model: Model, args: { rows: FewRows; caches: LatentCaches }) {
    this.#context = context;
    this.#model = model;
    this.#rows = args.rows;
    this.#caches = args.caches;
  }

  get shape(): FewRowsShape {
    return this.#rows.shape;
  }

  /** Whether all that it points into is still there. */
  get isCurrent(): boolean {
    return this.#layers === null || this.#layers.isCurrent;
  }

  /** States of the rows that were run last, sequence after sequence. */
  get states(): States {
    assert(this.#states !== null, 'a pass was run');
    return this.#states;
  }

  /** Of each sequence that was run last. */
  get firstRows(): readonly number[] {
    return this.#rows.rows.firstRows;
  }

  run(sequences: readonly SequenceRows[]): void {
    this.#rows.write(sequences);
    if (this.#layers !== null) {
      this.#layers.run();
      return;
    }
    this.#layers = record(this.#context.kernels, (kernels) => {
      const [rows, caches] = [this.#rows.rows, this.#caches];
      this.#states = runRows({ ...this.#context, kernels }, this.#model, { rows, caches });
    });
  }

  /**
   * One token behind each of some rows, as `sampleRows`.
   *
   * @returns arrays that hold until the next pass
   * @throws sampling.invalid, sampling.nonFinite
   */
  sample(wanted: WantedRows): SampledRows | Promise<SampledRows> {
    checkRules(wanted.rules);
    return this.#headOf(wanted.chosen.length).run(wanted);
  }

  #headOf(numRows: number): DecodeHead {
    for (let i = 0; i < this.#heads.length; i++) {
      const known = at(this.#heads, i);
      if (known.numRows === numRows) return known;
    }
    const { states } = this;
    const head = new DecodeHead(this.#context, this.#model, { states, numRows });
    this.#heads.push(head);
    return head;
  }
}

/** Rows of a pass to sample at: by which rules, and the positions of what is drawn. */
export interface WantedRows {
  readonly chosen: readonly number[];
  readonly rules: readonly SamplingRule[];
  readonly positions: readonly number[];
}

/** Head and sampling over so many rows of a pass. */
class DecodeHead {
  readonly numRows: number;
  readonly #context: StepContext;
  readonly #model: Model;
  readonly #states: States;
  readonly #rows: I32;
  /** What `#rows` holds. */
  readonly #chosen: Int32Array;
  /** What the recording draws by. */
  readonly #rules: SamplingRule[] = [];
  readonly #positions: number[] = [];
  readonly #sampled: SampledTensors;
  #seen: SampledRows | null = null;
  #recording: Recording | null = null;

  constructor(context: StepContext, model: Model, args: { states: States; numRows: number }) {
    const { states, numRows } = args;
    this.numRows = numRows;
    this.#context = context;
    this.#model = model;
    this.#states = states;
    this.#rows = context.arena.allocate('i32', [numRows]);
    this.#chosen = new Int32Array(numRows).fill(-1);
    this.#sampled = allocateSampled(context.arena, numRows);
  }

  run({ chosen, rules, positions }: WantedRows): SampledRows | Promise<SampledRows> {
    this.#choose(chosen);
    for (let i = 0; i < chosen.length; i++) {
      this.#rules[i] = at(rules, i);
      this.#positions[i] = at(positions, i);
    }
    if (this.#recording === null) this.#recording = this.#record();
    else this.#recording.run();
    const { ids_T, logProbabilities_T } = this.#sampled;
    // What a recording did is done: where the host can look, it need not wait.
    if (ids_T.memory.buffer === null) return readSampled(this.#context.kernels, this.#sampled);
    if (this.#seen?.ids.buffer !== ids_T.memory.buffer) {
      this.#seen = { ids: hostArray(ids_T), logProbabilities: hostArray(logProbabilities_T) };
    }
    return finite(this.#seen);
  }

  #record(): Recording {
    return record(this.#context.kernels, (kernels) => {
      const [states, rows] = [this.#states, this.#rows];
      const [rules, positions] = [this.#rules, this.#positions];
      const logits = logitsOfRows({ ...this.#context, kernels }, this.#model, { states, rows });
      kernels.sampleTokens({ ...this.#sampled, logits_TV: logits, rules, positions });
    });
  }

  /** Nobody else writes to these rows, so they are written only when others are chosen. */
  #choose(chosen: readonly number[]): void {
    let isSame = true;
    for (let i = 0; i < chosen.length; i++) {
      const row = at(chosen, i);
      if (this.#chosen[i] === row) continue;
      this.#chosen[i] = row;
      isSame = false;
    }
    if (!isSame) this.#context.kernels.write(this.#rows, this.#chosen);
  }
}

function isSame(one: FewRowsShape, other: FewRowsShape): boolean {
  return (
    one.numRows === other.numRows &&
    one.numSequences === other.numSequences &&
    one.width === other.width
  );
}
