/**
 * How many tokens to draft, and when to stop: speculation pays while
 *
 *     (1 + acceptance) · (plain pass + sampling) > verifying pass + sampling + drafting
 *
 * A verifying pass reads the weights once for two tokens, but of a mixture of experts it reads more
 * of them, and the larger the batch the less is left to win. So both sides are measured, by batch
 * size: what a step cost comes in as numbers, and acceptance is that of the sequences themselves.
 * While drafts run, a plain pass is slipped in now and then to know its price; while they do not,
 * a new sequence tries them now and then. A sequence that stopped does not begin again, since the
 * modules' caches have a gap from there on.
 */
import { assert } from '../../base/assert.ts';

export interface DraftPolicyOptions {
  /** 0 where the model has no module. */
  readonly maxDrafts: number;
  /** `auto`: as long as it pays; else so many drafts always. */
  readonly mode: 'auto' | number;
}

/** What a decoding step of one batch cost. */
export interface StepCost {
  readonly numSequences: number;
  /** Drafts that were verified in it. */
  readonly numDrafts: number;
  readonly passSeconds: number;
  readonly sampleSeconds: number;
  readonly draftSeconds: number;
}

/** Prices are averages over about so many steps, acceptance over more: it is 0 or 1 each time. */
const PRICE_MEMORY = 24;
const ACCEPTANCE_MEMORY = 256;
/** What is known of all sequences weighs like so many drafts of the one. */
const PRIOR_DRAFTS = 32;
/** While drafts run, one step in so many is plain: less than a percent of a win that is lost. */
const PLAIN_EVERY = 64;
/** While they do not, one new sequence in so many tries them. */
const PROBE_EVERY = 24;
/** Steps before a price is believed. */
const FIRST_STEPS = 3;
/** Drafts of a sequence before its acceptance is believed. */
const FIRST_DRAFTS = 16;

class Average {
  readonly #memory: number;
  #value = 0;
  #count = 0;

  constructor(memory: number) {
    this.#memory = memory;
  }

  get isKnown(): boolean {
    return this.#count >= FIRST_STEPS;
  }

  get count(): number {
    return this.#count;
  }

  get value(): number {
    return this.#value;
  }

  add(value: number): void {
    this.#count++;
    this.#value += (value - this.#value) / Math.min(this.#count, this.#memory);
  }
}

/** Prices of one range of batch sizes. */
interface Prices {
  readonly plainPass: Average;
  readonly verifyPass: Average;
  readonly sample: Average;
  readonly draft: Average;
  /** Steps with drafts since the last plain one. */
  sincePlain: number;
}

interface SequenceDrafts {
  readonly acceptance: Average;
  isStopped: boolean;
}

export class DraftPolicy {
  readonly #maxDrafts: number;
  readonly #mode: 'auto' | number;
  readonly #prices = new Map<number, Prices>();
  readonly #sequences = new Map<number, SequenceDrafts>();
  readonly #acceptance = new Average(ACCEPTANCE_MEMORY);
  #sinceProbe = 0;

  constructor({ maxDrafts, mode }: DraftPolicyOptions) {
    assert(mode === 'auto' || mode >= 0, 'a count of drafts');
    this.#maxDrafts = maxDrafts;
    this.#mode = maxDrafts === 0 ? 0 : mode;
  }

