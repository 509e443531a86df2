/** The page on a run of this process, for `moebius start` and `moebius train --ui`. */
import { isAbsolute, join, relative, resolve } from 'node:path';
import { MoebiusError } from '../../base/errors.ts';
import type { StudioSettings } from './openStudio.ts';
import { folderIdOf } from './studioFolder.ts';
import { type StudioThread, startStudio } from './studioThread.ts';

export interface RunPage {
  readonly url: string;
  /** What `moebius studio` would be told to show the same. */
  readonly folder: string;
  readonly studio: StudioThread;
}

const RUNS = 'runs';

/**
 * On the run, beside the others of its kind where it lies among them.
 *
 * @param directory null: where a run of that name goes
 * @param port null: 8790, or a free one where that is taken
 * @throws whatever `startStudio` does: a port that is taken, a page that was not built
 */
export async function openRunPage(
  { directory, name }: { readonly directory: string | null; readonly name: string },
  port: number | null,
  note: (text: string) => void,
): Promise<RunPage> {
  const own = directory ?? join(RUNS, name);
  const inRuns = relative(RUNS, own);
  const folder = inRuns.startsWith('..') || isAbsolute(inRuns) ? own : RUNS;
  const open = (at: number): Promise<StudioThread> => {
    const settings: StudioSettings = {
      ...{ folder, host: '127.0.0.1', port: at, checkpoint: null, page: null },
    };
    return startStudio(settings, note);
  };
  const studio = await open(port ?? DEFAULT_PORT).catch((error: unknown) => {
    if (port === null && error instanceof MoebiusError && error.code === 'system.EADDRINUSE') {
      return open(0);
    }
    throw error;
  });
  return { url: studio.url, folder, studio };
}

export const DEFAULT_PORT = 8790;

/** Serves a checkpoint as the page itself would ask for it. @throws studio.checkpoint */
export async function serveInPage({ url, folder }: RunPage, checkpoint: string): Promise<void> {
  const response = await fetch(`${url}/studio/api/serve`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: url },
    body: JSON.stringify({ checkpoint: folderIdOf(folder, resolve(checkpoint)) }),
  });
  if (response.ok) return;
  throw new MoebiusError('studio.checkpoint', `the page cannot serve ${checkpoint}`, {
    values: { checkpoint, status: response.status, answer: await response.text() },
    hint: `Try: npx moebius serve ${checkpoint}`,
  });
}
