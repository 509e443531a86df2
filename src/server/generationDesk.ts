/**
 * All generating calls of a server: lets them in, keeps them by their ids, and knows when the last
 * one is gone.
 */
import { randomBytes, randomInt } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { EngineEnd, EngineInfo } from '../serving/engineClient.ts';
import { prepare } from '../serving/openai/prepare.ts';
import type { Endpoint, ProtocolContext } from '../serving/openai/protocol.ts';
import {
  errorBody,
  messagesErrorBody,
  messagesErrorEvent,
} from '../serving/openai/protocolError.ts';
import { formatTime } from '../tokenizer/formatTime.ts';
import { Admission, type Load } from './admission.ts';
import type { RequestCaller } from './callers.ts';
import { type CallParts, type CallSummary, GenerationCall } from './generationCall.ts';
import { Heartbeat } from './liveResponse.ts';
import type { AbortReason, RequestMetrics } from './metrics.ts';
import { draining, notReady } from './refusals.ts';
import type { ServerOptions } from './serverOptions.ts';

type ErrorForms = Pick<CallParts, 'errorBody' | 'errorEvent'>;
const ERRORS: ErrorForms = { errorBody, errorEvent: (error) => ({ data: errorBody(error) }) };
const MESSAGES_ERRORS: ErrorForms = {
  errorBody: messagesErrorBody,
  errorEvent: messagesErrorEvent,
};

export class GenerationDesk {
  readonly #options: ServerOptions;
  readonly #metrics: RequestMetrics;
  readonly #admission: Admission;
  readonly #heartbeat: Heartbeat;
  /** By the request's id; ids are the callers' own and may be given twice. */
  readonly #open = new Map<GenerationCall, string>();
  readonly #taken = new WeakSet<FastifyRequest>();
  readonly #onIdle: (() => void)[] = [];
  #isDraining = false;
  #context: ProtocolContext | null = null;

