/**
 * One request on its way: its tokens, what they show, and what the rules say comes next. A state
 * machine without a clock; the engine tells it what was decided and when.
 */
import { at } from '../base/assert.ts';
import { MoebiusError } from '../base/errors.ts';
import type { BatchedSequence } from '../policy/batching/compileBatch.ts';
import type { TokensOutcome } from '../program/instruction.ts';
import type { TokenBytes } from '../tokenizer/streamDecoder.ts';
import { failureOf } from './checkEngineRequest.ts';
import type {
  EngineEnd,
  EngineEvent,
  EngineFailure,
  EngineRequest,
  EngineToken,
  EngineUsage,
  RequestTimes,
} from './engineClient.ts';
import { ShownText } from './shownText.ts';
import { TokenRules, type TokenRulesOptions } from './tokenRules.ts';

/** What a step decided for a sequence. */
export interface Decided {
  readonly outcome: TokensOutcome;
  /** New tokens: the drafts that stood, and the one behind them. */
  readonly tokens: readonly number[];
  /** Of drafts by the MTP modules; what a grammar forced is none. */
  readonly numDrafted: number;
  readonly numAccepted: number;
}

export interface SequenceOptions extends Omit<TokenRulesOptions, 'request'> {
  readonly sequenceId: number;
  readonly request: EngineRequest;
  readonly tokenBytes: TokenBytes;
  readonly maxContext: number;
  readonly wantsDrafts: boolean;
  readonly now: number;
}

type Ending = Omit<EngineEnd, 'usage'>;

interface Times {
  readonly arrived: number;
  started: number | null;
  first: number | null;
  ended: number | null;
  reason: EngineEnd['reason'] | null;
}

export class Sequence {
  readonly sequenceId: number;
  readonly request: EngineRequest;
  /** Prompt and output. */
  readonly ids: number[];
  readonly rules: TokenRules;
  readonly wantsDrafts: boolean;
  /** Whether the MTP modules went along so far. */
  isDrafted: boolean;
  /** Drafts asked for in the step under way. */
  numDrafts = 0;
  /** Who made those that the next step runs. */
  draftsBy: 'modules' | 'rules' = 'modules';
  /** The last event is due, or gone. */
  isEnded = false;
  readonly #options: SequenceOptions;
  readonly #shown: ShownText;
  readonly #times: Times;
  readonly #drafted: number[] = [];
  readonly #accepted: number[] = [];
  #cachedTokens = 0;
  #numDecided = 0;
  #preemptions = 0;

