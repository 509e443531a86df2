/** The program of the kernel thread: opens the model, then steps its engine until told to close. */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../../base/assert.ts';
import { crashFailure, runEngineLoop } from './engineLoop.ts';
import type { FromEngine } from './engineMessages.ts';
import { openServing, type ServingSettings } from './openServing.ts';

assert(parentPort !== null, 'this is the program of a thread');
const port = parentPort;
const post = (message: FromEngine): void => port.postMessage(message);

/** Messages are sent before the thread is gone: a port delivers what was posted. */
function fail(error: unknown): never {
  post({ kind: 'failed', error: crashFailure(error) });
  process.exit(1);
}

try {
  const settings = workerData as ServingSettings;
  const { engine, whenLoaded } = await openServing(settings, {
    notice: (text) => post({ kind: 'notice', text }),
    progress: (doneBytes, totalBytes) => post({ kind: 'starting', doneBytes, totalBytes }),
  });
  whenLoaded.catch(fail);
  await runEngineLoop(engine, port, settings.streamSeconds);
  process.exit(0);
} catch (error) {
  fail(error);
}
