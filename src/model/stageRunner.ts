/**
 * Micro-batches in flight on one stage: loaded, run forward, run backward in one go or in halves,
 * and forgotten. It knows nothing of instructions or of time; the executors of both worlds drive
 * it, so that what is simulated is what runs.
 *
 * Each micro-batch has an arena of its own from a pool, given back when its backward is through;
 * what the step reports at its end (losses) is copied out first. The pool is as large as the most
 * micro-batches that were ever in flight, and then nothing is allocated any more.
 */
import { assert } from '../base/assert.ts';
import type { Collectives } from '../kernels/collectives.ts';
import type { F32, Kernels } from '../kernels/kernels.ts';
import type { Arena, ArenaMark } from '../tensor/arena.ts';
import { drain, type Pass } from './block.ts';
import type { Capture, LossOptions, RoutingCounts, StepContext } from './context.ts';
import type { PassRecord, PassSettings } from './loss.ts';
import { type MicroBatch, type TokenBatch, uploadMicroBatch } from './microBatch.ts';
import type { Model } from './model.ts';
import {
  type StageDeferred,
  type StageSaved,
  stageBackward,
  stageBackwardWeight,
  stageForward,
} from './transformer.ts';

export interface StageRunnerOptions {
  readonly kernels: Kernels;
  readonly model: Model;
  readonly collectives: Collectives;
  readonly counts: RoutingCounts;
  readonly maxPositions: number;
}

interface Slot {
  readonly arena: Arena;
  readonly mark: ArenaMark;
  readonly batch: MicroBatch;
  /** From forward on. */
  context: StepContext | null;
  saved: StageSaved | null;
  deferred: StageDeferred | null;
}

export class StageRunner {
  readonly #options: StageRunnerOptions;
  readonly #slots = new Map<number, Slot>();
  readonly #freeArenas: Arena[] = [];
  readonly #arenas: Arena[] = [];
  /** What outlives a micro-batch: the losses of the step. */
  readonly #stepArena: Arena;
  readonly #stepMark: ArenaMark;
  #records: PassRecord[] = [];

  constructor(options: StageRunnerOptions) {
    this.#options = options;
    this.#stepArena = options.kernels.createArena('step');
    this.#stepMark = this.#stepArena.mark();
  }

  /** The passes of this step so far, in order; their tensors live until `endStep`. */
  get records(): readonly PassRecord[] {
    return this.#records;
  }

  /** The most bytes of activations ever alive at once, over the pool. */
  get peakBytes(): number {
    return [this.#stepArena, ...this.#arenas].reduce((sum, arena) => sum + arena.peakBytes, 0);
  }

  get numInFlight(): number {
    return this.#slots.size;
  }

  load(microBatch: number, batch: TokenBatch): void {
    assert(!this.#slots.has(microBatch), `micro-batch ${microBatch} is still in flight`);
    const { kernels, model, maxPositions } = this.#options;
    const { vocabSize, numNextnPredictLayers } = model.shared.config;
    const arena = this.#takeArena();
    const mark = arena.mark();
    try {
      const uploaded = uploadMicroBatch({
        kernels,
        arena,
        batch,
        vocabSize,
        maxPositions,
        numMtpDepths: numNextnPredictLayers,
      });
      const slot = { arena, mark, batch: uploaded, context: null, saved: null, deferred: null };
      this.#slots.set(microBatch, slot);
    } catch (error) {
      arena.release(mark);
      this.#freeArenas.push(arena);
      throw error;
    }
  }

  /** @returns the stage's output, for the next stage; alive until the micro-batch's backward */
  forward(
    microBatch: number,
    args: {
      settings: PassSettings;
      options: LossOptions;
      hidden: F32 | null;
      capture?: Capture;
    },
  ): F32 {
    const slot = this.#slot(microBatch);
    const { kernels, model, collectives, counts } = this.#options;
    const { arena } = slot;
    const { settings, options, hidden, capture } = args;
    const base = { kernels, arena, collectives, options, counts };
    const context: StepContext = capture === undefined ? base : { ...base, capture };
    const done = drain(stageForward(context, model, { batch: slot.batch, hidden, settings }));
    this.#records.push(this.#kept(done.record));
    slot.context = context;
    slot.saved = done.saved;
    return done.hidden;
  }

  /** @returns the gradient for the stage before; read it before the next `load` */
  backward(microBatch: number, dHidden: F32 | null): F32 | null {
    const slot = this.#slot(microBatch);
    const { context, saved } = begun(slot, microBatch);
    const { model } = this.#options;
    const done = drain(stageBackward(context, model, { saved, dHidden, weights: 'now' }));
    this.#forget(microBatch);
    return done.dHidden;
  }

  /** The input half; `backwardWeight` has to follow. */
  backwardInput(microBatch: number, dHidden: F32 | null): F32 | null {
    const slot = this.#slot(microBatch);
    const { context, saved } = begun(slot, microBatch);
    const { model } = this.#options;
    const done = drain(stageBackward(context, model, { saved, dHidden, weights: 'later' }));
    slot.deferred = done.deferred;
    slot.saved = null;
    return done.dHidden;
  }

  backwardWeight(microBatch: number): void {
    const slot = this.#slot(microBatch);
    assert(slot.context !== null && slot.deferred !== null, `no deferred half of ${microBatch}`);
    const pass: Pass<void> = stageBackwardWeight(slot.context, this.#options.model, slot.deferred);
    drain(pass);
    this.#forget(microBatch);
  }

  /** Gives up a micro-batch without its backward: after a forward that only measures. */
  drop(microBatch: number): void {
    this.#slot(microBatch);
    this.#forget(microBatch);
  }

  /** Forgets the step's records, and micro-batches left in flight by a step that was abandoned. */
  endStep(): void {
    for (const microBatch of [...this.#slots.keys()]) this.#forget(microBatch);
    this.#records = [];
    this.#stepArena.release(this.#stepMark);
  }

  #slot(microBatch: number): Slot {
    const slot = this.#slots.get(microBatch);
    assert(slot !== undefined, `micro-batch ${microBatch} is not loaded`);
    return slot;
  }

  #takeArena(): Arena {
    const free = this.#freeArenas.pop();
    if (free !== undefined) return free;
    const arena = this.#options.kernels.createArena(`activations ${this.#arenas.length}`);
    this.#arenas.push(arena);
    return arena;
  }

  #forget(microBatch: number): void {
    const slot = this.#slot(microBatch);
    slot.arena.release(slot.mark);
    this.#freeArenas.push(slot.arena);
    this.#slots.delete(microBatch);
  }

  /** A record whose tensors outlive the micro-batch's arena. */
  #kept(record: PassRecord): PassRecord {
    const keep = (tensor: F32 | null): F32 | null => {
      if (tensor === null) return null;
      const out = this.#stepArena.allocate('f32', tensor.shape);
      this.#options.kernels.copy({ out, x: tensor });
      return out;
    };
    return {
      losses: keep(record.losses),
      lossRows: record.lossRows,
      balance: keep(record.balance),
    };
  }
}

function begun(slot: Slot, microBatch: number): { context: StepContext; saved: StageSaved } {
  const { context, saved } = slot;
  assert(context !== null && saved !== null, `micro-batch ${microBatch} has not run forward`);
  return { context, saved };
}
