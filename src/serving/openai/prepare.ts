/** The door of the protocol: which reader a request goes to. */
import { prepareChat } from './chatRequest.ts';
import { prepareCompletions } from './completionsRequest.ts';
import { prepareMessages } from './messagesRequest.ts';
import type { Caller, Endpoint, PreparedCall, ProtocolContext } from './protocol.ts';
import { asProtocolError } from './protocolError.ts';
import { prepareResponses } from './responsesRequest.ts';

type Reader = (body: unknown, context: ProtocolContext, caller: Caller) => PreparedCall;

const READERS: Readonly<Record<Endpoint, Reader>> = {
  chat: prepareChat,
  completions: prepareCompletions,
  responses: prepareResponses,
  messages: prepareMessages,
};

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
  try {
    return READERS[endpoint](body, context, caller);
  } catch (error) {
    throw asProtocolError(error);
  }
}
