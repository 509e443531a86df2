/**
 * The engine as the HTTP thread sees it: a kernel thread that may die, and is started again.
 *
 * When the thread ends of itself (an exception, an exit, a kill), everything it had under way fails
 * at once with `engine.crashed`, and a new thread loads the model while `state` says `starting`.
 * Restarts come after growing pauses; a thread that keeps dying is given up.
 */
import { Worker } from 'node:worker_threads';
import type { Clock } from '../../base/clock.ts';
import { MoebiusError } from '../../base/errors.ts';
import type {
  EngineClient,
  EngineEvent,
  EngineFailure,
  EngineInfo,
  EngineInside,
  EngineRequest,
  EngineState,
  EngineStats,
  ExpertLoads,
  PromptRoutes,
} from '../../serving/engineClient.ts';
import { type FromEngine, NO_STATS, type ToEngine } from './engineMessages.ts';

export interface ThreadEngineOptions {
  /** The thread's program; it ends in `runEngineLoop`. */
  readonly program: URL;
  readonly workerData: unknown;
  readonly clock: Clock;
  /** Of one crash after another; the count begins anew after `stableSeconds` of service. */
  readonly maxRestarts: number;
  readonly stableSeconds: number;
  /** Before the first restart; each next one waits twice as long, up to half a minute. */
  readonly firstPauseSeconds: number;
  /** A thread that says nothing for so long while requests wait is ended; null: never. */
  readonly hangSeconds: number | null;
  readonly onNotice: (text: string) => void;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
  readonly onCrash: (error: EngineFailure, restart: RestartPlan) => void;
  readonly onReady: (info: EngineInfo) => void;
}

export interface RestartPlan {
  /** From 1; null: it is given up. */
  readonly attempt: number | null;
  readonly inSeconds: number;
  readonly failedRequests: number;
}

interface OpenRequest {
  readonly promptTokens: number;
  readonly submittedAt: number;
  readonly onEvent: (event: EngineEvent) => void;
}

interface OpenCall {
  readonly resolve: (value: never) => void;
  readonly reject: (error: MoebiusError) => void;
}

const LONGEST_PAUSE_SECONDS = 30;
/** For a thread that was told to close: a step may be under way. */
const CLOSE_PATIENCE_MS = 5000;

export class ThreadEngineClient implements EngineClient {
  readonly #options: ThreadEngineOptions;
  readonly #open = new Map<string, OpenRequest>();
  readonly #calls = new Map<number, OpenCall>();
  #worker: Worker | null = null;
  #state: EngineState = { kind: 'starting', doneBytes: 0, totalBytes: 0 };
  #info: EngineInfo | null = null;
  #stats: EngineStats = NO_STATS;
  #failure: EngineFailure | null = null;
  #numRestarts = 0;
  #readyAt: number | null = null;
  #heardAt = 0;
  #nextCallId = 0;
  #isClosing = false;
  #restartTimer: NodeJS.Timeout | null = null;
  readonly #hangTimer: NodeJS.Timeout | null;

