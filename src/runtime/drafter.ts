/**
 * Drafts from the MTP modules, and the caches these keep.
 *
 * Drafting follows the rows that are settled, those whose next token is decided: module 1 continues
 * the main model's states with the tokens one place on and so keeps a cache of its own, without
 * gaps. Past the last settled row further drafts feed on drafts: with the next module if there is
 * one, else with the last module again, one position on. What a draft leaves in a cache is written
 * over once its position is settled, so a wrong one costs acceptance and never a token.
 *
 * Behind a recorded pass drafts are recorded, too (`model/draftPasses.ts`); behind prompts they are
 * laid out each time.
 */
import { at } from '../base/assert.ts';
import type { I32, SamplingRule } from '../kernels/kernels.ts';
import type { StepContext } from '../model/context.ts';
import type { DecodePass } from '../model/decodePasses.ts';
import type { DraftPasses } from '../model/draftPasses.ts';
import { gatherRows } from '../model/embedding.ts';
import { draftRows, logitsOfRows, type States } from '../model/inference.ts';
import type { Model } from '../model/model.ts';
import type { WantedRows } from '../model/recordedDraw.ts';
import { sampleRows } from '../model/sampler.ts';
import { type LatentCaches, type SequenceRows, uploadServingRows } from '../model/servingRows.ts';
import type { SampleRequest, SequenceTokens } from '../program/instruction.ts';

/** A sequence that a module continues: the ids are its second inputs. */
interface ModuleSequence extends SequenceRows {
  readonly sequenceId: number;
  /** The row of the states before that its first id continues; the others follow it. */
  readonly firstState: number;
}

/** One that gets drafts. */
export interface DraftSequence extends ModuleSequence {
  readonly request: SampleRequest;
  /** Of its outcome. */
  readonly drafts: number[];
}

/** Rows whose next tokens are known. */
export interface KnownRows extends Omit<ModuleSequence, 'ids'> {
  readonly rowIds: readonly number[];
  /** What follows the last of them. */
  readonly nextIds: readonly number[];
}

/** What drafts continue. */
interface Source {
  readonly states: States;
  /** null where the rows were laid out for one pass alone. */
  readonly recorded: DraftPasses | null;
}

/** One draft of every sequence. */
interface Drafted {
  /** How many drafts deep: 1 for the first. */
  readonly depth: number;
  readonly sequences: readonly DraftSequence[];
  /** Of each sequence. */
  readonly firstRows: readonly number[];
  readonly ids: Int32Array;
  readonly source: Source;
}

export class Drafter {
  readonly #context: StepContext;
  readonly #model: Model;
  readonly #caches: LatentCaches;
  readonly #maxPositions: number;
  /** Per sequence and module: positions its cache holds, from 0 without a gap. */
  readonly #covered = new Map<number, number[]>();

  /** @param context whose arena is the step's */
  constructor(
    context: StepContext,
    model: Model,
    args: { caches: LatentCaches; maxPositions: number },
  ) {
    this.#context = context;
    this.#model = model;
    this.#caches = args.caches;
    this.#maxPositions = args.maxPositions;
  }

  /** A sequence begins at position 0, or behind blocks that another one filled. */
  begin({ sequenceId, firstPosition, draftedPositions = 0 }: SequenceTokens): void {
    if (firstPosition > 0 && this.#covered.has(sequenceId)) return;
    const drafted = Math.min(draftedPositions, firstPosition);
    this.#covered.set(
      sequenceId,
      this.#model.mtp.map(() => drafted),
    );
  }

  forget(sequenceId: number): void {
    this.#covered.delete(sequenceId);
  }

  /** Whether a module's cache holds every position before a row; without one it never does. */
  isCovered(
    sequenceId: number,
    { depth, firstPosition }: { depth: number; firstPosition: number },
  ): boolean {
    return this.#covered.get(sequenceId)?.[depth - 1] === firstPosition;
  }

  /** Module k continues the module before it, with the known tokens k places on. */
  fill(known: readonly KnownRows[], from: States): void {
    let [chunks, states] = [known, from];
    for (let depth = 1; depth <= this.#model.mtp.length; depth++) {
      chunks = chunks.filter(({ sequenceId, firstPosition }) =>
        this.isCovered(sequenceId, { depth, firstPosition }),
      );
      if (chunks.length === 0) return;
      const sequences = chunks.map((chunk) => ({
        ...chunk,
        ids: [...chunk.rowIds.slice(depth), ...chunk.nextIds.slice(0, depth)],
      }));
      const pass = this.#runModule(depth, sequences, states);
      this.#cover(depth, sequences);
      states = pass.states;
      chunks = sequences.map((chunk, i) => ({ ...chunk, firstState: at(pass.firstRows, i) }));
    }
  }