  /** Whether a new sequence should keep the MTP modules' caches filled from its prompt on. */
  begin(sequenceId: number, wanted: 'auto' | number, numSequences: number): boolean {
    const mode = this.#modeOf(wanted);
    if (mode === 0) return false;
    let isOn = true;
    if (mode === 'auto' && this.gainAt(numSequences) < 1) {
      isOn = ++this.#sinceProbe >= PROBE_EVERY;
      if (isOn) this.#sinceProbe = 0;
    }
    this.#sequences.set(sequenceId, {
      acceptance: new Average(ACCEPTANCE_MEMORY),
      isStopped: !isOn,
    });
    return isOn;
  }

  end(sequenceId: number): void {
    this.#sequences.delete(sequenceId);
  }

  /** Whether the step verifies drafts at all; a plain one measures what it would cost without. */
  isPlainStep(numSequences: number): boolean {
    if (this.#mode !== 'auto') return false;
    const prices = this.#pricesOf(numSequences);
    // Both prices first, in turns; then a plain one now and then.
    if (!prices.plainPass.isKnown) return prices.verifyPass.count > prices.plainPass.count;
    return prices.sincePlain >= PLAIN_EVERY;
  }

  /** Drafts wanted for a sequence's next step. */
  draftsFor(sequenceId: number, wanted: 'auto' | number, numSequences: number): number {
    const sequence = this.#sequences.get(sequenceId);
    if (sequence === undefined || sequence.isStopped) return 0;
    const mode = this.#modeOf(wanted);
    if (mode !== 'auto') return mode;
    const { count, value } = sequence.acceptance;
    const own = Math.min(count, ACCEPTANCE_MEMORY);
    const prior = PRIOR_DRAFTS * this.#acceptance.value;
    const acceptance = (own * value + prior) / (own + PRIOR_DRAFTS);
    sequence.isStopped = count >= FIRST_DRAFTS && this.#gain(numSequences, acceptance) < 1;
    return sequence.isStopped ? 0 : 1;
  }

  /** @param numDrafted drafts of a sequence that were run, and how many of them stood */
  noteDrafts(
    sequenceId: number,
    { numDrafted, numAccepted }: { numDrafted: number; numAccepted: number },
  ): void {
    if (numDrafted === 0) return;
    // Of the first draft: the only one that `auto` asks for.
    const stood = numAccepted > 0 ? 1 : 0;
    this.#sequences.get(sequenceId)?.acceptance.add(stood);
    this.#acceptance.add(stood);
  }

  noteStep({ numSequences, numDrafts, ...seconds }: StepCost): void {
    const prices = this.#pricesOf(numSequences);
    prices.sample.add(seconds.sampleSeconds);
    if (seconds.draftSeconds > 0) prices.draft.add(seconds.draftSeconds);
    if (numDrafts === 0) {
      prices.plainPass.add(seconds.passSeconds);
      prices.sincePlain = 0;
      return;
    }
    // A batch in which few have drafts is neither one nor the other.
    if (numDrafts * 2 >= numSequences) prices.verifyPass.add(seconds.passSeconds);
    prices.sincePlain++;
  }

  /** Tokens a second with drafts over those without; infinite while a price is not known. */
  gainAt(numSequences: number): number {
    return this.#gain(numSequences, this.#acceptance.value);
  }

  #gain(numSequences: number, acceptance: number): number {
    const { plainPass, verifyPass, sample, draft } = this.#pricesOf(numSequences);
    if (!plainPass.isKnown || !verifyPass.isKnown || this.#acceptance.count < FIRST_DRAFTS) {
      return Number.POSITIVE_INFINITY;
    }
    const drafted = verifyPass.value + sample.value + draft.value;
    if (drafted <= 0) return 1 + acceptance;
    return ((1 + acceptance) * (plainPass.value + sample.value)) / drafted;
  }

  #modeOf(wanted: 'auto' | number): 'auto' | number {
    if (this.#maxDrafts === 0) return 0;
    return wanted === 'auto' ? this.#mode : wanted;
  }

  /** 1, 2, 3–4, 5–8, …: prices change slowly with the batch. */
  #pricesOf(numSequences: number): Prices {
    const range = Math.ceil(Math.log2(Math.max(1, numSequences)));
    const known = this.#prices.get(range);
    if (known !== undefined) return known;
    const prices = {
      plainPass: new Average(PRICE_MEMORY),
      verifyPass: new Average(PRICE_MEMORY),
      sample: new Average(PRICE_MEMORY),
      draft: new Average(PRICE_MEMORY),
      sincePlain: 0,
    };
    this.#prices.set(range, prices);
    return prices;
  }
}
