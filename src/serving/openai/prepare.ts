/** The door of the protocol: which reader a request goes to. */
import { MoebiusError } from '../../base/errors.ts';
import type { Caller, Endpoint, PreparedCall, ProtocolContext } from './protocol.ts';

/**
 * Reads a request.
 *
 * @param body of the request, as JSON gave it
 * @throws ProtocolError with the HTTP status and OpenAI's error fields
 */
export function prepare(
  endpoint: Endpoint,
  body: unknown,
  context: ProtocolContext,
  caller: Caller,
): PreparedCall {
  throw new MoebiusError('server.unfinished', 'not built yet', {
    values: { endpoint, body, context, caller },
  });
}
