/**
 * The engine: requests in, events out, one step after another.
 *
 *     decide  policy/batching/batchScheduler.ts    what runs
 *     run     policy/batching/compileBatch.ts → the executor, real or simulated
 *     note    serving/sequence.ts                  what was decided, what may be shown, what ended
 *
 * A step never waits for anything but the executor, and nothing here knows a clock of its own, a
 * thread or a socket; whoever holds the engine calls `step` while it is not idle.
 */
import { assert, at } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { MoebiusError } from '../base/errors.ts';
import type { RunResult, ServingExecutor } from '../executor/executor.ts';
import type { CompiledGrammar, GrammarSpec } from '../grammar/grammar.ts';
import { type BatchPlan, BatchScheduler } from '../policy/batching/batchScheduler.ts';
import { type BatchedSequence, compileBatch } from '../policy/batching/compileBatch.ts';
import { compileRoutes } from '../policy/batching/compileRoutes.ts';
import { BlockManager } from '../policy/cache/blockManager.ts';
import { acceptDrafts } from '../policy/speculation/accept.ts';
import { DraftPolicy } from '../policy/speculation/draftPolicy.ts';
import type { ServingInstruction, ServingOutcome, TokensOutcome } from '../program/instruction.ts';
import type { TokenBytes } from '../tokenizer/streamDecoder.ts';
import { checkEngineRequest, failureOf } from './checkEngineRequest.ts';
import type {
  EngineEvent,
  EngineInfo,
  EngineInside,
  EngineRequest,
  EngineStats,
  ExpertLoads,
  PromptRoutes,
  RequestTimes,
  ServedStep,
} from './engineClient.ts';
import { EngineCounts } from './engineCounts.ts';
import { GrammarCache } from './grammarCache.ts';
import { checkRoutedPrompt, joinRoutes } from './promptRoutes.ts';
import { Sequence } from './sequence.ts';

export interface EngineOptions {
  readonly executor: ServingExecutor;
  readonly clock: Clock;
  readonly info: EngineInfo;
  readonly tokenBytes: TokenBytes;
  readonly endIds: ReadonlySet<number>;
  /** Ready for the tokenizer's vocabulary. */
  readonly compileGrammar: (spec: GrammarSpec) => CompiledGrammar;
  /** Rows of a step. */
  readonly tokenBudget: number;
  /** Drafts a step where a request leaves it open. */
  readonly numDrafts: 'auto' | number;
  readonly isDeterministic: boolean;
  /** Told every decision before it runs: the log that two executors are compared by. */
  readonly onPlan?: (plan: BatchPlan) => void;
  /** Where somebody records steps. */
  readonly recentSteps?: () => Promise<readonly ServedStep[]>;
}

/** Tokens that a grammar forces are run behind the last one, this many at most. */
const MAX_FORCED = 8;

/** Requests that have ended and are still told of. */
const MAX_RECENT = 128;

export class Engine {
  readonly info: EngineInfo;
  readonly #options: EngineOptions;
  readonly #blocks: BlockManager;
  readonly #scheduler: BatchScheduler;
  readonly #drafts: DraftPolicy;
  readonly #counts = new EngineCounts();
  readonly #sequences = new Map<number, Sequence>();
  readonly #byRequest = new Map<string, Sequence>();
  readonly #grammars: GrammarCache;
  /** Of the sequences that follow one. */
  readonly #followed = new Map<number, CompiledGrammar>();
  /** Sequences that an executor may forget. */
  readonly #forgotten: number[] = [];
  /** Ended ones, the last of them last. */
  readonly #recent: RequestTimes[] = [];
  /** Told with the next step. */
  #events: EngineEvent[] = [];
  #nextSequenceId = 0;

  constructor(options: EngineOptions) {
    const { info, tokenBudget, numDrafts, isDeterministic } = options;
    const { numBlocks, blockSize, maxContext, maxSequences, numMtpModules } = info;
    assert(numBlocks * blockSize >= maxContext, 'one sequence fits into the cache');
    this.info = info;
    this.#options = options;
    this.#blocks = new BlockManager({ numBlocks, blockSize });
    const limits = { maxSequences, tokenBudget, isDeterministic };
    this.#scheduler = new BatchScheduler(this.#blocks, limits);
    this.#grammars = new GrammarCache(options.compileGrammar);
    this.#drafts = new DraftPolicy({ maxDrafts: numMtpModules, mode: numDrafts });
  }

  /** Nothing to run, to tell, or to forget. */
  get isIdle(): boolean {
    return this.#sequences.size + this.#events.length + this.#forgotten.length === 0;
  }

