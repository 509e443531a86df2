/**
 * `moebius studio`: one local page on everything below a folder: runs that train, checkpoints to
 * talk with, plans. It ends with Ctrl-C.
 */
import { existsSync } from 'node:fs';
import { note, print } from '../output.ts';
import { startStudio, untilLeft } from '../studio/studioThread.ts';

export interface StudioOptions {
  readonly port: number;
  readonly host: string;
  readonly checkpoint?: string;
  readonly json?: boolean;
}

export async function serveStudio(folder: string, options: StudioOptions): Promise<void> {
  const { host, port, checkpoint = null } = options;
  const studio = await startStudio({ folder, host, port, checkpoint, page: null }, note);
  const { url } = studio;
  if (!existsSync(folder)) note(`${folder} is not there yet: what comes is shown`);
  if (options.json === true) {
    print(JSON.stringify({ url, folder, checkpoint, processId: process.pid }));
  } else {
    print(`studio at ${url} on ${folder}; Ctrl-C ends it`);
  }
  await untilLeft(studio, null);
  await studio.close();
}
