/**
 * `moebius serve`: a checkpoint behind OpenAI's API. This thread does HTTP and tokens; kernels run
 * in a thread of their own, which is started again when it dies.
 *
 * The port answers `/health` while weights load. The address is printed once requests are taken.
 */
import { setTimeout } from 'node:timers/promises';
import { formatSeconds } from '../../base/units.ts';
import { machineClock } from '../../runtime/clock.ts';
import type { Server } from '../../server/http.ts';
import { jsonLog, type RequestLog, readableLog, silentLog } from '../../server/requestLog.ts';
import type { ModelContext } from '../../server/serverOptions.ts';
import type { EngineInfo } from '../../serving/engineClient.ts';
import { formatTable, note, print } from '../output.ts';
import { progressLine } from '../progressLine.ts';
import { openServer } from '../serve/openServer.ts';
import type { ServedModel } from '../serve/servedModel.ts';
import { type ResolvedServe, resolveServe, type ServeOptions } from '../serve/serveOptions.ts';

export async function serve(checkpoint: string | undefined, options: ServeOptions): Promise<void> {
  const resolved = resolveServe(checkpoint, options);
  const log = logOf(options);
  const startedAt = machineClock.now();
  const showProgress = progressLine('loading');
  const { server, engine, model, context } = await openServer(resolved, options, {
    log,
    onNotice: note,
    onProgress: (bytes, totalBytes) => showProgress({ bytes, totalBytes }),
  });
  const signal = shutdownSignal();
  try {
    const url = await server.listen(options);
    note(describe(model, context, resolved, new URL(url).port));
    const info = await Promise.race([engine.ready, engine.givenUp, signal.first]);
    if (info !== null) {
      const seconds = machineClock.now() - startedAt;
      announce({ url, info, context, seconds, isJson: options.json === true });
      await Promise.race([engine.givenUp, signal.first]);
      await drain(server, options.drainSeconds, log);
    }
  } finally {
    await server.close();
    await engine.client.close();
    signal.forget();
  }
}

function describe(
  model: ServedModel,
  { modelId, aliases, defaults }: ModelContext,
  resolved: ResolvedServe,
  port: string,
): string {
  const { serving, keys, adminKey, limits } = resolved;
  const { temperature, topP, topK, minP, repetitionPenalty } = defaults;
  const from = model.fromFile.length === 0 ? 'none in generation_config.json' : model.fromFile;
  return formatTable([
    ['model', [modelId, ...aliases].join(', ')],
    ['runs at once', `${serving.maxSequences} sequences, ${serving.tokenBudget} rows a step`],
    ['drafts', String(serving.speculation)],
    ['deterministic', serving.isDeterministic ? 'yes' : 'no'],
    ['queue', `${limits.maxQueuedRequests} sequences`],
    ['keys', keys.length === 0 ? 'none: whoever reaches the port' : keys.length],
    ['admin endpoints', adminKey === null ? 'off' : 'on'],
    [
      'defaults',
      `temperature ${temperature}, top_p ${topP}, top_k ${topK}, min_p ${minP}, ` +
        `repetition_penalty ${repetitionPenalty} (${from})`,
    ],
    ['while loading', `port ${port} answers /health`],
  ]);
}

function announce(args: {
  readonly url: string;
  readonly info: EngineInfo;
  readonly context: ModelContext;
  readonly seconds: number;
  readonly isJson: boolean;
}): void {
  const { url, info, context, seconds, isJson } = args;
  if (isJson) {
    const { modelId } = context;
    print(JSON.stringify({ url, model: modelId, processId: process.pid, seconds, ...info }));
    return;
  }
  const body = JSON.stringify({ messages: [{ role: 'user', content: 'Hello!' }] });
  print(`ready at ${url} after ${formatSeconds(seconds)}: ${info.description}`);
  print(`curl ${url}/v1/chat/completions --json '${body}'`);
}

async function drain(server: Server, seconds: number, log: RequestLog): Promise<void> {
  const message = `draining: ${server.numOpen} requests under way, ${seconds} s at most`;
  log.write({ level: 'info', event: 'drain', message });
  const outcome = await server.drain(seconds);
  log.write({ level: 'info', event: 'drained', message: `drained: ${outcome}` });
  // Those whose last byte was just written read it before the connection ends.
  await setTimeout(50);
}

/** The first signal asks, the second one does not wait. */
function shutdownSignal(): { readonly first: Promise<null>; forget(): void } {
  const { promise, resolve } = Promise.withResolvers<null>();
  let numSignals = 0;
  const onSignal = (name: NodeJS.Signals): void => {
    if (++numSignals > 1) process.exit(name === 'SIGINT' ? 130 : 143);
    resolve(null);
  };
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  return {
    first: promise,
    forget: () => process.off('SIGTERM', onSignal).off('SIGINT', onSignal),
  };
}

function logOf({ quiet, logJsonl }: ServeOptions): RequestLog {
  if (quiet === true) return silentLog;
  const sink = (line: string): unknown => process.stderr.write(line);
  return logJsonl === true ? jsonLog(sink, () => new Date()) : readableLog(sink, () => new Date());
}
