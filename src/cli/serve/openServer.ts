/**
 * A checkpoint's engine, in a thread of its own that is started again when it dies, and the server
 * of OpenAI's API around it, which answers `/health` while weights load.
 */
import { MoebiusError } from '../../base/errors.ts';
import { machineClock } from '../../runtime/clock.ts';
import { createServer, type Server } from '../../server/http.ts';
import type { RequestLog } from '../../server/requestLog.ts';
import type { ModelContext } from '../../server/serverOptions.ts';
import type { EngineFailure, EngineInfo } from '../../serving/engineClient.ts';
import { ChatTemplate } from '../../tokenizer/chatTemplate.ts';
import { packageVersion } from '../packageVersion.ts';
import { readServedModel, type ServedModel } from './servedModel.ts';
import type { ResolvedServe, ServeOptions } from './serveOptions.ts';
import { ThreadEngineClient } from './threadEngineClient.ts';

export interface ServingWatch {
  readonly log: RequestLog;
  readonly onNotice: (text: string) => void;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
}

export interface OpenedServer {
  /** It listens nowhere yet. */
  readonly server: Server;
  readonly engine: StartedEngine;
  readonly model: ServedModel;
  readonly context: ModelContext;
}

/** Begins to load; @throws what a folder gives that is no checkpoint */
export async function openServer(
  resolved: ResolvedServe,
  options: ServeOptions,
  watch: ServingWatch,
): Promise<OpenedServer> {
  const model = await readServedModel(resolved.source);
  const context = modelContext(model, resolved, options);
  const engine = startEngine(resolved, options, watch);
  const server = await createServer({
    engine: engine.client,
    model: context,
    version: packageVersion(),
    ...{ keys: resolved.keys, adminKey: resolved.adminKey, openLimits: resolved.keyLimits },
    limits: resolved.limits,
    metricsAccess: options.metricsAccess,
    metricsCompat: options.metricsCompat,
    expertMetrics: options.expertMetrics,
    corsOrigins: resolved.corsOrigins,
    keepAliveSeconds: options.keepAliveSeconds,
    log: watch.log,
    clock: machineClock,
    settings: { ...resolved.serving, drainSeconds: options.drainSeconds },
  });
  return { server, engine, model, context };
}

export interface StartedEngine {
  readonly client: ThreadEngineClient;
  readonly ready: Promise<EngineInfo>;
  /** Rejects when the thread will not be started any more. */
  readonly givenUp: Promise<never>;
}

function startEngine(
  { serving }: ResolvedServe,
  { maxRestarts, hangSeconds }: ServeOptions,
  { log, onNotice, onProgress }: ServingWatch,
): StartedEngine {
  const ready = Promise.withResolvers<EngineInfo>();
  const givenUp = Promise.withResolvers<never>();
  // Both are looked at only while they matter.
  givenUp.promise.catch(() => {});
  let isBack = false;
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const client = new ThreadEngineClient({
    program: new URL(`./engineHost.${extension}`, import.meta.url),
    workerData: serving,
    clock: machineClock,
    maxRestarts,
    ...{ stableSeconds: 60, firstPauseSeconds: 0.5 },
    hangSeconds: hangSeconds === 0 ? null : hangSeconds,
    onNotice,
    onProgress,
    onCrash: (error, { attempt, inSeconds, failedRequests }) => {
      if (attempt === null) {
        // The command ends with it.
        givenUp.reject(failureError(error));
        return;
      }
      const message = `engine: ${error.message}; started again in ${inSeconds} s`;
      const { code, values } = error;
      log.write({ level: 'error', event: 'engine', message, code, failedRequests, ...values });
    },
    onReady: (info) => {
      if (isBack) log.write({ level: 'info', event: 'engine', message: 'engine: ready again' });
      isBack = true;
      ready.resolve(info);
    },
  });
  return { client, ready: ready.promise, givenUp: givenUp.promise };
}

function failureError({ code, message, hint, values }: EngineFailure): MoebiusError {
  return new MoebiusError(code as `${string}.${string}`, message, {
    ...(hint === undefined ? {} : { hint }),
    ...(values === undefined ? {} : { values }),
  });
}

function modelContext(
  model: ServedModel,
  { names }: ResolvedServe,
  options: ServeOptions,
): ModelContext {
  const { tokenizer, tokenizerConfig, defaults } = model;
  const [modelId = model.name, ...aliases] = [...names, ...(names.length > 0 ? [model.name] : [])];
  // As for `moebius generate`: a tokenizer without its config says nothing about BOS.
  const beginsWithBos = tokenizerConfig.addBosToken ?? tokenizer.bosTokenId !== undefined;
  return {
    ...{ modelId, aliases, tokenizer, defaults },
    created: Math.floor(Date.now() / 1000),
    template: new ChatTemplate(tokenizerConfig),
    logProbabilitiesOf: options.logprobsOf,
    beginning: beginsWithBos ? 'bos' : 'template',
    maxChoices: options.maxChoices,
  };
}
