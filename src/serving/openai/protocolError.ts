/**
 * The caller's mistakes as HTTP tells them: a status, and the error object of OpenAI's API (or of
 * Anthropic's, for `/v1/messages`), which clients turn into exceptions.
 */
import { type ErrorCode, type ErrorDetails, MoebiusError } from '../../base/errors.ts';
import type { EngineFailure } from '../engineClient.ts';

export interface HttpMeaning {
  readonly status: number;
  /** OpenAI's kind of error. */
  readonly type: ErrorType;
  /** The field that is wrong, as a path: `messages[0].content`. */
  readonly param?: string;
  /** OpenAI's code, where it has one for this; else the code of the `MoebiusError`. */
  readonly apiCode?: string;
}

export type ErrorType =
  | 'invalid_request_error'
  | 'authentication_error'
  | 'permission_error'
  | 'not_found_error'
  | 'rate_limit_error'
  | 'server_error'
  | 'overloaded_error';

export class ProtocolError extends MoebiusError {
  readonly status: number;
  readonly type: ErrorType;
  readonly param: string | null;
  readonly apiCode: string | null;

  constructor(code: ErrorCode, message: string, details: ErrorDetails & HttpMeaning) {
    super(code, message, details);
    this.name = 'ProtocolError';
    this.status = details.status;
    this.type = details.type;
    this.param = details.param ?? null;
    this.apiCode = details.apiCode ?? null;
  }
}

/** A 400, or a 404, about one field. */
export function invalid(
  param: string,
  message: string,
  details: ErrorDetails & { readonly apiCode?: string; readonly status?: 400 | 404 } = {},
): ProtocolError {
  return new ProtocolError('request.invalid', message, {
    status: 400,
    type: 'invalid_request_error',
    ...details,
    ...(param === '' ? {} : { param }),
  });
}

/**
 * OpenAI's error object. The hint is part of the message, because clients show nothing else; the
 * values stand beside it.
 */
export function errorBody(error: ProtocolError): { readonly error: object } {
  const { message, hint, values, type, param, apiCode, code } = error;
  return {
    error: {
      ...values,
      message: hint === undefined ? message : `${message}. ${hint}`,
      type,
      param,
      code: apiCode ?? code,
    },
  };
}

/** Anthropic's error object. */
export function messagesErrorBody(error: ProtocolError): object {
  const { message, hint } = error;
  return {
    type: 'error',
    error: {
      type: error.type === 'server_error' ? 'api_error' : error.type,
      message: hint === undefined ? message : `${message}. ${hint}`,
    },
  };
}

/** Anthropic's event for an error in a stream; OpenAI's is data without a name. */
export function messagesErrorEvent(error: ProtocolError): { event: string; data: object } {
  return { event: 'error', data: messagesErrorBody(error) };
}

/** Any error as HTTP tells it; what is no `MoebiusError` is our own mistake and says no more. */
export function asProtocolError(error: unknown): ProtocolError {
  if (error instanceof ProtocolError) return error;
  if (error instanceof MoebiusError) return fromFailure(error);
  return new ProtocolError('server.failed', 'the server failed', {
    status: 500,
    type: 'server_error',
    cause: error,
  });
}

/** Codes that are not the caller's mistake, or that HTTP has a number of its own for. */
const MEANINGS: Readonly<Record<string, Omit<HttpMeaning, 'param'>>> = {
  'engine.starting': { status: 503, type: 'overloaded_error', apiCode: 'starting' },
  'engine.failed': { status: 503, type: 'server_error', apiCode: 'engine_failed' },
  'engine.crashed': { status: 503, type: 'server_error', apiCode: 'engine_crashed' },
  'engine.closed': { status: 503, type: 'overloaded_error', apiCode: 'shutting_down' },
  'engine.closing': { status: 503, type: 'overloaded_error', apiCode: 'shutting_down' },
  'engine.queueFull': { status: 503, type: 'overloaded_error', apiCode: 'queue_full' },
  'engine.grammarsFull': { status: 503, type: 'overloaded_error', apiCode: 'grammars_full' },
  'routes.busy': { status: 503, type: 'overloaded_error', apiCode: 'cache_full' },
  'engine.hung': { status: 503, type: 'server_error', apiCode: 'engine_hung' },
  'engine.grammar': { status: 500, type: 'server_error' },
  'sampling.nonFinite': { status: 500, type: 'server_error' },
};

/** Rooms whose refusals are about the request. */
const CALLERS_ROOMS: ReadonlySet<string> = new Set([
  'request',
  'grammar',
  'chat',
  'tokenizer',
  'sampling',
  'generate',
  'input',
  'engine',
  'routes',
]);

/** What an engine gave as an end, or any `MoebiusError`. */
export function fromFailure(failure: EngineFailure | MoebiusError): ProtocolError {
  const { code, message, hint, values } = failure;
  const room = code.split('.', 1)[0] ?? '';
  const meaning = MEANINGS[code] ?? {
    status: CALLERS_ROOMS.has(room) ? 400 : 500,
    type: CALLERS_ROOMS.has(room) ? 'invalid_request_error' : 'server_error',
  };
  return new ProtocolError(code as ErrorCode, message, {
    ...meaning,
    ...(values === undefined ? {} : { values }),
    ...(hint === undefined ? {} : { hint }),
  });
}
