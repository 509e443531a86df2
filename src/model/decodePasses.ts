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
import { type F32, MAX_DECODE_ROWS } from '../kernels/kernels.ts';
import { type Recording, record } from '../kernels/recording.ts';
import type { ArenaMark } from '../tensor/arena.ts';
import type { StepContext } from './context.ts';
import { DraftPasses } from './draftPasses.ts';
import { logitsOfRows, runRows, type States } from './inference.ts';
import type { Model } from './model.ts';
import { ChosenRows, RecordedDraw, SharedLogits, type WantedRows } from './recordedDraw.ts';
import { checkRules, type SampledRows } from './sampler.ts';
import { FewRows, type FewRowsShape, type LatentCaches, type SequenceRows } from './servingRows.ts';

/** Shapes that are remembered; when there are more, all are forgotten. */
const MOST_SHAPES = 32;
/** Likewise when they and what continues them take more: a shape of V3 takes some megabytes. */
const MOST_BYTES = 256 * 2 ** 20;

/** The model's passes by shape, in an arena that nobody else uses. */
export class DecodePasses {
  readonly #context: StepContext;
  readonly #model: Model;
  readonly #caches: LatentCaches;
  readonly #maxPositions: number;
  readonly #maxBytes: number;
  readonly #logits: SharedLogits;
  readonly #mark: ArenaMark;
  readonly #known: DecodePass[] = [];

  /** @param context with an arena for these passes alone */
  constructor(
    context: StepContext,
    model: Model,
    args: { caches: LatentCaches; maxPositions: number; maxBytes?: number },
  ) {
    const { arena } = context;
    const { vocabSize } = model.shared.config;
    this.#context = context;
    this.#model = model;
    this.#caches = args.caches;
    this.#maxPositions = args.maxPositions;
    this.#maxBytes = args.maxBytes ?? MOST_BYTES;
    this.#logits = new SharedLogits(arena, { numRows: MAX_DECODE_ROWS, vocabSize });
    this.#mark = arena.mark();
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
    if (this.#context.arena.usedBytes - this.#mark.usedBytes > this.#maxBytes) this.#forget();
    for (let i = 0; i < this.#known.length; i++) {
      const known = at(this.#known, i);
      if (!known.isCurrent) break;
      if (isSame(known.shape, shape)) return known;
    }
    const isStale = this.#known.some((known) => !known.isCurrent);
    if (isStale || this.#known.length === MOST_SHAPES) this.#forget();
    const { arena, kernels } = this.#context;
    const { vocabSize } = this.#model.shared.config;
    const [caches, maxPositions] = [this.#caches, this.#maxPositions];
    const rows = new FewRows({ kernels, arena, shape, caches, vocabSize, maxPositions });
    const args = { rows, caches, maxPositions, logits: this.#logits };
    const pass = new DecodePass(this.#context, this.#model, args);
    this.#known.push(pass);
    return pass;
  }

  #forget(): void {
    this.#known.length = 0;
    this.#context.arena.release(this.#mark);
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
  readonly #maxPositions: number;
  readonly #logits: SharedLogits;
  readonly #heads: DecodeHead[] = [];
  #drafts: DraftPasses | null = null;

  constructor(
    context: StepContext,
    model: Model,
    args: { rows: FewRows; caches: LatentCaches; maxPositions: number; logits: SharedLogits },
  ) {
    this.#context = context;
    this.#model = model;
    this.#rows = args.rows;
    this.#caches = args.caches;
    this.#maxPositions = args.maxPositions;
    this.#logits = args.logits;
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

  /** Logits of some rows, `[n, vocabulary]`, until the next pass or sample. */
  logits(chosen: readonly number[]): F32 {
    return this.#headOf(chosen.length).logits(chosen);
  }

  /** What continues the states that were run last. */
  get drafts(): DraftPasses {
    const [states, caches, maxPositions] = [this.states, this.#caches, this.#maxPositions];
    const args = { states, caches, maxPositions, logits: this.#logits };
    this.#drafts ??= new DraftPasses(this.#context, this.#model, args);
    return this.#drafts;
  }

  #headOf(numRows: number): DecodeHead {
    for (let i = 0; i < this.#heads.length; i++) {
      const known = at(this.#heads, i);
      if (known.numRows === numRows) return known;
    }
    const { states } = this;
    const logits = this.#logits.rows(numRows);
    const head = new DecodeHead(this.#context, this.#model, { states, numRows, logits });
    this.#heads.push(head);
    return head;
  }
}

/** Head and sampling over so many rows of a pass. */
class DecodeHead {
  readonly numRows: number;
  readonly #context: StepContext;
  readonly #model: Model;
  readonly #states: States;
  readonly #logits: F32;
  readonly #chosen: ChosenRows;
  readonly #draw: RecordedDraw;
  #recording: Recording | null = null;
  /** Of the head alone, for rows whose logits are looked at before a token is drawn. */
  #head: Recording | null = null;

  constructor(
    context: StepContext,
    model: Model,
    args: { states: States; numRows: number; logits: F32 },
  ) {
    const { states, numRows, logits } = args;
    const { kernels, arena } = context;
    this.numRows = numRows;
    this.#context = context;
    this.#model = model;
    this.#states = states;
    this.#logits = logits;
    this.#chosen = new ChosenRows(kernels, arena, numRows);
    this.#draw = new RecordedDraw(kernels, arena, numRows);
  }

  run(wanted: WantedRows): SampledRows | Promise<SampledRows> {
    this.#chosen.choose(wanted.chosen);
    this.#draw.setRules(wanted);
    if (this.#recording !== null) this.#recording.run();
    else {
      this.#recording = record(this.#context.kernels, (kernels) => {
        this.#draw.record(kernels, this.#logitsOn({ ...this.#context, kernels }));
      });
    }
    return this.#draw.read();
  }

  logits(chosen: readonly number[]): F32 {
    this.#chosen.choose(chosen);
    if (this.#head !== null) this.#head.run();
    else {
      this.#head = record(this.#context.kernels, (kernels) => {
        this.#logitsOn({ ...this.#context, kernels });
      });
    }
    return this.#logits;
  }

  #logitsOn(context: StepContext): F32 {
    const [states, rows, out] = [this.#states, this.#chosen.rows, this.#logits];
    return logitsOfRows(context, this.#model, { states, rows, out });
  }
}

function isSame(one: FewRowsShape, other: FewRowsShape): boolean {
  return (
    one.numRows === other.numRows &&
    one.numSequences === other.numSequences &&
    one.width === other.width
  );
}
