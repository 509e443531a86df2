/**
 * Sequences that decode with MTP drafts on the serving executor, by the programs that
 * `serving/generate.ts` writes, and what each of their passes cost: seconds of verifying and of
 * drafting, rows, experts that were chosen.
 */
import { at } from '../../base/assert.ts';
import type { ServingExecutor } from '../../executor/executor.ts';
import type { BlockManager } from '../../policy/cache/blockManager.ts';
import { acceptDrafts } from '../../policy/speculation/accept.ts';
import type {
  ExpertLoadsOutcome,
  Sampling,
  SequenceTokens,
  ServingInstruction,
  TokensOutcome,
} from '../../program/instruction.ts';
import { SPAN_OF_DRAFTS } from '../../program/span.ts';
import { machineClock } from '../../runtime/clock.ts';
import { openSequences, type SessionOptions } from './benchSession.ts';

/** biome-ignore lint/suspicious/noThenProperty: nobody awaits an instruction */
const COUNT_AND_RESET: ServingInstruction = { kind: 'reportExperts', then: 'reset' };

/** How sequences are continued. */
export interface Manner {
  readonly numDrafts: number;
  readonly sampling: Sampling;
  /**
   * Replaces what the modules drafted, for a sequence of the group that has so many tokens: drafts
   * that stand as often as one likes cost what others do.
   */
  readonly redraft?: (sequence: number, numTokens: number) => readonly number[];
}

/** One step of all sequences that go on. */
export interface StepRecord {
  readonly seconds: number;
  /** Of `seconds`: the main model and its draws, and the modules. */
  readonly verifySeconds: number;
  readonly draftSeconds: number;
  /** Of the verifying pass, and of the first drafting one. */
  readonly numRows: number;
  readonly numDraftRows: number;
  readonly numSequences: number;
  /** Passes that drafted, one behind the other. */
  readonly numDraftPasses: number;
  /** Drafts that were verified, and those that stood, of each sequence. */
  readonly numDrafted: readonly number[];
  readonly numAccepted: readonly number[];
  readonly numTokens: number;
  /** Cached positions that the pass reads, over all sequences. */
  readonly cachedPositions: number;
  /** Distinct routed experts per layer; null unless they were counted. */
  readonly experts: { readonly main: number; readonly drafts: number } | null;
}

interface Running {
  readonly sequenceId: number;
  ids: readonly number[];
  position: number;
  readonly tokens: number[];
}

export class SpeculationSession {
  readonly #options: SessionOptions;
  readonly #executor: ServingExecutor;
  readonly #cache: BlockManager;

  constructor(options: SessionOptions) {
    this.#options = options;
    const { executor, cache } = openSequences(options);
    this.#executor = executor;
    this.#cache = cache;
  }

  /** Continues a group of prompts by so many tokens each; the steps behind the prompts' own. */
  async continue(
    prompts: readonly (readonly number[])[],
    args: Manner & { readonly numTokens: number; readonly experts: 'counted' | 'left' },
  ): Promise<{ steps: StepRecord[]; tokens: readonly (readonly number[])[] }> {
    const all: Running[] = prompts.map((ids, sequenceId) => ({
      sequenceId,
      ids,
      position: 0,
      tokens: [],
    }));
    const steps: StepRecord[] = [];
    // Counts begin anew behind the prompts.
    await this.#step(all, args);
    for (;;) {
      const going = all.filter(({ tokens }) => tokens.length < args.numTokens);
      if (going.length === 0) break;
      steps.push(await this.#step(going, args));
    }
    for (const { sequenceId } of all) this.#cache.release(sequenceId);
    return { steps, tokens: all.map(({ tokens }) => tokens.slice(0, args.numTokens)) };
  }

  async #step(
    going: readonly Running[],
    args: Manner & { readonly experts: 'counted' | 'left' },
  ): Promise<StepRecord> {
    const { numDrafts, sampling, redraft } = args;
    const start = machineClock.now();
    const sequences: SequenceTokens[] = going.map(({ sequenceId, ids, position }) => {
      const blocks = this.#cache.reserve(sequenceId, position + ids.length);
      return { sequenceId, ids, firstPosition: position, blocks: [...blocks] };
    });
    const isPrompt = at(going, 0).position === 0;
    const wanted = sequences.map(({ sequenceId, ids }) => {
      return { sequenceId, positions: isPrompt ? 1 : ids.length, sampling, numDrafts };
    });
    const report = args.experts === 'counted' ? [COUNT_AND_RESET] : [];
    const instructions: ServingInstruction[] = [
      { kind: isPrompt ? 'prefill' : 'decode', sequences },
      ...report,
      { kind: 'sample', sequences: wanted },
      ...report,
    ];
    const { outcomes, spans } = await this.#executor.run([{ rank: 0, instructions }]);
    const seconds = machineClock.now() - start;
    const outcomeOf = new Map<number, TokensOutcome>();
    const loads: ExpertLoadsOutcome[] = [];
    for (const outcome of outcomes) {
      if (outcome.kind === 'tokens') outcomeOf.set(outcome.sequenceId, outcome);
      else if (outcome.kind === 'expertLoads') loads.push(outcome);
    }
    const numDrafted: number[] = [];
    const numAccepted: number[] = [];
    let numDraftPasses = 0;
    const numRows = sequences.reduce((sum, { ids }) => sum + ids.length, 0);
    const cachedPositions = going.reduce((sum, each) => sum + each.position + each.ids.length, 0);
    for (const running of going) {
      const { sampled = [], drafts = [] } = outcomeOf.get(running.sequenceId) ?? {};
      const verified = isPrompt ? [] : running.ids.slice(1);
      const accepted = acceptDrafts(verified, sampled);
      numDrafted.push(verified.length);
      numDraftPasses = Math.max(numDraftPasses, drafts.length);
      numAccepted.push(accepted.numAccepted);
      running.tokens.push(...accepted.tokens);
      running.position += running.ids.length - verified.length + accepted.numAccepted;
      const own = redraft?.(running.sequenceId, running.tokens.length) ?? drafts;
      running.ids = [at(running.tokens, running.tokens.length - 1), ...own];
    }
    const draftSeconds = spans.reduce(
      (sum, { name, start: from, end }) => sum + (name === SPAN_OF_DRAFTS ? end - from : 0),
      0,
    );
    const numTokens = numAccepted.reduce((sum, each) => sum + 1 + each, 0);
    return {
      seconds,
      verifySeconds: seconds - draftSeconds,
      draftSeconds,
      numRows,
      numDraftRows: numTokens,
      numSequences: going.length,
      numDraftPasses,
      numDrafted,
      numAccepted,
      numTokens,
      cachedPositions,
      experts: this.#expertsOf(loads),
    };
  }

  #expertsOf([main, drafts]: readonly ExpertLoadsOutcome[]): StepRecord['experts'] {
    if (main === undefined || drafts === undefined) return null;
    const { numHiddenLayers } = this.#options.opened.config;
    const distinct = ({ layers }: ExpertLoadsOutcome, isMain: boolean): number => {
      const counted = layers
        .filter(({ layer }) => layer < numHiddenLayers === isMain)
        .map(({ tokensPerExpert }) => tokensPerExpert.filter((count) => count > 0).length);
      const used = isMain ? counted : counted.filter((count) => count > 0);
      return used.reduce((sum, count) => sum + count, 0) / Math.max(1, used.length);
    };
    return { main: distinct(main, true), drafts: distinct(drafts, false) };
  }
}
