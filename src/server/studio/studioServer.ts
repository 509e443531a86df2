/**
 * One port for the page, its data and OpenAI's API: `/` gives files of the built page,
 * `/studio/api` what runs and checkpoints say, and the API's own addresses are answered by the
 * server of whichever checkpoint was chosen.
 *
 * Every request, those for the API included, first passes `refuseForeign`.
 */
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import type { ProtocolError } from '../../serving/openai/protocolError.ts';
import { answerClientError, fromHttp } from '../httpErrors.ts';
import { parseJsonBody } from '../jsonBody.ts';
import { DEFAULT_LIMITS } from '../limits.ts';
import { GUARDS, nothingAt, plainPath, sendPage } from './pageRoutes.ts';
import { refuseForeign } from './sameOrigin.ts';
import type { StudioParts } from './studioParts.ts';
import { notServing, studioRoutes } from './studioRoutes.ts';
import type { StudioError } from './wire.ts';

export interface StudioServer {
  /** @returns its address, `http://127.0.0.1:8790` */
  listen(port: number): Promise<string>;
  /** How many are open: a page that follows a run has one. */
  connections(): Promise<number>;
  /** Ends every connection. */
  close(): Promise<void>;
}

/** Of our own routes; the API's server has limits of its own. */
const BODY_BYTES = 2 ** 16;
const HEADERS_MS = 30_000;
const REQUEST_MS = 120_000;

/** Addresses of the API's server: see `generationRoutes.ts` and `statusRoutes.ts`. */
const SERVED = new RegExp(
  '^/(?:v1|beta|models|chat|completions|tokenize|detokenize|apply-template' +
    '|health|ready|version|metrics|load|server_info)(?:[/?#]|$)',
);

export function createStudioServer(parts: StudioParts): StudioServer {
  const { host, page, serving, log } = parts;
  const app = fastify({
    logger: false,
    bodyLimit: BODY_BYTES,
    requestTimeout: REQUEST_MS,
    keepAliveTimeout: 75_000,
    clientErrorHandler: answerClientError,
    frameworkErrors: (error, _, reply) => answerError(error, reply),
    forceCloseConnections: true,
    // A missing Host is refused like a wrong one.
    http: { headersTimeout: HEADERS_MS, maxHeaderSize: 32 * 1024, requireHostHeader: false },
    routerOptions: { maxParamLength: 1024 },
  });
  const answerError = (error: unknown, reply: FastifyReply): FastifyReply => {
    const refusal = fromHttp(error, DEFAULT_LIMITS.bodyBytes);
    if (refusal.code === 'server.failed') {
      const { message, stack } = error as Error;
      log.write({ level: 'error', event: 'failed', message, stack });
    }
    if (refusal.status === 413) reply.header('connection', 'close');
    return reply
      .code(refusal.code === 'file.missing' ? 404 : refusal.status)
      .headers(GUARDS)
      .header('cache-control', 'no-store')
      .send(errorBody(refusal));
  };
  app.setErrorHandler((error, _, reply) => answerError(error, reply));
  app.setNotFoundHandler(({ url }, reply) => answerError(nothingAt(plainPath(url)), reply));
  app.removeAllContentTypeParsers();
  const asBuffer = { parseAs: 'buffer' } as const;
  app.addContentTypeParser('application/json', asBuffer, async (_: FastifyRequest, body: Buffer) =>
    parseJsonBody(body),
  );
  app.addHook('onRequest', async (request, reply) => {
    refuseForeign(request.headers, { host, port: portOf(app) });
    if (SERVED.test(request.url)) {
      const { handler } = serving;
      if (handler === null) throw notServing();
      reply.hijack();
      handler(request.raw, reply.raw);
      return;
    }
    plainPath(request.url);
    reply.headers(GUARDS).header('cache-control', 'no-store');
  });
  for (const { method, url, handle } of studioRoutes(parts)) {
    app.route({
      ...{ method, url, exposeHeadRoute: false },
      handler: (request, reply) => handle(request, reply),
    });
  }
  app.get('/*', (request, reply) => sendPage(page, request, reply));
  return {
    listen: (port) => app.listen({ host, port }),
    connections: () => promisify(app.server.getConnections.bind(app.server))(),
    close: () => app.close(),
  };
}

function portOf(app: FastifyInstance): number {
  return (app.server.address() as AddressInfo).port;
}

function errorBody({ code, message, hint, values }: ProtocolError): StudioError {
  return { error: { code, message, hint: hint ?? null, values } };
}
