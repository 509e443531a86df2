/**
 * The kernel thread's one loop: take what came in, run a step, post what it did.
 *
 * Kernels leave the event loop no turn while a step runs, so the inbox is emptied by hand between
 * two steps: a cancelled request is gone within the step under way. With nothing to do the thread
 * sleeps until a message wakes it.
 */
import { setImmediate } from 'node:timers/promises';
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { MoebiusError } from '../../base/errors.ts';
import { machineClock } from '../../runtime/clock.ts';
import { failureOf } from '../../serving/checkEngineRequest.ts';
import type {
  EngineEvent,
  EngineFailure,
  EngineInfo,
  EngineInside,
  EngineRequest,
  EngineStats,
  ExpertLoads,
  PromptRoutes,
} from '../../serving/engineClient.ts';
import type { FromEngine, ToEngine } from './engineMessages.ts';
import { EventOutbox } from './eventOutbox.ts';

/** The engine as this loop drives it. */
export interface SteppedEngine {
  readonly info: EngineInfo;
  readonly stats: EngineStats;
  /** No request is under way, and every event was given out. */
  readonly isIdle: boolean;
  add(request: EngineRequest): void;
  abort(requestId: string): void;
  step(): Promise<readonly EngineEvent[]>;
  flushCache(): number;
  expertLoads(then: 'reset' | 'goOn'): Promise<ExpertLoads>;
  routePrompt(promptIds: Int32Array): Promise<PromptRoutes>;
  lookInside(): Promise<EngineInside>;
}

/** Between two turns of the event loop, and two readings of stats, while there is work. */
const TURN_SECONDS = 0.02;

/**
 * @param streamSeconds at most so often a text that is under way is told of; see `EventOutbox`
 * @returns when it is told to close; an exception of a step goes up
 */
export async function runEngineLoop(
  engine: SteppedEngine,
  port: MessagePort,
  streamSeconds: number,
): Promise<void> {
  const inbox = new Inbox(port);
  const outbox = new EventOutbox(streamSeconds);
  const post = (message: FromEngine): void => port.postMessage(message);
  post({ kind: 'ready', info: engine.info, stats: engine.stats });
  let nextTurn = 0;
  while (true) {
    for (let message = inbox.take(); message !== undefined; message = inbox.take()) {
      if (message.kind === 'close') return;
      // A prompt may take long, and what is held must not wait for it.
      if (message.kind === 'submit' && !outbox.isEmpty) {
        post({ kind: 'step', events: outbox.take(machineClock.now()) });
      }
      await obey(engine, message, post);
    }
    if (engine.isIdle) {
      await inbox.arrival();
      continue;
    }
    outbox.add(await engine.step());
    const now = machineClock.now();
    const isTurn = now >= nextTurn || engine.isIdle;
    const stats = isTurn || outbox.hasNews ? { stats: engine.stats } : {};
    const events = outbox.isDue(now) ? outbox.take(now) : [];
    if (isTurn || events.length > 0) post({ kind: 'step', events, ...stats });
    // Files that are still being read, and timers, get their turn; a turn for every step would cost
    // a short one a hundredth of its time, and so would stats.
    if (!isTurn) continue;
    await setImmediate();
    nextTurn = now + TURN_SECONDS;
  }
}

async function obey(
  engine: SteppedEngine,
  message: Exclude<ToEngine, { kind: 'close' }>,
  post: (message: FromEngine) => void,
): Promise<void> {
  switch (message.kind) {
    case 'submit':
      engine.add(message.request);
      return;
    case 'abort':
      engine.abort(message.requestId);
      return;
    case 'flushCache': {
      const { callId } = message;
      post({ kind: 'freedBlocks', callId, blocks: engine.flushCache() });
      return;
    }
    case 'expertLoads': {
      const { callId, then } = message;
      const answer = async (): Promise<FromEngine> => {
        return { kind: 'loads', callId, loads: await engine.expertLoads(then) };
      };
      post(await answerOf(callId, answer));
      return;
    }
    case 'routePrompt': {
      const { callId, promptIds } = message;
      const answer = async (): Promise<FromEngine> => {
        return { kind: 'routes', callId, routes: await engine.routePrompt(promptIds) };
      };
      post(await answerOf(callId, answer));
      return;
    }
    case 'lookInside': {
      const { callId } = message;
      post({ kind: 'inside', callId, inside: await engine.lookInside() });
      return;
    }
    default:
      message satisfies never;
  }
}

/** A call that is refused is answered so; what is our own mistake ends the thread. */
async function answerOf(callId: number, answer: () => Promise<FromEngine>): Promise<FromEngine> {
  try {
    return await answer();
  } catch (error) {
    if (!(error instanceof MoebiusError)) throw error;
    return { kind: 'refused', callId, error: failureOf(error) };
  }
}

/** Why a thread ends; of our own mistakes the stack is kept, for the log. */
export function crashFailure(error: unknown): EngineFailure {
  if (error instanceof MoebiusError) return failureOf(error);
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: 'engine.crashed', message: 'the engine crashed', values: { because: text } };
}

/** Messages in order, however they arrive: handed over by the event loop, or fetched. */
class Inbox {
  readonly #port: MessagePort;
  readonly #messages: ToEngine[] = [];
  #wake: (() => void) | null = null;

  constructor(port: MessagePort) {
    this.#port = port;
    port.on('message', (message: ToEngine) => {
      this.#messages.push(message);
      this.#wake?.();
      this.#wake = null;
    });
  }

  take(): ToEngine | undefined {
    const first = this.#messages.shift();
    if (first !== undefined) return first;
    const received = receiveMessageOnPort(this.#port) as { message: ToEngine } | undefined;
    return received?.message;
  }

  async arrival(): Promise<void> {
    if (this.#messages.length > 0) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }
}
