/**
 * Addresses that ask the model: OpenAI's, the same without `/v1` as DeepSeek's clients call them,
 * and those that only need its tokenizer.
 */

import { assert } from '../base/assert.ts';
import type { Endpoint, ProtocolContext } from '../serving/openai/protocol.ts';
import {
  applyTemplate,
  countTokens,
  describeModel,
  detokenize,
  listModels,
  tokenize,
} from '../serving/openai/queries.ts';
import type { Callers } from './callers.ts';
import type { GenerationDesk } from './generationDesk.ts';
import type { Route } from './routes.ts';

const GENERATING: readonly (readonly [string, Endpoint])[] = [
  ['/v1/chat/completions', 'chat'],
  ['/chat/completions', 'chat'],
  ['/beta/chat/completions', 'chat'],
  ['/v1/completions', 'completions'],
  ['/completions', 'completions'],
  ['/beta/completions', 'completions'],
  ['/v1/responses', 'responses'],
  ['/v1/messages', 'messages'],
];

type Query = (body: unknown, context: ProtocolContext) => object;

const QUERIES: readonly (readonly [string, Query])[] = [
  ['/tokenize', tokenize],
  ['/detokenize', detokenize],
  ['/apply-template', applyTemplate],
  ['/v1/messages/count_tokens', countTokens],
];

export function generationRoutes(desk: GenerationDesk, callers: Callers): readonly Route[] {
  const generating = GENERATING.map(
    ([url, endpoint]): Route => ({
      method: 'POST',
      url,
      access: 'key',
      handle: (request, reply) => {
        const caller = callers.of(request);
        assert(caller !== undefined, 'a request is identified before it is handled');
        return desk.generate({ endpoint, request, reply, caller });
      },
    }),
  );
  const queries = QUERIES.map(
    ([url, query]): Route => ({
      method: 'POST',
      url,
      access: 'key',
      handle: ({ body }) => query(body, desk.context()),
    }),
  );
  const models = ['/v1/models', '/models'].flatMap((url): Route[] => [
    { method: 'GET', url, access: 'key', handle: () => listModels(desk.context()) },
    {
      method: 'GET',
      // Names may have slashes.
      url: `${url}/*`,
      access: 'key',
      handle: ({ params }) => {
        const id = (params as Readonly<Record<string, string>>)['*'] ?? '';
        return describeModel(id, desk.context());
      },
    },
  ]);
  return [...generating, ...queries, ...models];
}
