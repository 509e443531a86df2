/** The studio in a thread of this process, for `moebius studio` and `moebius train --ui`. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { MoebiusError } from '../../base/errors.ts';
import type { EngineFailure } from '../../serving/engineClient.ts';
import type { OpenedStudio, StudioSettings } from './openStudio.ts';
import type { FromStudio, ToStudio } from './studioMessages.ts';

export interface StudioThread extends OpenedStudio {
  /** Rejects when the thread dies; never resolves. */
  readonly died: Promise<never>;
}

/** @throws whatever `openStudio` does */
export async function startStudio(
  settings: StudioSettings,
  note: (text: string) => void,
): Promise<StudioThread> {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const program = new URL(`./studioHost.${extension}`, import.meta.url);
  // Options of this process (--test, --inspect) are not the thread's.
  const worker = new Worker(program, { workerData: settings, execArgv: [] });
  const listening = Promise.withResolvers<string>();
  const left = Promise.withResolvers<void>();
  const died = Promise.withResolvers<never>();
  // Looked at only while it matters.
  died.promise.catch(() => {});
  let failure: MoebiusError | null = null;
  worker.on('message', (message: FromStudio) => {
    if (message.kind === 'notice') note(message.text);
    else if (message.kind === 'listening') listening.resolve(message.url);
    else if (message.kind === 'unwatched') left.resolve();
    else failure = errorOf(message.error);
  });
  worker.on('error', (cause) => {
    failure ??= new MoebiusError('studio.crashed', 'the studio crashed', { cause });
  });
  worker.on('exit', (code) => {
    const error =
      failure ?? new MoebiusError('studio.crashed', 'the studio ended', { values: { code } });
    listening.reject(error);
    died.reject(error);
  });
  const url = await listening.promise;
  const close = async (): Promise<void> => {
    const ended = once(worker, 'exit');
    worker.postMessage({ kind: 'close' } satisfies ToStudio);
    await ended;
  };
  const unwatched = (seconds: number): Promise<void> => {
    worker.postMessage({ kind: 'watchers', seconds } satisfies ToStudio);
    return left.promise;
  };
  return { url, unwatched, close, died: died.promise };
}

/**
 * Waits for SIGINT or SIGTERM, or, unless null, until nobody has been connected for so long.
 *
 * @throws what the thread died of
 */
export async function untilLeft(
  { unwatched, died }: StudioThread,
  seconds: number | null,
): Promise<void> {
  const signal = Promise.withResolvers<void>();
  const onSignal = (): void => signal.resolve();
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  try {
    const left = seconds === null ? [] : [unwatched(seconds)];
    await Promise.race([signal.promise, died, ...left]);
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

function errorOf({ code, message, hint, values }: EngineFailure): MoebiusError {
  return new MoebiusError(code as `${string}.${string}`, message, {
    ...(hint === undefined ? {} : { hint }),
    ...(values === undefined ? {} : { values }),
  });
}
