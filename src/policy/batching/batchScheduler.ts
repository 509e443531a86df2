/**
 * Continuous batching with chunked prefill: what the next step runs.
 *
 *     waiting ──admit──► prefilling ──► decoding ──remove──►
 *        ▲                    │             │
 *        └──────── preempt ───┴─────────────┘   (its blocks are given back, it is run again later)
 *
 * Every decoding sequence takes part in every step; what is left of the step's token budget goes to
 * prompts, in chunks. Order is by priority (lower first), then by arrival, everywhere: who decodes,
 * whose prompt goes on, who is admitted; and the last in this order is preempted when blocks run
 * out. Nobody is overtaken by a request behind it, so nobody starves. A state machine: events in,
 * decisions out, and a decision is plain data.
 */
import { assert, at } from '../../base/assert.ts';
import type { BlockManager } from '../cache/blockManager.ts';

export interface BatchLimits {
  /** Sequences that hold blocks at once. */
  readonly maxSequences: number;
  /** Rows of a step; prompts get what decoding leaves, and at least one block. */
  readonly tokenBudget: number;
  /**
   * Positions that were decoded are decoded again after preemption, and only prompts are shared:
   * then a token's numbers depend on the text before it alone.
   */
  readonly isDeterministic: boolean;
}

/** A request's tokens; the array grows as tokens are decided. */
export interface SequenceToRun {
  readonly sequenceId: number;
  readonly ids: readonly number[];
  readonly numPromptTokens: number;
  readonly priority: number;
  readonly salt: string;
  /** Whether it is to have drafts, so that its chunks fill the MTP modules' caches. */
  readonly wantsDrafts: boolean;
}

export interface AdmittedSequence {
  readonly sequenceId: number;
  readonly cachedPositions: number;
  readonly draftedPositions: number;
}

/** Tokens `first` … `first + count − 1` of a sequence. */
export interface Chunk {
  readonly sequenceId: number;
  readonly first: number;
  readonly count: number;
  /** `decoded`: run once before, by decoding. */
  readonly form: 'prompt' | 'decoded';
  /** Whether a token is sampled behind it. */
  readonly isLast: boolean;
}

export interface DecodedRows {
  readonly sequenceId: number;
  /** Drafts that are run behind its last token. */
  readonly drafts: readonly number[];
}

export interface BatchPlan {
  readonly admitted: readonly AdmittedSequence[];
  readonly preempted: readonly number[];
  readonly chunks: readonly Chunk[];
  readonly decodes: readonly DecodedRows[];
}

interface Scheduled {
  readonly sequence: SequenceToRun;
  readonly arrival: number;
  /** Positions that the cache holds. */
  numComputed: number;
  drafts: readonly number[];
  /** Whether the MTP modules' caches hold the same positions. */
  isDrafted: boolean;
}

export class BatchScheduler {
  readonly #blocks: BlockManager;
  readonly #limits: BatchLimits;
  /** Both in order. */
  readonly #waiting: Scheduled[] = [];
  readonly #running: Scheduled[] = [];
  #numArrivals = 0;

  constructor(blocks: BlockManager, limits: BatchLimits) {
    assert(limits.maxSequences > 0 && limits.tokenBudget > 0, 'a step runs something');
    this.#blocks = blocks;
    this.#limits = limits;
  }

  get numWaiting(): number {
    return this.#waiting.length;
  }

  get numRunning(): number {
    return this.#running.length;
  }

