/**
 * One call that generates, from its admission to its last byte.
 *
 *   prepare ─► admit ─► submit ─► events ─► renderer ─► chunks ──► stream, one write a step
 *                          ▲                         └► body ───► whole, when it is done
 *                          └── abort: reader gone, reader too slow, admin, shutdown
 *
 * The status of a response can be told once only, so headers wait a little: a stream's for the
 * first event (at most a tenth of a second), a whole response's until it is done or the first sign
 * of life is due. An error that comes later is in the stream, or in the body under a 200.
 */
import type { ServerResponse } from 'node:http';
import type { Clock } from '../base/clock.ts';
import type { EngineClient, EngineEnd, EngineEvent } from '../serving/engineClient.ts';
import type { PreparedCall, StreamChunk } from '../serving/openai/protocol.ts';
import { fromFailure, type ProtocolError } from '../serving/openai/protocolError.ts';
import type { Ticket } from './admission.ts';
import type { ServerLimits } from './limits.ts';
import { type Heartbeat, LiveResponse } from './liveResponse.ts';
import type { AbortReason, RequestMetrics } from './metrics.ts';
import { RETRY_AFTER } from './refusals.ts';

/** Refusals of an idle engine come within a few milliseconds. */
const STATUS_PATIENCE_MS = 100;
/** nginx's number for a client that hung up. */
export const CLIENT_GONE = 499;

export interface CallParts {
  readonly call: PreparedCall;
  readonly engine: EngineClient;
  readonly ticket: Ticket;
  readonly raw: ServerResponse;
  /** Headers that hooks have set: CORS, the request's id. */
  readonly headers: Readonly<Record<string, string | number | string[]>>;
  readonly errorBody: (error: ProtocolError) => object;
  /** The same in a stream. */
  readonly errorEvent: (error: ProtocolError) => StreamChunk;
  readonly heartbeat: Heartbeat;
  readonly metrics: RequestMetrics;
  readonly clock: Clock;
  readonly limits: ServerLimits;
  readonly keepAliveSeconds: number;
  /** When the request came in, by `clock`. */
  readonly arrivedAt: number;
  readonly onClosed: (summary: CallSummary) => void;
}

/** For the closing line of the log. */
export interface CallSummary {
  readonly status: number;
  readonly abortReason: AbortReason | null;
  readonly error: string | null;
  readonly firstTokenSeconds: number | null;
  readonly ends: readonly EngineEnd[];
}

export class GenerationCall {
  readonly #parts: CallParts;
  readonly #response: LiveResponse;
  /** Sequences that have not ended, with the time of their last tokens. */
  readonly #open = new Map<string, { tokensAt: number | null }>();
  readonly #ends: EngineEnd[] = [];
  #opener: NodeJS.Timeout | null = null;
  #status = 200;
  #abortReason: AbortReason | null = null;
  #firstTokenSeconds: number | null = null;
  #isClosed = false;
  #mistake: string | null = null;