  constructor(options: ThreadEngineOptions) {
    this.#options = options;
    const { hangSeconds } = options;
    this.#hangTimer =
      hangSeconds === null ? null : setInterval(() => this.#checkHang(hangSeconds), 1000).unref();
    this.#start();
  }

  get state(): EngineState {
    return this.#state;
  }

  get info(): EngineInfo {
    if (this.#info !== null) return this.#info;
    throw new MoebiusError('engine.starting', 'the model is being loaded', {
      hint: 'Wait until the state is ready.',
    });
  }

  get stats(): EngineStats {
    return this.#stats;
  }

  submit(request: EngineRequest, onEvent: (event: EngineEvent) => void): void {
    const open = {
      promptTokens: request.promptIds.length,
      submittedAt: this.#options.clock.now(),
      onEvent,
    };
    const refusal = this.#refusal();
    if (refusal !== null) {
      queueMicrotask(() => onEvent(this.#endOf(request.requestId, open, refusal)));
      return;
    }
    if (this.#open.size === 0) this.#heardAt = this.#options.clock.now();
    this.#open.set(request.requestId, open);
    this.#post({ kind: 'submit', request });
  }

  abort(requestId: string): void {
    if (this.#open.has(requestId)) this.#post({ kind: 'abort', requestId });
  }

  flushCache(): Promise<number> {
    return this.#call((callId) => ({ kind: 'flushCache', callId }));
  }

  expertLoads(then: 'reset' | 'goOn'): Promise<ExpertLoads> {
    return this.#call((callId) => ({ kind: 'expertLoads', callId, then }));
  }

  routePrompt(promptIds: Int32Array): Promise<PromptRoutes> {
    return this.#call((callId) => ({ kind: 'routePrompt', callId, promptIds }));
  }

  lookInside(): Promise<EngineInside> {
    return this.#call((callId) => ({ kind: 'lookInside', callId }));
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    if (this.#restartTimer !== null) clearTimeout(this.#restartTimer);
    if (this.#hangTimer !== null) clearInterval(this.#hangTimer);
    const worker = this.#worker;
    if (worker !== null) {
      const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
      this.#post({ kind: 'close' });
      const timer = setTimeout(() => void worker.terminate(), CLOSE_PATIENCE_MS);
      await ended;
      clearTimeout(timer);
    }
    this.#failAll(CLOSED);
    this.#state = { kind: 'failed', error: CLOSED };
  }

  #start(): void {
    const { program, workerData } = this.#options;
    this.#state = { kind: 'starting', doneBytes: 0, totalBytes: 0 };
    this.#failure = null;
    // Options of this process (--test, --inspect) are not the thread's.
    const worker = new Worker(program, { workerData, execArgv: [] });
    this.#worker = worker;
    worker.on('message', (message: FromEngine) => {
      if (this.#worker === worker) this.#onMessage(message);
    });
    worker.on('error', (error) => {
      const because = error instanceof Error ? error.message : String(error);
      this.#failure ??= crashed(because);
    });
    worker.on('exit', (code) => {
      if (this.#worker === worker) this.#onExit(this.#failure ?? crashed(`exit code ${code}`));
    });
  }

  #onMessage(message: FromEngine): void {
    this.#heardAt = this.#options.clock.now();
    switch (message.kind) {
      case 'starting': {
        const { doneBytes, totalBytes } = message;
        // Experts are read on while requests are served already.
        if (this.#state.kind !== 'ready') this.#state = { kind: 'starting', doneBytes, totalBytes };
        this.#options.onProgress(doneBytes, totalBytes);
        return;
      }
      case 'notice':
        this.#options.onNotice(message.text);
        return;
      case 'ready':
        this.#info = message.info;
        this.#stats = message.stats;
        this.#readyAt = this.#heardAt;
        this.#state = { kind: 'ready' };
        this.#options.onReady(message.info);
        return;
      case 'step':
        if (message.stats !== undefined) this.#stats = message.stats;
        for (const event of message.events) this.#give(event);
        return;
      case 'freedBlocks':
        this.#answer(message.callId)?.resolve(message.blocks as never);
        return;
      case 'loads':
        this.#answer(message.callId)?.resolve(message.loads as never);
        return;
      case 'routes':
        this.#answer(message.callId)?.resolve(message.routes as never);
        return;
      case 'inside':
        this.#answer(message.callId)?.resolve(message.inside as never);
        return;
      case 'refused':
        this.#answer(message.callId)?.reject(errorOf(message.error));
        return;
      case 'failed':
        this.#failure = message.error;
        return;
      default:
        message satisfies never;
    }
  }

  #give(event: EngineEvent): void {
    const open = this.#open.get(event.requestId);
    if (event.end !== undefined) this.#open.delete(event.requestId);
    open?.onEvent(event);
  }

  #onExit(failure: EngineFailure): void {
    this.#worker = null;
    if (this.#isClosing) return;
    const { clock, maxRestarts, stableSeconds, firstPauseSeconds } = this.#options;
    const served = this.#readyAt === null ? 0 : clock.now() - this.#readyAt;
    if (served >= stableSeconds) this.#numRestarts = 0;
    // A model that never loaded will not load the next time either.
    const isHopeless = this.#info === null || this.#numRestarts >= maxRestarts;
    this.#readyAt = null;
    this.#stats = NO_STATS;
    this.#state = isHopeless
      ? { kind: 'failed', error: failure }
      : { kind: 'starting', doneBytes: 0, totalBytes: 0 };
    const failedRequests = this.#open.size;
    this.#failAll({ ...crashed(''), values: { because: failure.code } });
    const pause = Math.min(firstPauseSeconds * 2 ** this.#numRestarts, LONGEST_PAUSE_SECONDS);
    const attempt = isHopeless ? null : ++this.#numRestarts;
    this.#options.onCrash(failure, { attempt, inSeconds: pause, failedRequests });
    if (!isHopeless) this.#restartTimer = setTimeout(() => this.#start(), pause * 1000);
  }

  #failAll(failure: EngineFailure): void {
    const open = [...this.#open];
    this.#open.clear();
    for (const [requestId, each] of open) each.onEvent(this.#endOf(requestId, each, failure));
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const { reject } of calls) reject(errorOf(failure));
  }

  #checkHang(hangSeconds: number): void {
    if (this.#worker === null || this.#state.kind !== 'ready' || this.#open.size === 0) return;
    if (this.#options.clock.now() - this.#heardAt < hangSeconds) return;
    const message = `the engine has said nothing for ${hangSeconds} s`;
    this.#end({ code: 'engine.hung', message });
  }

  /** Ends the thread as if it had died: what it runs fails, and another one is started. */
  restart(): void {
    this.#end({ code: 'engine.restarted', message: 'the engine is started again' });
  }

  #end(failure: EngineFailure): void {
    const worker = this.#worker;
    if (worker === null) return;
    // A thread inside a kernel ends only when the kernel does: nobody waits for that.
    this.#onExit(failure);
    void worker.terminate();
  }

  #refusal(): EngineFailure | null {
    if (this.#isClosing) return CLOSED;
    if (this.#state.kind === 'failed') return this.#state.error;
    if (this.#state.kind === 'ready') return null;
    return { code: 'engine.starting', message: 'the model is being loaded' };
  }

  #endOf(requestId: string, open: OpenRequest, error: EngineFailure): EngineEvent {
    const usage = {
      promptTokens: open.promptTokens,
      ...{ cachedTokens: 0, completionTokens: 0, drafted: 0, accepted: 0 },
      ...{ draftedPerPosition: [], acceptedPerPosition: [], preemptions: 0 },
      queueSeconds: this.#options.clock.now() - open.submittedAt,
      ...{ prefillSeconds: 0, decodeSeconds: 0 },
    };
    return { requestId, text: '', tokens: [], end: { reason: 'error', stop: null, error, usage } };
  }

  #call<T>(message: (callId: number) => ToEngine): Promise<T> {
    const refusal = this.#refusal();
    if (refusal !== null) return Promise.reject(errorOf(refusal));
    const callId = this.#nextCallId++;
    return new Promise<T>((resolve, reject) => {
      this.#calls.set(callId, { resolve: resolve as (value: never) => void, reject });
      this.#post(message(callId));
    });
  }

  #answer(callId: number): OpenCall | undefined {
    const call = this.#calls.get(callId);
    this.#calls.delete(callId);
    return call;
  }

  #post(message: ToEngine): void {
    this.#worker?.postMessage(message);
  }
}

const CLOSED: EngineFailure = { code: 'engine.closed', message: 'the engine was closed' };

function crashed(because: string): EngineFailure {
  return {
    code: 'engine.crashed',
    message: 'the engine crashed while it worked on this',
    hint: 'Send it again; the engine is being started anew.',
    ...(because === '' ? {} : { values: { because } }),
  };
}

function errorOf({ code, message, hint, values }: EngineFailure): MoebiusError {
  return new MoebiusError(code as `${string}.${string}`, message, {
    ...(hint === undefined ? {} : { hint }),
    ...(values === undefined ? {} : { values }),
  });
}