  constructor(options: SequenceOptions) {
    const { request, sequenceId, wantsDrafts } = options;
    this.sequenceId = sequenceId;
    this.request = request;
    this.ids = [...request.promptIds];
    this.rules = new TokenRules(options);
    this.wantsDrafts = wantsDrafts;
    this.isDrafted = wantsDrafts;
    this.#options = options;
    const stop = request.stop ?? [];
    const showsSpecial = request.showsSpecial ?? false;
    this.#shown = new ShownText(options.tokenBytes, { stop, showsSpecial });
    this.#times = {
      ...{ arrived: options.now, started: null, first: null },
      ...{ ended: null, reason: null },
    };
  }

  /** Tokens it may still get. */
  get room(): number {
    const { promptIds, maxTokens } = this.request;
    const most = Math.min(maxTokens, this.#options.maxContext - promptIds.length);
    return most - (this.ids.length - promptIds.length);
  }

  /** @param now of what is under way */
  timesAt(now: number): RequestTimes {
    const { first, ended, ...times } = this.#times;
    const { requestId } = this.request;
    const usage = this.#usage(ended ?? now);
    return { requestId, number: this.sequenceId, ...times, firstToken: first, ended, usage };
  }

  /** Taken from the queue, for the first time or once more. */
  start(cachedTokens: number, now: number): EngineEvent | null {
    if (this.#times.started !== null) return null;
    this.#times.started = now;
    this.#cachedTokens = cachedTokens;
    return { requestId: this.request.requestId, text: '', tokens: [], started: { cachedTokens } };
  }

  preempt(): void {
    this.#preemptions++;
    this.isDrafted = this.wantsDrafts;
  }

  /**
   * How it takes part in a step.
   *
   * @param drafts that are run behind its last token; null where nothing is sampled
   */
  batched(
    blocks: readonly number[],
    { numDrafts, drafts }: { numDrafts: number; drafts: readonly number[] | null },
  ): BatchedSequence {
    const { sampling, logProbabilities } = this.request;
    this.numDrafts = numDrafts;
    return {
      ...{ ids: this.ids, blocks, sampling, numDrafts, isDrafted: this.isDrafted },
      adjustments: drafts === null ? null : this.rules.adjustments(drafts),
      numTop: logProbabilities?.numTop ?? 0,
      probabilitiesOf: logProbabilities?.of ?? 'model',
    };
  }

  /** @returns what there is to tell, with the end if this was it */
  decide({ outcome, tokens, numDrafted, numAccepted }: Decided, now: number): EngineEvent {
    this.#times.first ??= now;
    this.#countDrafts(numDrafted, numAccepted);
    const shown: { text: string; tokens: EngineToken[] } = { text: '', tokens: [] };
    let end: Ending | null = null;
    for (let i = 0; i < tokens.length && end === null; i++) {
      const id = at(tokens, i);
      this.#numDecided++;
      end = this.#endBy(id);
      if (end !== null) break;
      const top = outcome.top?.[i];
      const token: EngineToken = {
        id,
        logProbability: at(outcome.logProbabilities, i),
        isDrafted: i < numAccepted,
        ...(top === undefined ? {} : { top }),
      };
      this.ids.push(id);
      end = this.#take(token, shown);
    }
    const { requestId } = this.request;
    if (end === null) return { requestId, ...shown };
    const rest = this.#shown.end();
    const { stop } = this.#shown;
    return {
      requestId,
      text: shown.text + rest.text,
      tokens: [...shown.tokens, ...rest.tokens],
      end: this.#end(stop === null ? end : { reason: 'stop', stop }, now),
    };
  }

  /** It ends before its time. */
  cut(reason: 'abort' | 'error', now: number, error?: EngineFailure): EngineEvent {
    const { requestId } = this.request;
    const ending = { reason, stop: null, ...(error === undefined ? {} : { error }) };
    return { requestId, text: '', tokens: [], end: this.#end(ending, now) };
  }

  /** Adds a token to the text, by the rules; @returns the end, if this was it */
  #take(token: EngineToken, shown: { text: string; tokens: EngineToken[] }): Ending | null {
    try {
      const isAccepted = this.rules.accept(token.id);
      const piece = this.#shown.push(token);
      shown.text += piece.text;
      shown.tokens.push(...piece.tokens);
      if (this.#shown.stop !== null) return { reason: 'stop', stop: this.#shown.stop };
      if (!isAccepted) return { reason: 'error', stop: null, error: strayToken(token.id) };
      if (this.rules.mustEnd) return { reason: 'stop', stop: null };
      return this.room <= 0 ? { reason: 'length', stop: null } : null;
    } catch (error) {
      // A token that the tokenizer lacks, a grammar too ambiguous to follow: of this text alone.
      if (!(error instanceof MoebiusError)) throw error;
      return { reason: 'error', stop: null, error: failureOf(error) };
    }
  }

  #endBy(id: number): Ending | null {
    const { stopIds = [], ignoresEnd = false } = this.request;
    if (!this.rules.mayEnd) return null;
    if (stopIds.includes(id)) return { reason: 'stop', stop: id };
    // A grammar lets an end come only where the text is complete, and nothing can follow it.
    const isHeeded = !ignoresEnd || this.rules.isFollowing;
    return isHeeded && this.#options.endIds.has(id) ? { reason: 'stop', stop: null } : null;
  }

  #countDrafts(numDrafted: number, numAccepted: number): void {
    for (let i = 0; i < numDrafted; i++) {
      this.#drafted[i] = (this.#drafted[i] ?? 0) + 1;
      this.#accepted[i] = (this.#accepted[i] ?? 0) + (i < numAccepted ? 1 : 0);
    }
  }

  #end(end: Ending, now: number): EngineEnd {
    this.isEnded = true;
    this.#times.ended = now;
    this.#times.reason = end.reason;
    return { ...end, usage: this.#usage(now) };
  }

  #usage(now: number): EngineUsage {
    const { arrived, started, first } = this.#times;
    return {
      promptTokens: this.request.promptIds.length,
      cachedTokens: this.#cachedTokens,
      completionTokens: this.#numDecided,
      drafted: sum(this.#drafted),
      accepted: sum(this.#accepted),
      draftedPerPosition: [...this.#drafted],
      acceptedPerPosition: [...this.#accepted],
      preemptions: this.#preemptions,
      queueSeconds: (started ?? now) - arrived,
      prefillSeconds: started === null ? 0 : (first ?? now) - started,
      decodeSeconds: first === null ? 0 : now - first,
    };
  }
}

/** The mask let a token through that the grammar then had no place for: ours to mend. */
function strayToken(id: number): EngineFailure {
  const hint = 'Report this with the request: a mask and its grammar disagree.';
  return { code: 'engine.grammar', message: `token ${id} left the grammar`, hint, values: { id } };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
