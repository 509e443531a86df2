/** Requests that are answered at once, without the engine: models, tokens, templates. */
import { MoebiusError } from '../../base/errors.ts';
import type { ProtocolContext } from './protocol.ts';

const later = (): never => {
  throw new MoebiusError('server.unfinished', 'not built yet');
};

/** `GET /v1/models` */
export function listModels(context: ProtocolContext): object {
  return later() ?? context;
}

/** `GET /v1/models/{id}` @throws request.model 404 */
export function describeModel(id: string, context: ProtocolContext): object {
  return later() ?? { id, context };
}

/** `POST /tokenize` */
export function tokenize(body: unknown, context: ProtocolContext): object {
  return later() ?? { body, context };
}

/** `POST /detokenize` */
export function detokenize(body: unknown, context: ProtocolContext): object {
  return later() ?? { body, context };
}

/** `POST /apply-template` */
export function applyTemplate(body: unknown, context: ProtocolContext): object {
  return later() ?? { body, context };
}

/** `POST /v1/messages/count_tokens` */
export function countTokens(body: unknown, context: ProtocolContext): object {
  return later() ?? { body, context };
}