  /** In the order in which they will be admitted. */
  *waiting(): Generator<number> {
    for (const { sequence } of this.#waiting) yield sequence.sequenceId;
  }

  /** @param sequence that fits into the cache when it is alone */
  add(sequence: SequenceToRun): void {
    const arrival = this.#numArrivals++;
    insert(this.#waiting, { sequence, arrival, numComputed: 0, drafts: [], isDrafted: false });
  }

  /** It has ended: its blocks are free, or wait for texts that begin like it. */
  remove(sequenceId: number): void {
    for (const list of [this.#waiting, this.#running]) {
      const index = list.findIndex((each) => each.sequence.sequenceId === sequenceId);
      if (index >= 0) list.splice(index, 1);
    }
    this.#blocks.release(sequenceId);
  }

  next(): BatchPlan {
    const gaveWay = this.#makeWay();
    const preempted: number[] = [];
    const decodes = this.#decode(preempted);
    let budget = this.#limits.tokenBudget;
    for (const { drafts } of decodes) budget -= 1 + drafts.length;
    budget = Math.max(budget, this.#blocks.blockSize);
    const chunks: Chunk[] = [];
    for (const scheduled of this.#running) {
      if (isDecoding(scheduled) || budget <= 0) continue;
      budget -= this.#chunk(scheduled, { budget, chunks });
    }
    const admitted: AdmittedSequence[] = [];
    // What was just pushed out does not push its way back in.
    while (budget > 0 && preempted.length === 0) {
      const scheduled = this.#admit(admitted);
      if (scheduled === null) break;
      budget -= this.#chunk(scheduled, { budget, chunks });
    }
    return { admitted, preempted: [...gaveWay, ...preempted], chunks, decodes };
  }

  /**
   * A step has run.
   *
   * @param done positions the cache holds now, drafts that are run next, and whether the MTP
   *   modules went along
   */
  complete(
    sequenceId: number,
    done: { numComputed: number; drafts: readonly number[]; isDrafted: boolean },
  ): void {
    const scheduled = this.#running.find((each) => each.sequence.sequenceId === sequenceId);
    assert(scheduled !== undefined, 'a sequence that was run is running');
    const { ids, salt, numPromptTokens } = scheduled.sequence;
    scheduled.numComputed = done.numComputed;
    scheduled.drafts = done.drafts;
    scheduled.isDrafted &&= done.isDrafted;
    const { isDeterministic } = this.#limits;
    const numShared = isDeterministic
      ? Math.min(done.numComputed, numPromptTokens)
      : done.numComputed;
    const { isDrafted } = scheduled;
    this.#blocks.note(sequenceId, { ids, numComputed: numShared, salt, isDrafted });
  }

  /** Sequences of worse priority give their places and blocks to the first that waits. */
  #makeWay(): number[] {
    const gaveWay: number[] = [];
    const first = this.#waiting[0];
    while (first !== undefined && !this.#hasRoomFor(first.sequence)) {
      const last = this.#running[this.#running.length - 1];
      if (last === undefined || last.sequence.priority <= first.sequence.priority) break;
      gaveWay.push(this.#preemptLast());
    }
    return gaveWay;
  }

  /** A place, and blocks for all it has so far. */
  #hasRoomFor({ ids, salt }: SequenceToRun): boolean {
    if (this.#running.length >= this.#limits.maxSequences) return false;
    const found = this.#blocks.peek({ ids, salt });
    const wanted = Math.ceil((ids.length + 1) / this.#blocks.blockSize) - found.numBlocks;
    // Every running sequence may want a block soon; taking the last ones only leads to preemption.
    return wanted <= this.#blocks.numFree - found.numUnused - this.#running.length;
  }

  #decode(preempted: number[]): DecodedRows[] {
    const decodes: DecodedRows[] = [];
    // Those at the end may be preempted on the way.
    for (let i = 0; i < this.#running.length; i++) {
      const scheduled = at(this.#running, i);
      if (!isDecoding(scheduled)) continue;
      const { sequenceId } = scheduled.sequence;
      const end = scheduled.numComputed + 1;
      let { drafts } = scheduled;
      if (this.#blocks.numMissing(sequenceId, end + drafts.length) > this.#blocks.numFree) {
        drafts = [];
      }
      while (this.#blocks.numMissing(sequenceId, end) > this.#blocks.numFree) {
        preempted.push(this.#preemptLast());
        if (i >= this.#running.length) return decodes;
      }
      this.#blocks.reserve(sequenceId, end + drafts.length);
      decodes.push({ sequenceId, drafts });
    }
    return decodes;
  }

  #preemptLast(): number {
    const scheduled = this.#running.pop();
    assert(scheduled !== undefined, 'a sequence alone fits into the cache');
    const { sequenceId } = scheduled.sequence;
    this.#blocks.release(sequenceId);
    scheduled.numComputed = 0;
    scheduled.drafts = [];
    insert(this.#waiting, scheduled);
    return sequenceId;
  }

  #admit(admitted: AdmittedSequence[]): Scheduled | null {
    const scheduled = this.#waiting[0];
    if (scheduled === undefined || !this.#hasRoomFor(scheduled.sequence)) return null;
    const { sequenceId, ids, salt, wantsDrafts } = scheduled.sequence;
    this.#waiting.shift();
    const { positions, draftedPositions } = this.#blocks.adopt(sequenceId, { ids, salt });
    this.#blocks.reserve(sequenceId, ids.length);
    scheduled.numComputed = positions;
    scheduled.isDrafted = wantsDrafts && draftedPositions === positions;
    insert(this.#running, scheduled);
    admitted.push({ sequenceId, cachedPositions: positions, draftedPositions });
    return scheduled;
  }

  /** @returns rows it takes */
  #chunk(
    { sequence, numComputed: first }: Scheduled,
    { budget, chunks }: { budget: number; chunks: Chunk[] },
  ): number {
    const { sequenceId, ids, numPromptTokens } = sequence;
    const isPrompt = !this.#limits.isDeterministic || first < numPromptTokens;
    const end = isPrompt && this.#limits.isDeterministic ? numPromptTokens : ids.length;
    const count = Math.min(budget, end - first);
    const isLast = first + count === ids.length;
    chunks.push({ sequenceId, first, count, form: isPrompt ? 'prompt' : 'decoded', isLast });
    return count;
  }
}

/** Only its last token has not been run. */
function isDecoding({ numComputed, sequence }: Scheduled): boolean {
  return numComputed > 0 && numComputed === sequence.ids.length - 1 && isPastPrompt(sequence);
}

/** Something was decided behind the prompt. */
function isPastPrompt({ ids, numPromptTokens }: SequenceToRun): boolean {
  return ids.length > numPromptTokens;
}

function insert(list: Scheduled[], scheduled: Scheduled): void {
  let index = list.length;
  while (index > 0 && isBefore(scheduled, at(list, index - 1))) index--;
  list.splice(index, 0, scheduled);
}

function isBefore(one: Scheduled, other: Scheduled): boolean {
  const { priority } = one.sequence;
  if (priority !== other.sequence.priority) return priority < other.sequence.priority;
  return one.arrival < other.arrival;
}