  constructor(parts: CallParts) {
    this.#parts = parts;
    const { raw, clock, limits, keepAliveSeconds } = parts;
    this.#response = new LiveResponse({
      raw,
      clock,
      ...{ bufferedBytes: limits.bufferedBytes, stalledSeconds: limits.stalledSeconds },
      quietSeconds: keepAliveSeconds,
      onQuiet: () => this.#signOfLife(),
      onSlowReader: () => this.abort('slow_reader'),
    });
  }

  start(): void {
    const { call, engine, raw, heartbeat } = this.#parts;
    raw.on('close', () => this.#onClose());
    heartbeat.add(this.#response);
    if (call.isStreaming) {
      this.#opener = setTimeout(() => this.#openStream(), STATUS_PATIENCE_MS);
    }
    // All are known before the first answers: an engine may answer at once.
    for (const { requestId } of call.requests) this.#open.set(requestId, { tokensAt: null });
    for (const request of call.requests) engine.submit(request, (event) => this.#onEvent(event));
  }

  /** Whether one of its sequences has this id. */
  has(requestId: string): boolean {
    return this.#open.has(requestId);
  }

  abort(reason: AbortReason): void {
    this.#abortReason ??= reason;
    for (const requestId of this.#open.keys()) this.#parts.engine.abort(requestId);
  }

  #onEvent(event: EngineEvent): void {
    this.#count(event);
    if (this.#parts.raw.destroyed) this.#closeWhenOver();
    if (this.#parts.raw.destroyed || this.#mistake !== null) return;
    try {
      this.#show(event);
    } catch (error) {
      this.#failBy(error);
    }
  }

  #show(event: EngineEvent): void {
    const { call } = this.#parts;
    const chunks = call.renderer.onEvent(event);
    const { failure, isDone } = call.renderer;
    if (failure !== null && !this.#response.hasHeaders) {
      this.#refuse(failure);
      return;
    }
    if (call.isStreaming) {
      this.#openStream();
      this.#response.push(chunks.map(serverSentEvent).join(''));
    }
    if (isDone || failure !== null) this.#finish(failure);
  }

  /** A mistake of ours in writing one answer ends that answer, and no other. */
  #failBy(error: unknown): void {
    this.#mistake = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const failure = fromFailure({
      code: 'server.failed',
      message: 'the answer could not be written',
      hint: 'Report this with the server’s log.',
    });
    if (!this.#response.hasHeaders) {
      this.#refuse(failure);
      return;
    }
    // For the log: the reader has its 200 already.
    this.#status = failure.status;
    const { call, errorEvent } = this.#parts;
    if (call.isStreaming) this.#response.push(serverSentEvent(errorEvent(failure)));
    this.#finish(failure);
  }

  /** The books: times, limits, metrics. */
  #count({ requestId, tokens, end, started }: EngineEvent): void {
    const { ticket, metrics, clock, arrivedAt } = this.#parts;
    const sequence = this.#open.get(requestId);
    if (sequence === undefined) return;
    if (started !== undefined) ticket.started(requestId);
    const now = clock.now();
    if (tokens.length > 0) {
      if (sequence.tokensAt === null) metrics.onFirstToken(now - arrivedAt);
      else metrics.onTokens(tokens.length, now - sequence.tokensAt);
      this.#firstTokenSeconds ??= now - arrivedAt;
      sequence.tokensAt = now;
    }
    if (end === undefined) return;
    this.#open.delete(requestId);
    this.#ends.push(end);
    ticket.ended(requestId, end.usage);
    metrics.onEnd(end, now - arrivedAt);
    if (end.reason === 'abort') metrics.onAbort(this.#abortReason ?? 'engine');
  }

  #openStream(): void {
    this.#stopOpener();
    if (this.#response.hasHeaders || this.#parts.raw.destroyed) return;
    this.#response.open(200, {
      ...this.#parts.headers,
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    });
    this.#response.push(this.#parts.call.renderer.begin().map(serverSentEvent).join(''));
  }

  #signOfLife(): void {
    const { call, headers } = this.#parts;
    if (call.isStreaming) {
      this.#openStream();
      this.#response.push(': keep-alive\n\n');
      return;
    }
    if (!this.#response.hasHeaders) {
      this.#response.open(200, {
        ...headers,
        'content-type': JSON_TYPE,
        'cache-control': NO_CACHE,
      });
    }
    // JSON may begin with any number of line breaks.
    this.#response.push('\n');
  }

  #finish(failure: ProtocolError | null): void {
    const { call, headers } = this.#parts;
    if (call.isStreaming) {
      this.#response.end(call.endsWithDone ? 'data: [DONE]\n\n' : '');
    } else {
      const body = failure === null ? call.renderer.body() : this.#parts.errorBody(failure);
      const text = JSON.stringify(body);
      if (!this.#response.hasHeaders) {
        const length = Buffer.byteLength(text);
        this.#response.open(200, {
          ...headers,
          'content-type': JSON_TYPE,
          'content-length': length,
        });
      }
      this.#response.end(text);
    }
    // Of several choices, one failure ends all.
    if (failure !== null) this.#giveUp();
  }

  /** An error that came before the headers has a status of its own. */
  #refuse(failure: ProtocolError): void {
    this.#stopOpener();
    this.#status = failure.status;
    const text = JSON.stringify(this.#parts.errorBody(failure));
    this.#response.open(failure.status, {
      ...this.#parts.headers,
      ...retryHeader(failure),
      'content-type': JSON_TYPE,
      'content-length': Buffer.byteLength(text),
    });
    this.#response.end(text);
    this.#giveUp();
  }

  #giveUp(): void {
    if (this.#open.size > 0) this.abort('engine');
  }

  /** The connection is over: because all was sent, or because nobody is there any more. */
  #onClose(): void {
    this.#stopOpener();
    this.#parts.heartbeat.delete(this.#response);
    if (!this.#parts.raw.writableFinished && this.#abortReason === null) {
      this.#status = CLIENT_GONE;
      this.abort('client_gone');
    }
    this.#closeWhenOver();
  }

  /** Told once, when the connection is over and every sequence has ended. */
  #closeWhenOver(): void {
    const { raw, call } = this.#parts;
    if (this.#isClosed || this.#open.size > 0 || !raw.destroyed) return;
    this.#isClosed = true;
    this.#parts.onClosed({
      status: this.#status,
      abortReason: this.#abortReason,
      error: this.#mistake ?? call.renderer.failure?.code ?? null,
      firstTokenSeconds: this.#firstTokenSeconds,
      ends: this.#ends,
    });
  }

  #stopOpener(): void {
    if (this.#opener !== null) clearTimeout(this.#opener);
    this.#opener = null;
  }
}

const JSON_TYPE = 'application/json; charset=utf-8';
const NO_CACHE = 'no-cache, no-transform';

function serverSentEvent({ event, data }: StreamChunk): string {
  const name = event === undefined ? '' : `event: ${event}\n`;
  return `${name}data: ${JSON.stringify(data)}\n\n`;
}

/** `Retry-After` of errors that say when. */
export function retryHeader(error: ProtocolError): Record<string, string> {
  const seconds = error.values[RETRY_AFTER];
  return typeof seconds === 'number' ? { 'retry-after': String(seconds) } : {};
}
