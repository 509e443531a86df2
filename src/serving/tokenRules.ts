/**
 * What may come next in one sequence, beyond what the model thinks: a grammar, a budget for
 * thinking, penalties, biases, and ends that come too early. Answers are adjustments of logits, as
 * data, for the last token and for every draft behind it, as if the drafts stood.
 */
import { MoebiusError } from '../base/errors.ts';
import type { GrammarMatcher } from '../grammar/grammar.ts';
import type { LogitAdjustment } from '../program/instruction.ts';
import type { EngineRequest } from './engineClient.ts';

export interface TokenRulesOptions {
  readonly request: EngineRequest;
  readonly matcher: GrammarMatcher | null;
  readonly vocabSize: number;
  readonly endIds: ReadonlySet<number>;
}

/** What changes from token to token; a copy follows drafts. */
interface Progress {
  matcher: GrammarMatcher | null;
  /** Whether the grammar has begun. */
  isFollowing: boolean;
  numTokens: number;
  /** Tokens thought so far; -1 when thinking is over, or there is none. */
  numThought: number;
  /** Of the closing tokens that are being forced. */
  numClosed: number;
}

export class TokenRules {
  readonly #request: EngineRequest;
  readonly #vocabSize: number;
  readonly #ends: readonly number[];
  /** How often each token came: in the output, and anywhere. */
  readonly #output = new Map<number, number>();
  readonly #prompt: ReadonlySet<number>;
  readonly #biases: ReadonlyMap<number, number>;
  readonly #isPlain: boolean;
  #now: Progress;

