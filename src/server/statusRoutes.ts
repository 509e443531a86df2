/** Addresses that tell how the server does: health, metrics, load, and what it was told. */
import type { EngineState } from '../serving/engineClient.ts';
import { engineMetrics } from './engineMetrics.ts';
import type { GenerationDesk } from './generationDesk.ts';
import type { MetricSet } from './metrics.ts';
import type { Route } from './routes.ts';
import type { ServerOptions } from './serverOptions.ts';

export interface StatusParts {
  readonly options: ServerOptions;
  readonly desk: GenerationDesk;
  readonly set: MetricSet;
}

export function statusRoutes({ options, desk, set }: StatusParts): readonly Route[] {
  const { engine, model, version } = options;
  const update = engineMetrics({ set, engine, experts: options.expertMetrics });
  const startedAt = options.clock.now();
  const get = (url: string, access: Route['access'], handle: Route['handle']): Route => ({
    method: 'GET',
    url,
    access,
    handle,
  });
  return [
    get('/health', 'public', (_, reply) => {
      const body = desk.isDraining ? { status: 'draining' } : describeState(engine.state);
      if (body.status !== 'ok') reply.code(503).header('retry-after', '5');
      return body;
    }),
    get('/ready', 'public', (_, reply) => {
      if (!desk.isOpen) reply.code(503).header('retry-after', '1');
      return { ready: desk.isOpen };
    }),
    get('/version', 'public', () => ({ version })),
    get('/metrics', 'metrics', async (_, reply) => {
      await update();
      return reply.type(set.registry.contentType).send(await set.registry.metrics());
    }),
    get('/load', 'key', () => describeLoad({ options, desk })),
    get('/server_info', 'key', () => ({
      version,
      model: model.modelId,
      aliases: model.aliases,
      state: describeState(engine.state),
      engine: engine.state.kind === 'ready' ? engine.info : null,
      stats: engine.stats,
      load: describeLoad({ options, desk }),
      generationDefaults: model.defaults,
      limits: options.limits,
      settings: options.settings,
      uptimeSeconds: options.clock.now() - startedAt,
    })),
  ];
}

function describeLoad({ options, desk }: Omit<StatusParts, 'set'>): object {
  const { stats, state } = options.engine;
  const { requests, tokens, queuedRequests, queuedTokens } = desk.load;
  const numBlocks = state.kind === 'ready' ? options.engine.info.numBlocks : 0;
  return {
    // vLLM's name: calls under way.
    server_load: desk.numOpen,
    requests,
    tokens,
    queued_requests: queuedRequests,
    queued_tokens: queuedTokens,
    running: stats.running,
    waiting: stats.waiting,
    cache_usage: numBlocks === 0 ? 0 : stats.usedBlocks / numBlocks,
  };
}

function describeState(state: EngineState): { readonly status: string } {
  switch (state.kind) {
    case 'ready':
      return { status: 'ok' };
    case 'starting': {
      const { doneBytes, totalBytes } = state;
      const progress = totalBytes === 0 ? 0 : doneBytes / totalBytes;
      return { status: 'loading', ...{ progress, doneBytes, totalBytes } };
    }
    case 'failed':
      return { status: 'failed', ...{ error: state.error } };
    default:
      return state satisfies never;
  }
}
