/**
 * HTTP around an engine: who may call, what may come in, and which address does what.
 *
 * Every answer, refusals of HTTP itself included, is JSON in the shape that clients of OpenAI's API
 * know. The server speaks on loopback alone unless it is told otherwise.
 */
import { randomBytes } from 'node:crypto';
import type { RequestListener } from 'node:http';
import cors from '@fastify/cors';
import {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
} from 'fastify';
import { errorBody, messagesErrorBody } from '../serving/openai/protocolError.ts';
import { adminRoutes } from './adminRoutes.ts';
import { BodyReader } from './bodyReader.ts';
import { Callers } from './callers.ts';
import { GenerationDesk } from './generationDesk.ts';
import { generationRoutes } from './generationRoutes.ts';
import { answerClientError, fromHttp, sendError } from './httpErrors.ts';
import { parseJsonBody } from './jsonBody.ts';
import { MetricSet, requestMetrics } from './metrics.ts';
import { badHttp, notFound, wrongMethod } from './refusals.ts';
import type { Route } from './routes.ts';
import type { CorsOrigins, ServerOptions } from './serverOptions.ts';
import { statusRoutes } from './statusRoutes.ts';

export interface Server {
  /** @returns its address, `http://127.0.0.1:8000` */
  listen(address: { readonly host: string; readonly port: number }): Promise<string>;
  /** In place of listening: answers what another server of this process took in. */
  handler(): Promise<RequestListener>;
  /** Requests under way. */
  readonly numOpen: number;
  /** Takes nothing new from now on; done when nothing runs any more, or after so many seconds. */
  drain(seconds: number): Promise<'done' | 'cut short'>;
  /** Ends what still runs, and every connection. */
  close(): Promise<void>;
}

/** The whole of a request's headers, and of its body: a client must not sit on a connection. */
const HEADERS_MS = 30_000;
const REQUEST_MS = 120_000;

export async function createServer(options: ServerOptions): Promise<Server> {
  const { limits, model } = options;
  const set = new MetricSet({ modelId: model.modelId, compat: options.metricsCompat });
  const desk = new GenerationDesk(options, requestMetrics(set));
  const callers = new Callers(options);
  const app = fastify({
    logger: false,
    requestTimeout: REQUEST_MS,
    keepAliveTimeout: 75_000,
    genReqId: ({ headers }) => requestId(headers['x-request-id']),
    clientErrorHandler: answerClientError,
    frameworkErrors: (error, request, reply) => answerError(error, request, reply),
    // Draining is told by the handlers, as a 503 of ours.
    return503OnClosing: false,
    forceCloseConnections: true,
    // Node's own answer to a missing Host has no body; ours does.
    http: { headersTimeout: HEADERS_MS, maxHeaderSize: 32 * 1024, requireHostHeader: false },
    routerOptions: { maxParamLength: 512 },
  });
  const refusals = new WeakMap<FastifyRequest, string>();
  const answerError = (
    error: FastifyError,
    request: FastifyRequest,
    reply: FastifyReply,
  ): FastifyReply => {
    const refusal = fromHttp(error, limits.bodyBytes);
    refusals.set(request, refusal.code);
    if (refusal.status >= 500 && refusal.code === 'server.failed') {
      const { stack, message } = error;
      options.log.write({ level: 'error', event: 'failed', message, stack, id: request.id });
    }
    // What is left of a refused body is not read: the connection cannot be used again.
    const isOver = refusal.status === 413 || refusal.code === 'request.http';
    if (isOver) reply.header('connection', 'close');
    const isMessages = request.url.startsWith('/v1/messages');
    return sendError(reply, refusal, isMessages ? messagesErrorBody : errorBody);
  };
  app.setErrorHandler(answerError);
  app.setNotFoundHandler((request, reply) =>
    sendError(reply, notFound(request.method, pathOf(request))),
  );
  app.removeAllContentTypeParsers();
  const bodies = new BodyReader(limits);
  app.addContentTypeParser('application/json', async ({ raw }: FastifyRequest) =>
    parseJsonBody(await bodies.read(raw)),
  );
  await app.register(cors, { origin: corsOrigin(options.corsOrigins), exposedHeaders: EXPOSED });
  app.addHook('onRequest', async (request, reply) => {
    const { httpVersion, headers } = request.raw;
    // A line without a version counts as HTTP/0.9 to Node, and would be served.
    if (!httpVersion.startsWith('1.')) throw badHttp(`is in HTTP/${httpVersion}`, 'Use HTTP/1.1.');
    if (httpVersion === '1.1' && headers.host === undefined) {
      throw badHttp('has no Host header', 'Send one.');
    }
    reply.header('x-request-id', request.id).header('x-content-type-options', 'nosniff');
    if (desk.isDraining) reply.header('connection', 'close');
  });
  const quiet = new Set<string>();
  app.addHook('onResponse', async (request, { statusCode }) => {
    // Generating calls tell the log themselves; who asks for health every second is not told of,
    // whether it hears yes or not yet.
    if (desk.hasTaken(request)) return;
    const isAnswer = statusCode < 400 || statusCode === 503;
    if (isAnswer && quiet.has(request.routeOptions.url ?? '')) return;
    const error = refusals.get(request);
    const fields = error === undefined ? {} : { error };
    desk.note({ request, status: statusCode, caller: callers.of(request), fields });
  });
  const routes: readonly Route[] = [
    ...generationRoutes(desk, callers),
    ...statusRoutes({ options, desk, set }),
    ...adminRoutes(options, desk),
  ];
  for (const route of routes) {
    addRoute(app, route, callers);
    if (route.access === 'public' || route.access === 'metrics') quiet.add(route.url);
  }
  addWrongMethods(app, routes);
  return serverOf(app, desk);
}

