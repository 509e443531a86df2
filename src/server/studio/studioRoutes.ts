/** What the page asks for, under `/studio/api`: runs, their lines, checkpoints, and serving one. */
import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ProtocolError } from '../../serving/openai/protocolError.ts';
import { badBody } from '../refusals.ts';
import { followLines } from './followLines.ts';
import { GUARDS } from './pageRoutes.ts';
import { routedPrompt } from './promptRouting.ts';
import type { ByteRange, StudioFolder, StudioParts } from './studioParts.ts';

export interface StudioRoute {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  /** What it returns is the body; a reply that was sent or taken over is returned as it is. */
  readonly handle: (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;
}

/** Read at once: the file of a long run has hundreds of megabytes. */
const PIECE_BYTES = 2 ** 20;
/** Of one event. */
const FOLLOW_BYTES = 2 ** 18;
/** At once: a page has one or two. */
const MAX_FOLLOWERS = 64;
/** Prompts that are followed through the gates at once: each holds up whoever is served. */
const MAX_ROUTING = 4;

export function studioRoutes({ folder, serving }: StudioParts): readonly StudioRoute[] {
  let numFollowers = 0;
  let numRouting = 0;
  const get = (path: string, handle: StudioRoute['handle']): StudioRoute => ({
    method: 'GET',
    url: `/studio/api/${path}`,
    handle,
  });
  const follow: StudioRoute['handle'] = async (request, reply) => {
    const id = runId(request);
    const resumed = request.headers['last-event-id'];
    const from = byteOf(typeof resumed === 'string' ? resumed : fromOf(request));
    const read = (at: number) => folder.metrics(id, { from: at, maxBytes: FOLLOW_BYTES });
    if (numFollowers >= MAX_FOLLOWERS) throw tooManyFollowers();
    numFollowers++;
    try {
      // A run that is not there is told as an error, while that can still be said.
      known(await folder.metrics(id, { from: 0, maxBytes: 1 }), id);
      reply.hijack();
      reply.raw.writeHead(200, { ...GUARDS, ...EVENT_STREAM });
      reply.raw.flushHeaders();
      const watch = (onChange: () => void) => folder.watchMetrics(id, onChange);
      await followLines(reply.raw, from, { read, watch });
    } finally {
      numFollowers--;
    }
  };
  return [
    get('runs', () => folder.runs()),
    get('runs/:id/config', async (request) => {
      const id = runId(request);
      return known(await folder.config(id), id);
    }),
    get('runs/:id/metrics', async (request, reply) => {
      const id = runId(request);
      const asked = byteOf(fromOf(request));
      const to = known(await folder.metricsEnd(id), id);
      // Behind the end: the file was begun anew.
      const from = asked > to ? 0 : asked;
      reply.headers({ 'x-from-byte': from, 'x-next-byte': to, 'content-length': to - from });
      reply.type('application/x-ndjson; charset=utf-8');
      return reply.send(Readable.from(pieces(folder, id, { from, to })));
    }),
    get('runs/:id/follow', follow),
    get('checkpoints', () => folder.checkpoints()),
    get('serve/state', async () => serving.state),
    get('serve/experts', async () => {
      const experts = await serving.experts();
      if (experts === null) throw notServing();
      return experts;
    }),
    get('serve/inside', async () => {
      const inside = await serving.inside();
      if (inside === null) throw notServing();
      return inside;
    }),
    {
      method: 'POST',
      url: '/studio/api/serve/routing',
      handle: async ({ body }) => {
        const { ready } = serving;
        if (ready === null) throw notServing();
        if (numRouting >= MAX_ROUTING) throw tooManyRouting();
        numRouting++;
        try {
          return await routedPrompt(body, ready);
        } finally {
          numRouting--;
        }
      },
    },
    {
      method: 'POST',
      url: '/studio/api/serve',
      handle: async ({ body }) => {
        const { checkpoint } = (body ?? {}) as { readonly checkpoint?: unknown };
        if (checkpoint === null) {
          await serving.stop();
          return serving.state;
        }
        if (typeof checkpoint !== 'string') {
          throw badBody('names no checkpoint', 'Send {"checkpoint": "its id"}, or null to stop.');
        }
        const found = (await folder.checkpoints()).find(({ id }) => id === checkpoint);
        if (found === undefined) throw unknown('checkpoint', checkpoint);
        await serving.serve(found);
        return serving.state;
      },
    },
  ];
}

/** A file that is cut meanwhile ends the connection: its length was promised. */
async function* pieces(
  folder: StudioFolder,
  id: string,
  { from, to }: ByteRange,
): AsyncGenerator<Uint8Array> {
  for (let at = from; at < to; ) {
    const range = { from: at, to: Math.min(to, at + PIECE_BYTES) };
    const bytes = known(await folder.metricsBytes(id, range), id);
    if (bytes.length === 0) throw unknown('run', id);
    yield bytes;
    at += bytes.length;
  }
}

const EVENT_STREAM = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
};

function runId({ params }: FastifyRequest): string {
  return (params as { readonly id: string }).id;
}

function fromOf({ query }: FastifyRequest): unknown {
  return (query as Readonly<Record<string, unknown>>).from ?? '0';
}

/** @throws request.from */
function byteOf(text: unknown): number {
  if (typeof text === 'string' && /^\d{1,15}$/.test(text)) return Number(text);
  throw new ProtocolError('request.from', 'from is not the number of a byte', {
    status: 400,
    type: 'invalid_request_error',
    values: { from: text },
    hint: 'Send 0, or what x-next-byte or the last event’s id said.',
  });
}

function known<T>(found: T | null, id: string): T {
  if (found !== null) return found;
  throw unknown('run', id);
}

function unknown(what: 'run' | 'checkpoint', id: string): ProtocolError {
  return new ProtocolError(`studio.${what}`, `there is no ${what} "${id.slice(0, 200)}"`, {
    status: 404,
    type: 'not_found_error',
    hint: `GET /studio/api/${what}s lists what there is.`,
  });
}

export function notServing(): ProtocolError {
  return new ProtocolError('studio.notServing', 'no checkpoint is being served', {
    status: 503,
    type: 'overloaded_error',
    hint: 'Choose one: POST /studio/api/serve {"checkpoint": "its id"}.',
  });
}

function tooManyRouting(): ProtocolError {
  return new ProtocolError('studio.routing', 'too many prompts are followed at once', {
    status: 503,
    type: 'overloaded_error',
    values: { most: MAX_ROUTING },
    hint: 'Wait for the answers to those before.',
  });
}

function tooManyFollowers(): ProtocolError {
  return new ProtocolError('studio.followers', 'too many follow runs at once', {
    status: 503,
    type: 'overloaded_error',
    values: { most: MAX_FOLLOWERS },
    hint: 'Close pages that are not needed.',
  });
}