  get stats(): EngineStats {
    let waitingTokens = 0;
    for (const sequenceId of this.#scheduler.waiting()) {
      const { ids, room } = this.#sequenceOf(sequenceId);
      waitingTokens += ids.length + room;
    }
    return {
      ...this.#counts.totals,
      running: this.#scheduler.numRunning,
      waiting: this.#scheduler.numWaiting,
      waitingTokens,
      usedBlocks: this.info.numBlocks - this.#blocks.numFree,
      cachedBlocks: this.#blocks.numCached,
    };
  }

  /** What is wrong with a request comes as its end. */
  add(request: EngineRequest): void {
    try {
      checkEngineRequest(request, this.info);
      assert(!this.#byRequest.has(request.requestId), 'a request has a name of its own');
      const { grammar, numDrafts = 'auto' } = request;
      const followed =
        grammar === undefined ? null : this.#grammars.get(grammar.spec, this.#followed.values());
      const sequenceId = this.#nextSequenceId++;
      const numSequences = this.#scheduler.numRunning + 1;
      const sequence = new Sequence({
        ...{ sequenceId, request, matcher: followed?.start() ?? null },
        vocabSize: this.info.vocabSize,
        endIds: this.#options.endIds,
        tokenBytes: this.#options.tokenBytes,
        maxContext: this.info.maxContext,
        wantsDrafts: this.#drafts.begin(sequenceId, numDrafts, numSequences),
        now: this.#options.clock.now(),
      });
      this.#sequences.set(sequenceId, sequence);
      this.#byRequest.set(request.requestId, sequence);
      if (followed !== null) this.#followed.set(sequenceId, followed);
      this.#scheduler.add({
        ...{ sequenceId, ids: sequence.ids, numPromptTokens: sequence.ids.length },
        priority: request.priority ?? 0,
        salt: request.cacheSalt ?? '',
        wantsDrafts: sequence.wantsDrafts,
      });
    } catch (error) {
      if (!(error instanceof MoebiusError)) throw error;
      this.#events.push(refusal(request, error));
    }
  }

  /** Told with the next step; unknown requests are ignored. */
  abort(requestId: string): void {
    const sequence = this.#byRequest.get(requestId);
    if (sequence === undefined) return;
    this.#events.push(sequence.cut('abort', this.#options.clock.now()));
    this.#remove(sequence);
  }

  /** Decides, runs and notes one step; only events that are due, where nothing is to be run. */
  async step(): Promise<EngineEvent[]> {
    const plan = this.#scheduler.next();
    this.#options.onPlan?.(plan);
    const begin = this.#options.clock.now();
    this.#begin(plan, begin);
    const numSequences = plan.chunks.length + plan.decodes.length;
    if (numSequences + this.#forgotten.length > 0) {
      const result = await this.#run(plan);
      if (result !== null) this.#note(plan, result);
      this.#counts.addStep(this.#options.clock.now() - begin);
    }
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** Forgets prefixes that nobody uses; @returns blocks given back */
  flushCache(): number {
    return this.#blocks.flush();
  }

  async expertLoads(then: 'reset' | 'goOn'): Promise<ExpertLoads> {
    const instructions: ServingInstruction[] = [{ kind: 'reportExperts', then }];
    const { outcomes } = await this.#options.executor.run([{ rank: 0, instructions }]);
    const loads = outcomes.find((outcome) => outcome.kind === 'expertLoads');
    return { layers: loads?.layers ?? [] };
  }

  /**
   * A prompt through the model by itself, between two steps; its blocks are given back at once.
   *
   * @throws what `checkRoutedPrompt` refuses; routes.busy while others fill the cache
   */
  async routePrompt(promptIds: Int32Array): Promise<PromptRoutes> {
    checkRoutedPrompt(promptIds, this.info);
    const numFree = this.#blocks.numFree * this.info.blockSize;
    if (promptIds.length > numFree) throw cacheTaken(promptIds.length, numFree);
    const sequenceId = this.#nextSequenceId++;
    try {
      const blocks = this.#blocks.reserve(sequenceId, promptIds.length);
      const prompt = { sequenceId, ids: [...promptIds], blocks };
      const instructions = compileRoutes(prompt, this.#options.tokenBudget);
      const { outcomes } = await this.#options.executor.run([{ rank: 0, instructions }]);
      return joinRoutes(outcomes, promptIds.length);
    } finally {
      this.#blocks.release(sequenceId);
    }
  }

  async lookInside(): Promise<EngineInside> {
    const { numBlocks, blockSize } = this.info;
    const requests = [...this.#sequences.values()].map(({ sequenceId, request }) => ({
      requestId: request.requestId,
      blocks: [...this.#blocks.blocksOf(sequenceId)],
    }));
    const cache = { numBlocks, blockSize, requests, unused: this.#blocks.unusedBlocks };
    const now = this.#options.clock.now();
    const underWay = [...this.#sequences.values()].map((sequence) => sequence.timesAt(now));
    const times = [...this.#recent, ...underWay].sort((a, b) => a.number - b.number);
    return { steps: (await this.#options.recentSteps?.()) ?? [], cache, requests: times, now };
  }

  #begin(plan: BatchPlan, now: number): void {
    for (const sequenceId of plan.preempted) {
      this.#sequenceOf(sequenceId).preempt();
      this.#counts.addPreemption();
    }
    for (const { sequenceId, cachedPositions, draftedPositions } of plan.admitted) {
      const sequence = this.#sequenceOf(sequenceId);
      sequence.isDrafted = sequence.wantsDrafts && draftedPositions === cachedPositions;
      const event = sequence.start(cachedPositions, now);
      if (event === null) continue;
      this.#counts.addPrompt(sequence.request.promptIds.length, cachedPositions);
      this.#events.push(event);
    }
  }

  /** @returns null where sequences failed one by one and have been told */
  async #run(plan: BatchPlan): Promise<RunResult<ServingOutcome> | null> {
    try {
      return await this.#execute(plan);
    } catch (error) {
      // What the caller can do something about concerns some sequence; the others go on.
      if (!(error instanceof MoebiusError)) throw error;
      await this.#runSingly(plan, error);
      return null;
    }
  }

  async #execute(plan: BatchPlan): Promise<RunResult<ServingOutcome>> {
    const forgotten = this.#forgotten.splice(0);
    const numSequences = plan.decodes.length + plan.chunks.length;
    /** Drafts behind the last row of those that are sampled at. */
    const sampled = new Map<number, readonly number[]>();
    for (const { sequenceId, drafts } of plan.decodes) sampled.set(sequenceId, drafts);
    for (const { sequenceId, isLast } of plan.chunks) if (isLast) sampled.set(sequenceId, []);
    const instructions = compileBatch(plan, {
      sequenceOf: (sequenceId) =>
        this.#batched(sequenceId, { drafts: sampled.get(sequenceId) ?? null, numSequences }),
      forgotten,
      numMtpModules: this.info.numMtpModules,
    });
    return this.#options.executor.run([{ rank: 0, instructions }]);
  }

  /** Each sequence by itself: rows are written to the same places, so a second time is harmless. */
  async #runSingly(plan: BatchPlan, error: MoebiusError): Promise<void> {
    const parts: BatchPlan[] = [
      ...plan.chunks.map((chunk) => ({ ...plan, chunks: [chunk], decodes: [] })),
      ...plan.decodes.map((rows) => ({ ...plan, chunks: [], decodes: [rows] })),
    ];
    for (const part of parts) {
      const { sequenceId } = at([...part.chunks, ...part.decodes], 0);
      try {
        if (parts.length === 1) throw error;
        this.#note(part, await this.#execute(part));
      } catch (cause) {
        if (!(cause instanceof MoebiusError)) throw cause;
        const sequence = this.#sequenceOf(sequenceId);
        const now = this.#options.clock.now();
        this.#events.push(sequence.cut('error', now, failureOf(cause)));
        this.#remove(sequence);
      }
    }
  }

  #batched(
    sequenceId: number,
    { drafts, numSequences }: { drafts: readonly number[] | null; numSequences: number },
  ): BatchedSequence {
    const sequence = this.#sequenceOf(sequenceId);
    const wanted = sequence.isDrafted
      ? this.#drafts.draftsFor(sequenceId, sequence.request.numDrafts ?? 'auto', numSequences)
      : 0;
    // The step decides one token at least, and the last one needs no draft.
    const numDrafts = Math.max(0, Math.min(wanted, sequence.room - 2));
    return sequence.batched(this.#blocks.blocksOf(sequenceId), { numDrafts, drafts });
  }

  #note(plan: BatchPlan, { outcomes, spans }: RunResult<ServingOutcome>): void {
    const now = this.#options.clock.now();
    const byId = new Map<number, TokensOutcome>();
    for (const outcome of outcomes) {
      if (outcome.kind === 'tokens') byId.set(outcome.sequenceId, outcome);
    }
    const isPlain = this.#drafts.isPlainStep(plan.decodes.length);
    // Prices are of steps like those they are asked for.
    const isPriced =
      plan.chunks.length === 0 &&
      plan.decodes.every(({ sequenceId }) => this.#sequenceOf(sequenceId).draftsBy === 'modules');
    for (const { sequenceId, first, count, isLast } of plan.chunks) {
      const sequence = this.#sequenceOf(sequenceId);
      if (isLast) this.#decide(sequence, { outcome: byId.get(sequenceId), ran: [], isPlain, now });
      else this.#completeChunk(sequence, first + count);
    }
    for (const { sequenceId, drafts } of plan.decodes) {
      const outcome = byId.get(sequenceId);
      this.#decide(this.#sequenceOf(sequenceId), { outcome, ran: drafts, isPlain, now });
    }
    if (isPriced) this.#drafts.noteStep(this.#counts.costOf(plan, spans));
  }

  #completeChunk(sequence: Sequence, numComputed: number): void {
    const { sequenceId, isDrafted } = sequence;
    this.#scheduler.complete(sequenceId, { numComputed, drafts: [], isDrafted });
  }

  #decide(
    sequence: Sequence,
    step: {
      outcome: TokensOutcome | undefined;
      ran: readonly number[];
      isPlain: boolean;
      now: number;
    },
  ): void {
    const { outcome, ran, now } = step;
    assert(outcome !== undefined && outcome.sampled.length === ran.length + 1, 'all was sampled');
    const { sequenceId } = sequence;
    const before = sequence.ids.length;
    const { numAccepted, tokens } = acceptDrafts(ran, outcome.sampled);
    const isForced = sequence.draftsBy === 'rules';
    const decided = {
      ...{ outcome, tokens, numDrafted: isForced ? 0 : ran.length },
      numAccepted: isForced ? 0 : numAccepted,
    };
    this.#drafts.noteDrafts(sequenceId, decided);
    const event = sequence.decide(decided, now);
    this.#counts.addDecided(decided, sequence.ids.length - before);
    this.#events.push(event);
    sequence.isDrafted &&= sequence.numDrafts > 0;
    const { isDrafted } = sequence;
    const numComputed = Math.min(before + numAccepted, sequence.ids.length);
    const drafts = event.end === undefined ? this.#draftsBehind(sequence, outcome, step) : [];
    this.#scheduler.complete(sequenceId, { numComputed, drafts, isDrafted });
    if (event.end !== undefined) this.#remove(sequence);
  }

  /** What the next step runs behind the last token: what is forced, else what was drafted. */
  #draftsBehind(
    sequence: Sequence,
    outcome: TokensOutcome,
    { isPlain }: { isPlain: boolean },
  ): readonly number[] {
    const { rules, room } = sequence;
    const forced = rules.forced(Math.min(MAX_FORCED, room - 1));
    sequence.draftsBy = forced.length > 0 ? 'rules' : 'modules';
    if (forced.length > 0) return forced;
    return isPlain ? [] : rules.possible(outcome.drafts.slice(0, Math.max(0, room - 1)));
  }

  #remove(sequence: Sequence): void {
    const { sequenceId, request } = sequence;
    if (this.#recent.length === MAX_RECENT) this.#recent.shift();
    this.#recent.push(sequence.timesAt(this.#options.clock.now()));
    this.#scheduler.remove(sequenceId);
    this.#drafts.end(sequenceId);
    this.#sequences.delete(sequenceId);
    this.#followed.delete(sequenceId);
    this.#byRequest.delete(request.requestId);
    this.#forgotten.push(sequenceId);
  }

  #sequenceOf(sequenceId: number): Sequence {
    const sequence = this.#sequences.get(sequenceId);
    assert(sequence !== undefined, 'a sequence of the plan is under way');
    return sequence;
  }
}

function cacheTaken(promptTokens: number, freeTokens: number): MoebiusError {
  return new MoebiusError('routes.busy', 'requests under way leave the prompt no room', {
    values: { promptTokens, freeTokens },
    hint: 'Try again when they have ended, or shorten the prompt.',
  });
}

function refusal({ requestId, promptIds }: EngineRequest, error: MoebiusError): EngineEvent {
  const usage = {
    promptTokens: promptIds.length,
    ...{ cachedTokens: 0, completionTokens: 0, drafted: 0, accepted: 0, preemptions: 0 },
    ...{ draftedPerPosition: [], acceptedPerPosition: [] },
    ...{ queueSeconds: 0, prefillSeconds: 0, decodeSeconds: 0 },
  };
  const end = { reason: 'error' as const, stop: null, error: failureOf(error), usage };
  return { requestId, text: '', tokens: [], end };
}
