/**
 * Drafts behind a pass over a few cached rows, recorded as that pass is (`decodePasses.ts`): what
 * an MTP module does over the rows that are settled, head and draw behind the last one of each
 * sequence, as one recording.
 *
 *     states ─ rows ─► [enorm(Emb(ids)) ; hnorm(·)] ─ Wproj ─ block ─ norm ─ last ─ head ─ draw
 *
 * How many rows that are varies with what was accepted, so every count has a recording of its own;
 * which rows of which sequence are integers that are written each time. A further draft continues
 * the states of the one before and hangs on it as this one hangs on the pass.
 */
import { assert, at } from '../base/assert.ts';
import type { F32 } from '../kernels/kernels.ts';
import { type Recording, record } from '../kernels/recording.ts';
import type { Arena } from '../tensor/arena.ts';
import type { StepContext } from './context.ts';
import { gatherRows } from './embedding.ts';
import { draftRows, logitsOfRows, type States } from './inference.ts';
import type { Model } from './model.ts';
import { ChosenRows, RecordedDraw, type SharedLogits, type WantedRows } from './recordedDraw.ts';
import { checkRules, type SampledRows } from './sampler.ts';
import { FewRows, type FewRowsShape, type LatentCaches, type SequenceRows } from './servingRows.ts';

export interface WantedDrafts {
  /** Counts from 1. */
  readonly module: number;
  /** The tokens that the module joins to the states, which attend to what is cached. */
  readonly sequences: readonly SequenceRows[];
  /** The row of the states that each new row continues. */
  readonly continued: readonly number[];
  /** The last row of every sequence, in order. */
  readonly wanted: WantedRows;
}

/** What all drafts behind one pass share. */
interface DraftLimits {
  readonly caches: LatentCaches;
  readonly maxPositions: number;
  readonly logits: SharedLogits;
}

interface DraftShape extends FewRowsShape {
  readonly module: number;
}

/** The drafts that continue one pass's states, by shape. */
export class DraftPasses {
  readonly #context: StepContext;
  readonly #model: Model;
  readonly #from: DraftLimits & { readonly states: States };
  readonly #known: DraftPass[] = [];

  /** @param context whose arena keeps them for as long as the states */
  constructor(context: StepContext, model: Model, args: DraftLimits & { readonly states: States }) {
    this.#context = context;
    this.#model = model;
    this.#from = args;
  }

  /**
   * Runs the module and draws.
   *
   * @throws input.tokenOutOfRange, input.tooLong, sampling.invalid, sampling.nonFinite
   */
  run(wanted: WantedDrafts): DraftPass {
    checkRules(wanted.wanted.rules);
    const shape = FewRows.shapeOf(wanted.sequences);
    const pass = this.#passOf(shape, wanted.module);
    pass.run(wanted);
    return pass;
  }

  #passOf({ numRows, numSequences, width }: FewRowsShape, module: number): DraftPass {
    for (let i = 0; i < this.#known.length; i++) {
      const pass = at(this.#known, i);
      const { shape } = pass;
      const isSame = shape.numRows === numRows && shape.numSequences === numSequences;
      if (isSame && shape.width === width && shape.module === module) return pass;
    }
    const { arena, kernels } = this.#context;
    const { states, caches, maxPositions, logits } = this.#from;
    const { vocabSize } = this.#model.shared.config;
    const shape = { numRows, numSequences, width, module };
    const rows = new FewRows({ kernels, arena, shape, caches, vocabSize, maxPositions });
    const from = states[this.#context.options.mtpHidden];
    const args = { shape, rows, from, caches, maxPositions, logits };
    const pass = new DraftPass(this.#context, this.#model, args);
    this.#known.push(pass);
    return pass;
  }
}

/** Those of one shape. */
export class DraftPass {
  readonly shape: DraftShape;
  readonly #context: StepContext;
  readonly #model: Model;
  readonly #rows: FewRows;
  readonly #from: F32;
  readonly #limits: DraftLimits;
  readonly #continued: ChosenRows;
  readonly #chosen: ChosenRows;
  readonly #draw: RecordedDraw;
  #states: States | null = null;
  #recording: Recording | null = null;
  #next: DraftPasses | null = null;

  constructor(
    context: StepContext,
    model: Model,
    args: DraftLimits & { readonly shape: DraftShape; readonly rows: FewRows; readonly from: F32 },
  ) {
    const { shape, rows, from, caches, maxPositions, logits } = args;
    const { kernels, arena } = context;
    this.shape = shape;
    this.#context = context;
    this.#model = model;
    this.#rows = rows;
    this.#from = from;
    this.#limits = { caches, maxPositions, logits };
    this.#continued = new ChosenRows(kernels, arena, shape.numRows);
    this.#chosen = new ChosenRows(kernels, arena, shape.numSequences);
    this.#draw = new RecordedDraw(kernels, arena, shape.numSequences);
  }

  /** Of each sequence that was run last. */
  get firstRows(): readonly number[] {
    return this.#rows.rows.firstRows;
  }

  /** One token behind each sequence that was run last; the arrays hold until the next run. */
  get drawn(): SampledRows | Promise<SampledRows> {
    return this.#draw.read();
  }

  /** What continues the states of the last run. */
  get next(): DraftPasses {
    const states = this.#states;
    assert(states !== null, 'drafts were made');
    this.#next ??= new DraftPasses(this.#context, this.#model, { states, ...this.#limits });
    return this.#next;
  }

  run({ sequences, continued, wanted }: WantedDrafts): void {
    this.#rows.write(sequences);
    this.#continued.choose(continued);
    this.#chosen.choose(wanted.chosen);
    this.#draw.setRules(wanted);
    if (this.#recording !== null) {
      this.#recording.run();
      return;
    }
    this.#recording = record(this.#context.kernels, (kernels) => {
      // What the recording works in stays its own: nothing is released.
      const arena = keeping(this.#context.arena);
      const context = { ...this.#context, kernels, arena };
      const { rows } = this.#rows;
      this.#states = draftRows(context, this.#model, {
        depth: this.shape.module,
        previous: gatherRows(context, this.#from, this.#continued.rows),
        rows,
        caches: this.#limits.caches,
      });
      const [states, chosen] = [this.#states, this.#chosen.rows];
      const out = this.#limits.logits.rows(this.shape.numSequences);
      this.#draw.record(kernels, logitsOfRows(context, this.#model, { states, rows: chosen, out }));
    });
  }
}

/** The same arena, which takes nothing back. */
function keeping(arena: Arena): Arena {
  return {
    allocate: (dtype, shape) => arena.allocate(dtype, shape),
    mark: () => arena.mark(),
    release: () => {},
    free: () => arena.free(),
    get usedBytes() {
      return arena.usedBytes;
    },
    get peakBytes() {
      return arena.peakBytes;
    },
    get reservedBytes() {
      return arena.reservedBytes;
    },
  };
}