  /**
   * Adds to the drafts of every one of the sequences, whose module caches have no gap. One hop to
   * the host for every draft that is wanted.
   */
  async draft(
    drafting: readonly DraftSequence[],
    last: { readonly states: States; readonly decode: DecodePass | null },
  ): Promise<void> {
    const { states, decode } = last;
    let source: Source = { states, recorded: decode === null ? null : decode.drafts };
    let sequences = drafting;
    for (let depth = 1; sequences.length > 0; depth++) {
      const drafted: Drafted = await this.#draftOnce(depth, sequences, source);
      if (depth <= this.#model.mtp.length) this.#cover(depth, sequences);
      for (let i = 0; i < sequences.length; i++) at(sequences, i).drafts.push(at(drafted.ids, i));
      sequences = this.#goOn(drafted);
      source = drafted.source;
    }
  }

  async #draftOnce(
    depth: number,
    sequences: readonly DraftSequence[],
    { states, recorded }: Source,
  ): Promise<Drafted> {
    const module = Math.min(depth, this.#model.mtp.length);
    if (recorded === null) {
      const pass = this.#runModule(module, sequences, states);
      const wanted = lastRows(sequences, pass.firstRows, module);
      const rows = this.#integers(wanted.chosen);
      const of = { states: pass.states, rows };
      const logits = logitsOfRows(this.#context, this.#model, of);
      const { ids } = await sampleRows(this.#context, { ...wanted, logits });
      const source = { states: pass.states, recorded };
      return { depth, sequences, firstRows: pass.firstRows, ids, source };
    }
    const firstRows: number[] = [];
    for (let i = 0, row = 0; i < sequences.length; i++) {
      firstRows.push(row);
      row += at(sequences, i).ids.length;
    }
    const wanted = lastRows(sequences, firstRows, module);
    const continued = continuedRows(sequences);
    const pass = recorded.run({ module, sequences, continued, wanted });
    const { ids } = await pass.drawn;
    return { depth, sequences, firstRows, ids, source: { states, recorded: pass.next } };
  }

  #runModule(
    module: number,
    sequences: readonly ModuleSequence[],
    states: States,
  ): { readonly states: States; readonly firstRows: readonly number[] } {
    const context = this.#context;
    const { kernels, arena } = context;
    const { vocabSize } = this.#model.shared.config;
    const [caches, maxPositions] = [this.#caches, this.#maxPositions];
    const limits = { caches, vocabSize, maxPositions };
    const rows = uploadServingRows({ kernels, arena, sequences, ...limits });
    const continued = new Array<number>(rows.count).fill(0);
    for (const [s, { ids, firstState }] of sequences.entries()) {
      const first = at(rows.firstRows, s);
      for (let i = 0; i < ids.length; i++) continued[first + i] = firstState + i;
    }
    const from = states[context.options.mtpHidden];
    const previous = gatherRows(context, from, this.#integers(continued));
    const drafted = draftRows(context, this.#model, { depth: module, previous, rows, caches });
    return { states: drafted, firstRows: rows.firstRows };
  }

  /** What a module's cache holds once it has run over these. */
  #cover(module: number, sequences: readonly ModuleSequence[]): void {
    for (let i = 0; i < sequences.length; i++) {
      const { sequenceId, firstPosition, ids } = at(sequences, i);
      const covered = this.#covered.get(sequenceId);
      if (covered !== undefined) covered[module - 1] = firstPosition + ids.length;
    }
  }

  /** The sequences that want another draft. */
  #goOn({ depth, sequences, firstRows, ids }: Drafted): DraftSequence[] {
    const isLastModule = depth >= this.#model.mtp.length;
    const { blockSize } = this.#caches;
    const next: DraftSequence[] = [];
    for (let i = 0; i < sequences.length; i++) {
      const sequence = at(sequences, i);
      const { request, firstPosition, blocks } = sequence;
      if (request.numDrafts <= depth) continue;
      const [first, draft] = [at(firstRows, i), at(ids, i)];
      if (isLastModule) {
        const position = firstPosition + sequence.ids.length;
        if (position >= Math.min(blocks.length * blockSize, this.#maxPositions)) continue;
        const firstState = first + sequence.ids.length - 1;
        next.push({ ...sequence, ids: [draft], firstPosition: position, firstState });
      } else if (this.isCovered(request.sequenceId, { depth: depth + 1, firstPosition })) {
        const shifted = [...sequence.ids.slice(1), draft];
        next.push({ ...sequence, ids: shifted, firstState: first });
      }
    }
    return next;
  }

  #integers(values: readonly number[]): I32 {
    const tensor = this.#context.arena.allocate('i32', [values.length]);
    this.#context.kernels.write(tensor, new Int32Array(values));
    return tensor;
  }
}

/** Rows of a recorded pass lie sequence after sequence. */
function continuedRows(sequences: readonly ModuleSequence[]): number[] {
  const rows: number[] = [];
  for (let s = 0; s < sequences.length; s++) {
    const { ids, firstState } = at(sequences, s);
    for (let i = 0; i < ids.length; i++) rows.push(firstState + i);
  }
  return rows;
}

/** One token behind each sequence's last row, by the rule and the position it will be held to. */
function lastRows(
  sequences: readonly DraftSequence[],
  firstRows: readonly number[],
  module: number,
): WantedRows {
  const chosen: number[] = [];
  const rules: SamplingRule[] = [];
  const positions: number[] = [];
  for (let i = 0; i < sequences.length; i++) {
    const { ids, firstPosition, request } = at(sequences, i);
    chosen.push(at(firstRows, i) + ids.length - 1);
    rules.push(request.sampling);
    positions.push(firstPosition + ids.length + module);
  }
  return { chosen, rules, positions };
}
