/**
 * The program of the studio's thread. A thread, because training blocks its own with kernels: this
 * one reads the run's files as they grow, and knows nothing else of the run.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../../base/assert.ts';
import { asMistake } from '../output.ts';
import { crashFailure } from '../serve/engineLoop.ts';
import { openStudio, type StudioSettings } from './openStudio.ts';
import type { FromStudio, ToStudio } from './studioMessages.ts';

assert(parentPort !== null, 'this is the program of a thread');
const port = parentPort;
const post = (message: FromStudio): void => port.postMessage(message);

try {
  const note = (text: string): void => post({ kind: 'notice', text });
  const studio = await openStudio(workerData as StudioSettings, note);
  port.on('message', async (message: ToStudio) => {
    if (message.kind === 'watchers') {
      await studio.unwatched(message.seconds);
      post({ kind: 'unwatched' });
      return;
    }
    await studio.close();
    process.exit(0);
  });
  post({ kind: 'listening', url: studio.url });
} catch (error) {
  post({ kind: 'failed', error: crashFailure(asMistake(error) ?? error) });
  process.exit(1);
}
