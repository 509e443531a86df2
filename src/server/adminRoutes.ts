/**
 * Addresses for whoever runs the server, behind a key of their own. The names are SGLang's.
 *
 * Loads of experts are counted in the kernel all the time; a recording is the difference between
 * two readings, so that recording costs nothing and holds no more than one number for each expert.
 */
import type { ExpertLoads } from '../serving/engineClient.ts';
import { ProtocolError } from '../serving/openai/protocolError.ts';
import { balancedness } from './engineMetrics.ts';
import type { GenerationDesk } from './generationDesk.ts';
import { badBody } from './refusals.ts';
import type { Route } from './routes.ts';
import type { ServerOptions } from './serverOptions.ts';

export function adminRoutes(options: ServerOptions, desk: GenerationDesk): readonly Route[] {
  const { engine } = options;
  const recording = new ExpertRecording(() => {
    desk.context();
    return engine.expertLoads('goOn');
  });
  const post = (url: string, handle: Route['handle']): Route[] => [
    { method: 'POST', url, access: 'admin', handle },
  ];
  return [
    ...post('/flush_cache', async () => {
      desk.context();
      return { freed_blocks: await engine.flushCache() };
    }),
    ...post('/abort_request', ({ body }) => ({ aborted: abort(body, desk) })),
    ...post('/start_expert_distribution_record', async () => {
      await recording.start();
      return { recording: true };
    }),
    ...post('/stop_expert_distribution_record', async () => {
      await recording.stop();
      return { recording: false };
    }),
    ...post('/dump_expert_distribution_record', () => recording.dump()),
  ];
}

/** `{"rid": "…"}` or `{"abort_all": true}` */
function abort(body: unknown, desk: GenerationDesk): number {
  const { rid, abort_all } = (body ?? {}) as { rid?: unknown; abort_all?: unknown };
  if (abort_all === true) return desk.abortAll('admin');
  if (typeof rid === 'string' && rid !== '') return desk.abort(rid);
  throw badBody('names no request', 'Send {"rid": "x-request-id of it"} or {"abort_all": true}.');
}

class ExpertRecording {
  readonly #read: () => Promise<ExpertLoads>;
  #from: ExpertLoads | null = null;
  #until: ExpertLoads | null = null;

  constructor(read: () => Promise<ExpertLoads>) {
    this.#read = read;
  }

  async start(): Promise<void> {
    this.#from = await this.#read();
    this.#until = null;
  }

  /** @throws experts.notRecording */
  async stop(): Promise<void> {
    this.#begun();
    this.#until ??= await this.#read();
  }

  /** @throws experts.notRecording */
  async dump(): Promise<object> {
    const from = this.#begun();
    const loads = since(from, this.#until ?? (await this.#read()));
    const layers = loads.layers.map(({ layer, tokensPerExpert }) => ({
      layer,
      tokens: tokensPerExpert.reduce((sum, count) => sum + count, 0),
      balancedness: balancedness(tokensPerExpert),
      tokens_per_expert: tokensPerExpert,
    }));
    return { recording: this.#until === null, layers };
  }

  #begun(): ExpertLoads {
    if (this.#from !== null) return this.#from;
    throw new ProtocolError('experts.notRecording', 'no recording of experts was started', {
      status: 400,
      type: 'invalid_request_error',
      hint: 'POST /start_expert_distribution_record first.',
    });
  }
}

/** An engine that crashed meanwhile began again at zero: then all that it has is new. */
function since(from: ExpertLoads, until: ExpertLoads): ExpertLoads {
  const layers = until.layers.map(({ layer, tokensPerExpert }) => {
    const before = from.layers.find((each) => each.layer === layer)?.tokensPerExpert ?? [];
    const isNew = tokensPerExpert.some((count, expert) => count < (before[expert] ?? 0));
    const after = tokensPerExpert.map((count, e) => (isNew ? count : count - (before[e] ?? 0)));
    return { layer, tokensPerExpert: after };
  });
  return { layers };
}
