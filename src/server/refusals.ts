/** What a server says no to before an engine hears of it, as errors with their HTTP status. */
import type { EngineState } from '../serving/engineClient.ts';
import { fromFailure, ProtocolError } from '../serving/openai/protocolError.ts';

/** Name of the value that becomes the header `Retry-After`. */
export const RETRY_AFTER = 'retryAfterSeconds';

export function unauthorized(): ProtocolError {
  return new ProtocolError('auth.key', 'the API key is missing or unknown', {
    status: 401,
    type: 'authentication_error',
    apiCode: 'invalid_api_key',
    hint: 'Send a key of this server as "Authorization: Bearer KEY".',
  });
}

export function notAdmin(isOff: 'off' | 'wrong key'): ProtocolError {
  const hint =
    isOff === 'off'
      ? 'Start the server with --admin-key.'
      : 'Send the admin key as "Authorization: Bearer KEY".';
  return new ProtocolError('auth.admin', 'this endpoint needs the admin key', {
    status: isOff === 'off' ? 403 : 401,
    type: isOff === 'off' ? 'permission_error' : 'authentication_error',
    values: { adminKey: isOff },
    hint,
  });
}

/** A limit of one caller's: 429. */
export function overKeyLimit(args: {
  readonly what: string;
  readonly values: Readonly<Record<string, number>>;
  readonly retryAfter: number;
}): ProtocolError {
  return new ProtocolError('limit.key', `too many ${args.what} for this key`, {
    status: 429,
    type: 'rate_limit_error',
    apiCode: 'rate_limit_exceeded',
    values: { ...args.values, [RETRY_AFTER]: args.retryAfter },
    hint: `Try again in ${args.retryAfter} s.`,
  });
}

/** A limit of the whole server: 503. */
export function serverFull(args: {
  readonly what: string;
  readonly values: Readonly<Record<string, number>>;
  readonly retryAfter: number;
}): ProtocolError {
  return new ProtocolError('limit.server', `the server has too many ${args.what}`, {
    status: 503,
    type: 'overloaded_error',
    apiCode: 'queue_full',
    values: { ...args.values, [RETRY_AFTER]: args.retryAfter },
    hint: `Try again in ${args.retryAfter} s.`,
  });
}

/** Bodies that come slowly hold what others could use. */
export function bodiesFull(maxBytes: number): ProtocolError {
  return new ProtocolError(
    'limit.bodies',
    `bodies that are being read have ${maxBytes} bytes already`,
    {
      status: 503,
      type: 'overloaded_error',
      apiCode: 'bodies_full',
      values: { maxBytes, [RETRY_AFTER]: 5 },
      hint: 'Try again in 5 s, send less, or raise --max-incoming-bytes.',
    },
  );
}

export function bodyTooLarge(maxBytes: number): ProtocolError {
  return new ProtocolError('request.tooLarge', `the body has more than ${maxBytes} bytes`, {
    status: 413,
    type: 'invalid_request_error',
    values: { maxBytes },
    hint: 'Send less, or raise --max-body-bytes.',
  });
}

/** For the log: whoever sent the half of it hears nothing any more. */
export function bodyCutOff(): ProtocolError {
  return badHttp('ended in the middle of its body', 'Send the whole of it.');
}

export function draining(): ProtocolError {
  return new ProtocolError('server.draining', 'the server is shutting down', {
    status: 503,
    type: 'overloaded_error',
    apiCode: 'shutting_down',
    values: { [RETRY_AFTER]: 5 },
    hint: 'Try again in 5 s, or at another server.',
  });
}

/** null where the engine takes requests. */
export function notReady(state: EngineState): ProtocolError | null {
  switch (state.kind) {
    case 'ready':
      return null;
    case 'starting': {
      const { doneBytes, totalBytes } = state;
      return new ProtocolError('engine.starting', 'the model is being loaded', {
        status: 503,
        type: 'overloaded_error',
        apiCode: 'starting',
        values: { doneBytes, totalBytes, [RETRY_AFTER]: 5 },
        hint: 'Ask GET /health how far it is, and try again.',
      });
    }
    case 'failed': {
      const { hint, ...failure } = fromFailure(state.error);
      return new ProtocolError('engine.failed', state.error.message, {
        status: 503,
        type: 'server_error',
        apiCode: 'engine_failed',
        values: { ...failure.values, because: state.error.code },
        ...(hint === undefined ? {} : { hint }),
      });
    }
    default:
      return state satisfies never;
  }
}

export function notFound(method: string, path: string): ProtocolError {
  return new ProtocolError('server.notFound', `there is no ${method} ${path}`, {
    status: 404,
    type: 'invalid_request_error',
    apiCode: 'not_found',
    hint: 'GET /server_info lists what there is.',
  });
}

export function wrongMethod(method: string, allowed: readonly string[]): ProtocolError {
  return new ProtocolError('server.method', `this address does not take ${method}`, {
    status: 405,
    type: 'invalid_request_error',
    apiCode: 'method_not_allowed',
    values: { allowed },
    hint: `Use ${allowed.join(' or ')}.`,
  });
}

export function badHttp(what: string, hint: string): ProtocolError {
  return new ProtocolError('request.http', `the request ${what}`, {
    status: 400,
    type: 'invalid_request_error',
    hint,
  });
}

/** A body that is no JSON of ours. */
export function badBody(because: string, hint: string): ProtocolError {
  return new ProtocolError('request.body', `the body ${because}`, {
    status: 400,
    type: 'invalid_request_error',
    apiCode: 'invalid_body',
    hint,
  });
}
