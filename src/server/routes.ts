/** An address, who may call it, and what it does. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Access } from './callers.ts';

export interface Route {
  readonly method: 'GET' | 'POST' | 'HEAD';
  readonly url: string;
  readonly access: Access;
  /** What it returns is the body; a reply that was sent or taken over is returned as it is. */
  readonly handle: (request: FastifyRequest, reply: FastifyReply) => Promise<unknown> | unknown;
}
