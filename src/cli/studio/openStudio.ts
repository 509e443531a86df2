/** The studio's server with all that it stands on, listening. */
import { statSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { MoebiusError } from '../../base/errors.ts';
import { type RequestLog, readableLog } from '../../server/requestLog.ts';
import { createStudioServer, type StudioServer } from '../../server/studio/studioServer.ts';
import { pageFolder, readPage } from './builtPage.ts';
import { folderIdOf, openStudioFolder } from './studioFolder.ts';
import { createServing } from './studioServing.ts';

/** Plain data: it crosses threads. */
export interface StudioSettings {
  /** Where runs and checkpoints are looked for; it need not be there yet. */
  readonly folder: string;
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Served at once. */
  readonly checkpoint: string | null;
  /** The built page; null: the package's own. */
  readonly page: string | null;
}

export interface OpenedStudio {
  /** `http://127.0.0.1:8790` */
  readonly url: string;
  /** Resolves once nobody has been connected for so long. */
  unwatched(seconds: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * @throws studio.notFolder, studio.unbuilt, studio.checkpoint, and what the system refuses: a port
 * that is taken
 */
export async function openStudio(
  settings: StudioSettings,
  note: (text: string) => void,
): Promise<OpenedStudio> {
  refuseFile(settings.folder);
  const page = await readPage(settings.page ?? pageFolder());
  const log = troubleLog(note);
  const folder = openStudioFolder(settings.folder, settings.checkpoint, note);
  const serving = createServing(log, note);
  const server = createStudioServer({ page, folder, serving, host: settings.host, log });
  const close = async (): Promise<void> => {
    await server.close();
    await serving.close();
  };
  try {
    if (settings.checkpoint !== null) {
      const id = folderIdOf(settings.folder, settings.checkpoint);
      const found = (await folder.checkpoints()).find((each) => each.id === id);
      if (found === undefined) throw noCheckpoint(settings.checkpoint);
      await serving.serve(found);
    }
    const url = await server.listen(settings.port);
    return { url, unwatched: (seconds) => unwatched(server, seconds), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function unwatched(server: StudioServer, seconds: number): Promise<void> {
  for (let since = performance.now(); performance.now() - since < 1000 * seconds; ) {
    await setTimeout(Math.min(500, 100 * seconds));
    if ((await server.connections()) > 0) since = performance.now();
  }
}

/** A page asks all the time: only what went wrong is told. */
function troubleLog(note: (text: string) => void): RequestLog {
  const log = readableLog(
    (line) => note(line.trimEnd()),
    () => new Date(),
  );
  return {
    write: (entry) => {
      if (entry.level !== 'info') log.write(entry);
    },
  };
}

/** @throws studio.notFolder; a folder may come later */
function refuseFile(folder: string): void {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== false) return;
  throw new MoebiusError('studio.notFolder', `${folder} is a file, not a folder`, {
    values: { folder },
    hint: 'Name a folder that holds runs or checkpoints.',
  });
}

function noCheckpoint(checkpoint: string): MoebiusError {
  return new MoebiusError('studio.checkpoint', `${checkpoint} is no checkpoint`, {
    values: { checkpoint },
    hint: 'Name a folder with config.json and weights.',
  });
}