const EXPOSED = ['x-request-id', 'retry-after'];

function addRoute(app: FastifyInstance, route: Route, callers: Callers): void {
  app.route({
    method: route.method,
    url: route.url,
    exposeHeadRoute: false,
    onRequest: async (request) => callers.identify(request, route.access),
    handler: async (request, reply) => route.handle(request, reply),
  });
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'];

/** An address that exists says which methods it takes. */
function addWrongMethods(app: FastifyInstance, routes: readonly Route[]): void {
  const allowed = new Map<string, string[]>();
  for (const { url, method } of routes) allowed.set(url, [...(allowed.get(url) ?? []), method]);
  for (const [url, methods] of allowed) {
    app.route({
      method: METHODS.filter((method) => !methods.includes(method)),
      url,
      exposeHeadRoute: false,
      // Before the body, which nobody wants.
      onRequest: async ({ method }, reply) =>
        sendError(reply.header('allow', methods.join(', ')), wrongMethod(method, methods)),
      handler: () => {},
    });
  }
}

function serverOf(app: FastifyInstance, desk: GenerationDesk): Server {
  return {
    listen: ({ host, port }) => app.listen({ host, port }),
    handler: async () => {
      await app.ready();
      return (request, response) => app.routing(request, response);
    },
    get numOpen() {
      return desk.numOpen;
    },
    drain: (seconds) => desk.drain(seconds),
    close: async () => {
      desk.abortAll('shutdown');
      await desk.drain(CLOSE_SECONDS);
      await app.close();
    },
  };
}

/** For aborted requests to come back from the engine. */
const CLOSE_SECONDS = 2;

/** The caller's own name for a request where it is a sane one. */
function requestId(given: string | string[] | undefined): string {
  return typeof given === 'string' && /^[\w.:-]{1,128}$/.test(given)
    ? given
    : `req-${randomBytes(12).toString('hex')}`;
}

function pathOf(request: FastifyRequest): string {
  return (request.url.split('?', 1)[0] ?? '').slice(0, 200);
}

function corsOrigin(origins: CorsOrigins): boolean | (string | RegExp)[] {
  switch (origins) {
    case 'all':
      return true;
    case 'none':
      return false;
    case 'localhost':
      return [/^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/];
    default:
      return [...origins.list];
  }
}
