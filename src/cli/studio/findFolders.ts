/**
 * Folders below a folder that hold a run (`train.json` and `metrics.jsonl`) or a checkpoint
 * (`config.json` and weights), and their names in URLs.
 */
import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';

export interface FoundFolders {
  readonly runs: readonly string[];
  readonly checkpoints: readonly string[];
  /** Folders that were not looked into, as there are too many. */
  readonly numLeftOut: number;
}

/** Below the folder that was named: `runs/NAME/checkpoints/step-0000120` is three deep. */
const MAX_DEPTH = 5;
/** Looked into at most: somebody may name a disk. */
const MAX_FOLDERS = 5000;
const SKIPPED = new Set(['node_modules', 'tensorboard']);

/** Breadth first, so that a limit cuts what lies deepest; links are not followed. */
export async function findFolders(root: string, most: number = MAX_FOLDERS): Promise<FoundFolders> {
  const runs: string[] = [];
  const checkpoints: string[] = [];
  const waiting = [{ path: root, depth: 0 }];
  for (let i = 0; i < waiting.length && i < most; i++) {
    const { path, depth } = waiting[i] ?? { path: root, depth: MAX_DEPTH };
    const entries = await entriesOf(path);
    const files = new Set(entries.filter((each) => !each.isDirectory()).map(({ name }) => name));
    if (files.has('train.json') && files.has('metrics.jsonl')) runs.push(path);
    if (files.has('config.json') && [...files].some(isWeights)) checkpoints.push(path);
    if (depth >= MAX_DEPTH) continue;
    for (const entry of entries) {
      const isSkipped = entry.name.startsWith('.') || SKIPPED.has(entry.name);
      if (!entry.isDirectory() || isSkipped) continue;
      waiting.push({ path: join(path, entry.name), depth: depth + 1 });
    }
  }
  return { runs, checkpoints, numLeftOut: Math.max(0, waiting.length - most) };
}

export function isWeights(file: string): boolean {
  return file.endsWith('.safetensors') && file !== 'optimizer.safetensors';
}

/** None where it is not there (yet), was removed meanwhile, or may not be read. */
async function entriesOf(path: string): Promise<readonly Dirent[]> {
  try {
    return (await readdir(path, { withFileTypes: true })).sort((a, b) =>
      a.name < b.name ? -1 : 1,
    );
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM'].includes(code)) return [];
    throw error;
  }
}

/** A path as one segment of a URL that needs no escapes; different paths have different ids. */
export function folderId(root: string, path: string): string {
  const bytes = [...Buffer.from(relative(root, path), 'utf8')];
  const id = bytes.map((byte) => {
    const letter = String.fromCharCode(byte);
    return /[\w.-]/.test(letter) ? letter : `~${byte.toString(16).padStart(2, '0')}`;
  });
  return id.length === 0 ? '~' : id.join('');
}