  constructor({ request, matcher, vocabSize, endIds }: TokenRulesOptions) {
    this.#request = request;
    this.#vocabSize = vocabSize;
    this.#ends = [...endIds, ...(request.stopIds ?? [])];
    const { penalties, grammar, thinking } = request;
    this.#prompt = new Set((penalties?.repetition ?? 1) === 1 ? [] : request.promptIds);
    this.#biases = new Map((request.logitBias ?? []).map(({ id, bias }) => [id, bias]));
    this.#isPlain =
      penalties === undefined &&
      grammar === undefined &&
      thinking === undefined &&
      this.#biases.size === 0 &&
      (request.minTokens ?? 0) === 0;
    this.#now = {
      matcher,
      isFollowing: grammar !== undefined && grammar.afterId === null,
      numTokens: 0,
      numThought: thinking === undefined ? -1 : 0,
      numClosed: 0,
    };
  }

  /** Whether a grammar says what may come. */
  get isFollowing(): boolean {
    return this.#now.isFollowing;
  }

  /** Whether the text is complete: nothing but its end may come. */
  get mustEnd(): boolean {
    return this.#now.isFollowing && this.#now.matcher?.mustEnd === true;
  }

  /** Whether an end token ends the text here; before `minTokens` none may come. */
  get mayEnd(): boolean {
    return this.#now.numTokens >= (this.#request.minTokens ?? 0);
  }

  /** Tokens that have to come, at most `limit` of them: drafts that always stand. */
  forced(limit: number): number[] {
    const ids: number[] = [];
    if (this.#isPlain) return ids;
    const next = copyOf(this.#now);
    while (ids.length < limit) {
      const id = this.#closing(next) ?? (next.isFollowing ? next.matcher?.forcedToken() : null);
      if (id === null || id === undefined || !this.#mayGoOn(next, id)) break;
      ids.push(id);
    }
    return ids;
  }

  /** Of some drafts those, from the first on, that the rules let stand. */
  possible(drafts: readonly number[]): readonly number[] {
    if (this.#isPlain || drafts.length === 0) return drafts;
    const next = copyOf(this.#now);
    const stands = (id: number): boolean => {
      const closing = this.#closing(next);
      return (closing === null || closing === id) && this.#mayGoOn(next, id);
    };
    const end = drafts.findIndex((id) => !stands(id));
    return end < 0 ? drafts : drafts.slice(0, end);
  }

  /** One for the token behind what is decided, and one behind each draft; null: nothing changes. */
  adjustments(drafts: readonly number[]): readonly (LogitAdjustment | null)[] | null {
    if (this.#isPlain) return null;
    const next = copyOf(this.#now);
    const rows: (LogitAdjustment | null)[] = [];
    for (let i = 0; i <= drafts.length; i++) {
      rows.push(this.#adjustment(next, drafts.slice(0, i)));
      const draft = drafts[i];
      if (draft !== undefined) this.#accept(next, draft);
    }
    return rows.some((row) => row !== null) ? rows : null;
  }

  /** A token is decided; false where the grammar has no place for it. */
  accept(id: number): boolean {
    this.#output.set(id, (this.#output.get(id) ?? 0) + 1);
    return this.#accept(this.#now, id);
  }

  /** Of a draft; where a grammar cannot be followed the token itself will say so. */
  #mayGoOn(progress: Progress, id: number): boolean {
    try {
      return this.#accept(progress, id);
    } catch (error) {
      if (error instanceof MoebiusError) return false;
      throw error;
    }
  }

  #accept(progress: Progress, id: number): boolean {
    const { grammar, thinking } = this.#request;
    progress.numTokens++;
    const isEnd = this.#ends.includes(id);
    if (progress.isFollowing && !isEnd && progress.matcher?.accept(id) === false) return false;
    if (grammar !== undefined && grammar.afterId === id) progress.isFollowing = true;
    if (progress.numThought < 0 || thinking === undefined) return true;
    const isClosing = this.#closing(progress) !== null;
    progress.numThought++;
    if (isClosing) progress.numClosed++;
    const isClosed = isClosing && progress.numClosed === thinking.closeIds.length;
    if (isClosed || id === thinking.endId) progress.numThought = -1;
    return true;
  }

  /** The closing token that is due, once the budget for thinking is spent. */
  #closing({ numThought, numClosed }: Progress): number | null {
    const { thinking } = this.#request;
    if (thinking === undefined || numThought < thinking.budget) return null;
    return thinking.closeIds[numClosed] ?? null;
  }

  #adjustment(progress: Progress, drafts: readonly number[]): LogitAdjustment | null {
    const allowed = this.#mask(progress);
    const changes = this.#changes(progress, drafts);
    if (allowed === null && changes.ids.length === 0) return null;
    return { allowed, ...changes };
  }

  #mask(progress: Progress): Uint32Array | null {
    const closing = this.#closing(progress);
    const matcher = progress.isFollowing ? progress.matcher : null;
    // Where the text must end it has ended, and what is drawn behind it is never looked at.
    if (closing === null && (matcher === null || matcher.mustEnd)) return null;
    const mask = new Uint32Array(Math.ceil(this.#vocabSize / 32));
    if (closing === null) matcher?.fillMask(mask);
    else mask[closing >>> 5] = 1 << (closing & 31);
    return mask;
  }

  #changes(
    { numTokens }: Progress,
    drafts: readonly number[],
  ): Pick<LogitAdjustment, 'ids' | 'factors' | 'addends'> {
    const { penalties, minTokens = 0 } = this.#request;
    const changes = new Map<number, { factor: number; addend: number }>();
    const changeOf = (id: number): { factor: number; addend: number } => {
      const known = changes.get(id) ?? { factor: 1, addend: 0 };
      changes.set(id, known);
      return known;
    };
    if (penalties !== undefined) {
      const { presence, frequency, repetition } = penalties;
      const times = new Map(this.#output);
      for (const id of drafts) times.set(id, (times.get(id) ?? 0) + 1);
      for (const [id, count] of times) {
        changeOf(id).addend -= presence + frequency * count;
        changeOf(id).factor = repetition;
      }
      for (const id of this.#prompt) changeOf(id).factor = repetition;
    }
    for (const [id, bias] of this.#biases) changeOf(id).addend += bias;
    if (numTokens < minTokens) {
      for (const id of this.#ends) changeOf(id).addend = Number.NEGATIVE_INFINITY;
    }
    const values = [...changes.values()];
    return {
      ids: [...changes.keys()],
      factors: values.map(({ factor }) => factor),
      addends: values.map(({ addend }) => addend),
    };
  }
}

function copyOf(progress: Progress): Progress {
  return { ...progress, matcher: progress.matcher?.clone() ?? null };
}