  constructor(options: ServerOptions, metrics: RequestMetrics) {
    const { limits, clock, keepAliveSeconds } = options;
    this.#options = options;
    this.#metrics = metrics;
    this.#admission = new Admission({ limits, clock });
    // Looks often enough that neither bound is missed by more than a quarter.
    this.#heartbeat = new Heartbeat(Math.min(keepAliveSeconds, limits.stalledSeconds) / 4);
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  get numOpen(): number {
    return this.#open.size;
  }

  get load(): Load {
    return this.#admission.load;
  }

  /** Whether a request that came now would be let in. */
  get isOpen(): boolean {
    const { engine } = this.#options;
    if (this.#isDraining || engine.state.kind !== 'ready') return false;
    return this.#admission.isOpen(engine.info.maxSequences);
  }

  /** What requests are read against. @throws engine.starting, engine.failed, both 503 */
  context(): ProtocolContext {
    const { engine, model } = this.#options;
    const refusal = notReady(engine.state);
    if (refusal !== null) throw refusal;
    const { info } = engine;
    if (this.#context?.info !== info) this.#context = withInfo(model, info);
    return this.#context;
  }

  /** Takes the reply over: from here on the call writes to the socket itself. */
  generate(args: {
    readonly endpoint: Endpoint;
    readonly request: FastifyRequest;
    readonly reply: FastifyReply;
    readonly caller: RequestCaller;
  }): FastifyReply {
    const { endpoint, request, reply, caller } = args;
    const { engine, limits, clock, keepAliveSeconds } = this.#options;
    if (this.#isDraining) throw draining();
    const context = this.context();
    const { cacheSalt, arrivedAt } = caller;
    const call = prepare(endpoint, request.body, context, { cacheSalt });
    const demands = call.requests.map(({ requestId, promptIds, maxTokens }) => ({
      requestId,
      promptTokens: promptIds.length,
      tokens: promptIds.length + maxTokens,
    }));
    const ticket = this.#admission.admit(caller.key, demands, context.info.maxSequences);
    reply.hijack();
    this.#taken.add(request);
    const live = new GenerationCall({
      ...{ call, engine, ticket, arrivedAt, limits, clock, keepAliveSeconds },
      raw: reply.raw,
      headers: reply.getHeaders() as Record<string, string | number | string[]>,
      ...(endpoint === 'messages' ? MESSAGES_ERRORS : ERRORS),
      heartbeat: this.#heartbeat,
      metrics: this.#metrics,
      onClosed: (summary) => {
        this.#open.delete(live);
        this.note({ request, status: summary.status, caller, fields: closingFields(summary) });
        if (this.#open.size === 0) for (const tell of this.#onIdle.splice(0)) tell();
      },
    });
    this.#open.set(live, request.id);
    live.start();
    return reply;
  }

  /** Whether the reply to it was taken over. */
  hasTaken(request: FastifyRequest): boolean {
    return this.#taken.has(request);
  }

  /** The closing line of a request. */
  note(args: {
    readonly request: FastifyRequest;
    readonly status: number;
    readonly caller: RequestCaller | undefined;
    readonly fields: Readonly<Record<string, unknown>>;
  }): void {
    const { request, status, caller, fields } = args;
    const { log, clock } = this.#options;
    this.#metrics.onResponse(status);
    log.write({
      // Loading, draining and full are answers; 500 is a mistake of ours.
      level: status < 500 ? 'info' : status === 503 ? 'warn' : 'error',
      event: 'request',
      method: request.method,
      path: request.routeOptions.url ?? '(unknown)',
      status,
      seconds: caller === undefined ? 0 : clock.now() - caller.arrivedAt,
      id: request.id,
      ...(caller === undefined ? {} : { key: caller.key.name }),
      ...fields,
    });
  }

  /** @param id of a request or of one of its sequences @returns how many calls it was */
  abort(id: string): number {
    let aborted = 0;
    for (const [call, requestId] of this.#open) {
      if (requestId !== id && !call.has(id)) continue;
      call.abort('admin');
      aborted++;
    }
    return aborted;
  }

  abortAll(reason: AbortReason): number {
    for (const call of this.#open.keys()) call.abort(reason);
    return this.#open.size;
  }

  async drain(seconds: number): Promise<'done' | 'cut short'> {
    this.#isDraining = true;
    if (this.#open.size === 0) return 'done';
    return await new Promise((resolve) => {
      const timer = setTimeout(() => resolve('cut short'), seconds * 1000);
      this.#onIdle.push(() => {
        clearTimeout(timer);
        resolve('done');
      });
    });
  }
}

/** What a server reads requests against, once its engine is known. */
export function withInfo(model: ServerOptions['model'], info: EngineInfo): ProtocolContext {
  return {
    ...model,
    info,
    now: () => Math.floor(Date.now() / 1000),
    formatNow: (format) => formatTime(format, new Date()),
    randomId: () => randomBytes(16).toString('hex'),
    randomSeed: () => randomInt(2 ** 32),
  };
}

function closingFields(summary: CallSummary): Record<string, unknown> {
  const { ends, abortReason, error, firstTokenSeconds } = summary;
  const sum = (of: (usage: EngineEnd['usage']) => number): number =>
    ends.reduce((total, { usage }) => total + of(usage), 0);
  const drafted = sum((usage) => usage.drafted);
  return {
    prompt: sum((usage) => usage.promptTokens),
    cached: sum((usage) => usage.cachedTokens),
    output: sum((usage) => usage.completionTokens),
    finish: [...new Set(ends.map(({ reason }) => reason))].join(','),
    ...(firstTokenSeconds === null ? {} : { firstToken: rounded(firstTokenSeconds) }),
    ...(drafted === 0
      ? {}
      : { accepted: rounded(sum((usage) => usage.accepted) / drafted), drafted }),
    ...(abortReason === null ? {} : { aborted: abortReason }),
    ...(error === null ? {} : { error }),
  };
}

function rounded(value: number): number {
  return Number(value.toFixed(4));
}
