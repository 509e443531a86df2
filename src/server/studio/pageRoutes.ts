/**
 * The page's files. All of them are in memory under the paths they are asked by: a path that is no
 * key of the map does not exist, so that none can lead out of the folder.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ProtocolError } from '../../serving/openai/protocolError.ts';
import { badHttp } from '../refusals.ts';
import type { StaticFile } from './studioParts.ts';

const POLICY = [
  "default-src 'self'",
  "worker-src 'self' blob:",
  "img-src 'self' data:",
  "style-src 'self' 'unsafe-inline'",
  "connect-src 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

/** Of every answer of the studio's own. */
export const GUARDS: Readonly<Record<string, string>> = {
  'content-security-policy': POLICY,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
};

/** Segments that climb, empty ones, and separators in disguise: nobody asks so in good faith. */
const CLIMBING = /(?:^|[/\\])\.\.?(?:[/\\]|$)|\/\/|\\|\0/;

/** @throws request.http 400, studio.notFound 404 */
export function sendPage(
  page: ReadonlyMap<string, StaticFile>,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const path = plainPath(request.url);
  const file = page.get(path === '/' ? '/index.html' : path);
  if (file === undefined) throw nothingAt(path);
  const lasting = file.isHashed ? 'public, max-age=31536000, immutable' : 'no-store';
  return reply.type(file.type).header('cache-control', lasting).send(file.bytes);
}

/** The path decoded once. @throws request.http for one that would lead somewhere else */
export function plainPath(url: string): string {
  const raw = url.split(/[?#]/, 1)[0] ?? '';
  const path = decoded(raw);
  const isPlain = path?.startsWith('/') === true && !CLIMBING.test(path) && !/%2f|%5c/i.test(raw);
  if (path !== null && isPlain && decoded(path) === path) return path;
  throw badHttp('has a path that leads elsewhere', 'Open / and follow its links.');
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

export function nothingAt(path: string): ProtocolError {
  return new ProtocolError('studio.notFound', `there is no ${path.slice(0, 200)}`, {
    status: 404,
    type: 'invalid_request_error',
    hint: 'Open / for the page; its data lies under /studio/api.',
  });
}
