/**
 * The engine itself over a Markov chain: everything of serving is real but the numbers of a model.
 * Here in this thread, behind the same interface as the one in a thread of its own.
 */
import { setImmediate } from 'node:timers/promises';
import { machineClock } from '../../src/runtime/clock.ts';
import { Engine } from '../../src/serving/engine.ts';
import type {
  EngineClient,
  EngineEvent,
  EngineInfo,
  EngineInside,
  EngineRequest,
  EngineState,
  EngineStats,
  ExpertLoads,
  PromptRoutes,
} from '../../src/serving/engineClient.ts';
import { byteTokenizer } from '../../src/tokenizer/byteTokenizer.ts';
import { MARKOV_VOCABULARY, type MarkovOptions, markovExecutor } from './markovExecutor.ts';

export interface MarkovEngineOptions extends MarkovOptions {
  readonly maxSequences?: number;
  readonly maxContext?: number;
  readonly numBlocks?: number;
}

export function markovEngine(options: MarkovEngineOptions = {}): Engine {
  const { maxSequences = 8, maxContext = 4096, numBlocks = 512 } = options;
  const tokenizer = byteTokenizer();
  return new Engine({
    executor: markovExecutor(options),
    clock: machineClock,
    info: {
      ...{ maxContext, maxSequences, numBlocks, blockSize: 16 },
      ...{ vocabSize: MARKOV_VOCABULARY, numMtpModules: 1, numRoutedExperts: 4 },
      description: 'a Markov chain',
    },
    tokenBytes: tokenizer,
    endIds: new Set(tokenizer.eosTokenId === undefined ? [] : [tokenizer.eosTokenId]),
    compileGrammar: () => {
      throw new Error('no grammars here');
    },
    tokenBudget: 256,
    numDrafts: 'auto',
    isDeterministic: false,
  });
}

/** An engine in this thread: steps while there is work, with a turn of the loop between two. */
export class LocalEngineClient implements EngineClient {
  readonly #engine: Engine;
  readonly #listeners = new Map<string, (event: EngineEvent) => void>();
  /** A step takes no notice of anything while it runs. */
  readonly #betweenSteps: (() => unknown)[] = [];
  #isRunning = false;
  #isClosed = false;
  /** What tests set to see how a server bears it. */
  state: EngineState = { kind: 'ready' };

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  get info(): EngineInfo {
    return this.#engine.info;
  }

  get stats(): EngineStats {
    return this.#engine.stats;
  }

  submit(request: EngineRequest, onEvent: (event: EngineEvent) => void): void {
    this.#listeners.set(request.requestId, onEvent);
    this.#betweenSteps.push(() => this.#engine.add(request));
    void this.#run();
  }

  abort(requestId: string): void {
    this.#betweenSteps.push(() => this.#engine.abort(requestId));
    void this.#run();
  }

  async flushCache(): Promise<number> {
    return this.#engine.flushCache();
  }

  expertLoads(then: 'reset' | 'goOn'): Promise<ExpertLoads> {
    return this.#engine.expertLoads(then);
  }

  routePrompt(promptIds: Int32Array): Promise<PromptRoutes> {
    const routes = Promise.withResolvers<PromptRoutes>();
    this.#betweenSteps.push(() =>
      this.#engine.routePrompt(promptIds).then(routes.resolve, routes.reject),
    );
    void this.#run();
    return routes.promise;
  }

  lookInside(): Promise<EngineInside> {
    return this.#engine.lookInside();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  async #run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    await setImmediate();
    while (!this.#isClosed) {
      for (const change of this.#betweenSteps.splice(0)) await change();
      if (this.#engine.isIdle) break;
      for (const event of await this.#engine.step()) {
        const listener = this.#listeners.get(event.requestId);
        if (event.end !== undefined) this.#listeners.delete(event.requestId);
        listener?.(event);
      }
      await setImmediate();
    }
    this.#isRunning = false;
  }
}
