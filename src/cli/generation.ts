/**
 * One text on its way, as the library gives it: pieces as they are decided, then what came of it.
 * It ends in one of four ways, and in each of them the model is free again.
 */
import { setImmediate } from 'node:timers/promises';
import { MoebiusError } from '../base/errors.ts';
import { acceptanceRate, type GenerationCounts } from '../serving/generate.ts';
import type { TextPiece, TextSummary } from '../serving/textGenerator.ts';

/** Text as it is decided. It begins when it is asked for, and can be gone through once. */
export interface Generation extends AsyncIterable<string> {
  /** Runs on to the end where nobody has, and says what came of it. */
  finish(): Promise<Completion>;
}

export interface Completion extends GenerationCounts {
  /** All of it, also what was streamed. */
  readonly text: string;
  /** `end`: the model's own; `length`: the limit; `stopped`: a stop string; `left`: the reader. */
  readonly finishReason: 'end' | 'length' | 'stopped' | 'left';
  readonly ids: readonly number[];
  readonly numPromptTokens: number;
  /** Share of drafts that stood; 0 where none were made. */
  readonly acceptanceRate: number;
}

export interface RunHooks {
  /** Takes the model for this run. */
  readonly begin: () => {
    readonly pieces: AsyncGenerator<TextPiece, TextSummary>;
    readonly numPromptTokens: number;
  };
  /** Throws once the model is closed. */
  readonly check: () => void;
  /** Gives the model back. */
  readonly end: () => void;
}

/** One generation: pieces for whoever reads, and the sum of them. */
export class TextRun implements Generation {
  readonly #hooks: RunHooks;
  #pieces: AsyncGenerator<string, void> | null = null;
  #completion: Completion = { ...NOTHING_YET, text: '', ids: [], acceptanceRate: 0 };
  #failure: { readonly error: unknown } | null = null;

  constructor(hooks: RunHooks) {
    this.#hooks = hooks;
  }

  [Symbol.asyncIterator](): AsyncIterator<string> {
    if (this.#pieces !== null) {
      throw new MoebiusError('generate.once', 'this text has been gone through already', {
        hint: 'Call generate again, or take the whole text from finish().',
      });
    }
    this.#pieces = this.#generate();
    return this.#pieces;
  }

  async finish(): Promise<Completion> {
    this.#pieces ??= this.#generate();
    while ((await this.#pieces.next()).done !== true);
    if (this.#failure !== null) throw this.#failure.error;
    return this.#completion;
  }

  async *#generate(): AsyncGenerator<string, void> {
    const { begin, check, end } = this.#hooks;
    const ids: number[] = [];
    let text = '';
    const note = (summary: Pick<Completion, keyof typeof NOTHING_YET>): void => {
      this.#completion = { ...summary, text, ids, acceptanceRate: acceptanceRate(summary) };
    };
    try {
      const { pieces, numPromptTokens } = begin();
      try {
        let next = await pieces.next();
        for (; next.done !== true; next = await pieces.next()) {
          ids.push(next.value.token.id);
          text += next.value.text;
          // So it stands if the reader leaves here.
          note({ ...next.value.token.counts, finishReason: 'left', numPromptTokens });
          if (next.value.text !== '') yield next.value.text;
          // Kernels leave the event loop no turn of its own; whoever reads has other work too.
          await setImmediate();
          check();
        }
        const { rest, ...summary } = next.value;
        text += rest;
        note(summary);
        if (rest !== '') yield rest;
      } finally {
        end();
        await pieces.return(NO_SUMMARY);
      }
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
  }
}

const NO_COUNTS: GenerationCounts = { numTokens: 0, numPasses: 0, numDrafted: 0, numAccepted: 0 };
const NOTHING_YET = {
  ...NO_COUNTS,
  finishReason: 'left',
  numPromptTokens: 0,
} as const satisfies Partial<Completion>;
const NO_SUMMARY: TextSummary = { ...NOTHING_YET, finishReason: 'stopped', rest: '' };
