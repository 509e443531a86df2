/**
 * Everything that can go wrong before a handler runs (no such address, bad path, body too large,
 * headers that are none) answered with the same error object as everything else.
 */
import type { Socket } from 'node:net';
import type { FastifyReply } from 'fastify';
import { asProtocolError, errorBody, ProtocolError } from '../serving/openai/protocolError.ts';
import { retryHeader } from './generationCall.ts';
import { badBody, bodyTooLarge } from './refusals.ts';

/** Fastify's own refusals, by their codes. */
export function fromHttp(error: unknown, bodyBytes: number): ProtocolError {
  const {
    code = '',
    statusCode = 500,
    message = '',
  } = (error ?? {}) as {
    code?: string;
    statusCode?: number;
    message?: string;
  };
  if (!String(code).startsWith('FST_ERR')) return asProtocolError(error);
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return bodyTooLarge(bodyBytes);
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
    case 'FST_ERR_CTP_INVALID_TYPE':
      return new ProtocolError('request.mediaType', 'the body is not sent as JSON', {
        status: 415,
        type: 'invalid_request_error',
        hint: 'Send the header "Content-Type: application/json".',
      });
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return badBody('is empty', 'Send a JSON object.');
    default:
      return new ProtocolError('request.http', message, {
        status: statusCode >= 400 && statusCode < 600 ? statusCode : 400,
        type: statusCode < 500 ? 'invalid_request_error' : 'server_error',
      });
  }
}

export function sendError(
  reply: FastifyReply,
  error: ProtocolError,
  body: (error: ProtocolError) => object = errorBody,
): FastifyReply {
  if (error.status === 401) reply.header('www-authenticate', 'Bearer');
  return reply.code(error.status).headers(retryHeader(error)).send(body(error));
}

const CLIENT_ERRORS: Readonly<Record<string, { status: string; message: string }>> = {
  HPE_HEADER_OVERFLOW: {
    status: '431 Request Header Fields Too Large',
    message: 'the headers are too large',
  },
  ERR_HTTP_REQUEST_TIMEOUT: {
    status: '408 Request Timeout',
    message: 'the request did not come in time',
  },
};

/** What is no HTTP at all: answered on the bare socket, which then ends. */
export function answerClientError(error: { code?: string | undefined }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const { status, message } = CLIENT_ERRORS[error.code ?? ''] ?? {
    status: '400 Bad Request',
    message: 'the request is not well-formed HTTP',
  };
  const { error: object } = errorBody(
    new ProtocolError('request.http', message, {
      status: Number.parseInt(status, 10),
      type: 'invalid_request_error',
    }),
  );
  const body = JSON.stringify({ error: object });
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
