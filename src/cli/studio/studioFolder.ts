/** Runs and checkpoints of a folder on this disk, for the studio's server. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join, resolve, sep } from 'node:path';
import { lastLineEnd, readBytes, readWholeLines, watchFile } from '../../runtime/wholeLines.ts';
import type { StudioFolder } from '../../server/studio/studioParts.ts';
import type { CheckpointSummary, RunSummary } from '../../server/studio/wire.ts';
import { DEFAULT_CHAT_TEMPLATE } from '../../tokenizer/chatTemplate.ts';
import { type FoundFolders, findFolders, folderId, isWeights } from './findFolders.ts';
import { summarizeRun } from './runSummary.ts';

const METRICS = 'metrics.jsonl';
/** Where the system tells of changes, nobody waits for it. */
const POLL_SECONDS = 0.5;

/** @param also a checkpoint that may lie elsewhere, listed first */
export function openStudioFolder(
  folder: string,
  also: string | null,
  note: (text: string) => void,
): StudioFolder {
  const root = resolve(folder);
  let isTold = false;
  const find = async (): Promise<FoundFolders> => {
    const found = await findFolders(root);
    if (found.numLeftOut > 0 && !isTold) {
      isTold = true;
      note(`${root} is too large: ${found.numLeftOut} folders in it were not looked into`);
    }
    return found;
  };
  const directories = new Map<string, string>();
  const findRuns = async (): Promise<readonly string[]> => {
    const { runs } = await find();
    directories.clear();
    for (const path of runs) directories.set(folderId(root, path), path);
    return runs;
  };
  // A file is asked for twice a second, the folder is not searched as often.
  const directoryOf = async (id: string): Promise<string | null> => {
    if (!directories.has(id)) await findRuns();
    return directories.get(id) ?? null;
  };
  return {
    runs: async () => {
      const now = new Date();
      const all = (await findRuns()).map((path) =>
        summarizeRun(path, { id: folderId(root, path), now }),
      );
      const summaries = (await Promise.all(all)).filter((run): run is RunSummary => run !== null);
      return summaries.sort((a, b) => b.startedAt.localeCompare(a.startedAt));
    },
    checkpoints: async () => {
      const { runs, checkpoints } = await find();
      const elsewhere = also === null ? [] : [resolve(also)];
      const paths = [...new Set([...elsewhere, ...checkpoints])];
      const all = await Promise.all(paths.map((path) => describeCheckpoint(path, { root, runs })));
      return all.filter((each): each is CheckpointSummary => each !== null);
    },
    config: async (id) => {
      const directory = await directoryOf(id);
      if (directory === null) return null;
      return orGone(async () => JSON.parse(await readFile(join(directory, 'train.json'), 'utf8')));
    },
    metrics: async (id, range) => {
      const directory = await directoryOf(id);
      if (directory === null) return null;
      return orGone(() => readWholeLines(join(directory, METRICS), range));
    },
    metricsEnd: async (id) => {
      const directory = await directoryOf(id);
      if (directory === null) return null;
      return orGone(() => lastLineEnd(join(directory, METRICS)));
    },
    metricsBytes: async (id, range) => {
      const directory = await directoryOf(id);
      if (directory === null) return null;
      return orGone(() => readBytes(join(directory, METRICS), range));
    },
    watchMetrics: async (id, onChange) => {
      const directory = await directoryOf(id);
      if (directory === null) return null;
      return watchFile(join(directory, METRICS), { pollSeconds: POLL_SECONDS, onChange });
    },
  };
}

/** As a checkpoint or a run below `folder` is named, and one elsewhere. */
export function folderIdOf(folder: string, path: string): string {
  return folderId(resolve(folder), resolve(path));
}

async function describeCheckpoint(
  path: string,
  { root, runs }: { readonly root: string; readonly runs: readonly string[] },
): Promise<CheckpointSummary | null> {
  const run = runs.findLast((directory) => path.startsWith(`${directory}${sep}`));
  return orGone(async () => {
    const files = (await readdir(path)).filter(isWeights);
    const sizes = await Promise.all(files.map(async (file) => (await stat(join(path, file))).size));
    const { mtime } = await stat(join(path, 'config.json'));
    return {
      id: folderId(root, path),
      name: basename(path),
      directory: path,
      runId: run === undefined ? null : folderId(root, run),
      writtenAt: mtime.toISOString(),
      bytes: sizes.reduce((sum, size) => sum + size, 0),
      speaks: run === undefined && (await hasTemplate(path)) ? 'chat' : 'text',
    };
  });
}

/** Models trained here have the usual template and have never seen it: it says nothing of them. */
async function hasTemplate(path: string): Promise<boolean> {
  try {
    const text = await readFile(join(path, 'tokenizer_config.json'), 'utf8');
    const config = JSON.parse(text) as { readonly chat_template?: unknown } | null;
    const template = config?.chat_template;
    return template !== undefined && template !== null && template !== DEFAULT_CHAT_TEMPLATE;
  } catch (error) {
    // What is wrong with the file is told when the checkpoint is served.
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (isMissing || error instanceof SyntaxError) return false;
    throw error;
  }
}

/** null where it was removed since it was found. */
async function orGone<T>(read: () => Promise<T>): Promise<T | null> {
  try {
    return await read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
