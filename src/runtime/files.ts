/**
 * Files as byte sources and sinks, and folders that appear whole or not at all.
 *
 * A checkpoint is written under a hidden name, made durable file by file, and renamed. A process
 * killed at any moment therefore leaves either the old state or the new one, and at worst a hidden
 * folder that the next run removes.
 */
import { type Dirent, existsSync } from 'node:fs';
import {
  type FileHandle,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  stat,
  truncate,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { ByteFolder, ByteSink, ByteSource } from '../base/byteSource.ts';
import { MoebiusError } from '../base/errors.ts';
import { makeFolder } from './makeFolder.ts';

/** Maps a file into memory, read only; the native addon provides it. */
export type MapFile = (path: string) => ArrayBuffer;

/** A file as a byte source; mapped (so `view` costs nothing) where `mapFile` is given. */
export async function openFile(path: string, mapFile?: MapFile): Promise<ByteSource> {
  const { size } = await statOrFail(path);
  if (mapFile !== undefined && size > 0) {
    const bytes = new Uint8Array(mapFile(path));
    return {
      name: path,
      byteLength: size,
      read: async (offset, length) => bytes.slice(offset, offset + length),
      view: (offset, length) => bytes.subarray(offset, offset + length),
    };
  }
  return {
    name: path,
    byteLength: size,
    read: (offset, length) => readRange(path, { offset, length }),
  };
}

async function readRange(
  path: string,
  { offset, length }: { offset: number; length: number },
): Promise<Uint8Array> {
  const handle = await open(path, 'r');
  try {
    const bytes = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      const { bytesRead } = await handle.read(bytes, filled, length - filled, offset + filled);
      if (bytesRead === 0) {
        throw new MoebiusError('file.truncated', `${path} ended while it was being read`, {
          values: { offset: offset + filled, wanted: length - filled },
          hint: 'Copy the file again; it was changed or cut while in use.',
        });
      }
      filled += bytesRead;
    }
    return bytes;
  } finally {
    await handle.close();
  }
}

async function statOrFail(path: string): Promise<{ size: number; isDirectory(): boolean }> {
  try {
    return await stat(path);
  } catch (cause) {
    if (!isAbsence(cause)) throw cause;
    throw new MoebiusError('file.missing', `there is no ${path}`, {
      values: { path },
      hint: 'Check the path; relative ones start at the current folder.',
      cause,
    });
  }
}

/** Not there, or behind a file that is no folder; a lack of permission is another matter. */
function isAbsence(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** A folder's plain files; names with a separator in them are refused. */
export async function openFolder(path: string, mapFile?: MapFile): Promise<ByteFolder> {
  if (!(await statOrFail(path)).isDirectory()) {
    throw new MoebiusError('file.notFolder', `${path} is a file, not a folder`, {
      values: { path },
      hint: 'Give the folder that holds config.json and the weights.',
    });
  }
  return {
    name: path,
    list: async () => (await filesIn(path)).map((entry) => entry.name).sort(),
    open: async (file) => {
      if (file !== basename(file) || file === '..' || file === '.' || file === '') {
        throw new MoebiusError('file.outside', `"${file}" points out of ${path}`, {
          values: { file },
          hint: 'Name files of the folder itself.',
        });
      }
      return openFile(join(path, file), mapFile);
    },
  };
}

async function filesIn(path: string): Promise<Dirent[]> {
  const entries = await readdir(path, { withFileTypes: true });
  return entries.filter((entry) => entry.isFile() || entry.isSymbolicLink());
}

/** A new file (or more bytes at the end of one, with `append`), durable once closed. */
export async function createFileSink(path: string, mode: 'new' | 'append'): Promise<ByteSink> {
  makeFolder(dirname(path));
  const handle: FileHandle = await open(path, mode === 'append' ? 'a' : 'w');
  return {
    write: async (bytes) => {
      let written = 0;
      while (written < bytes.byteLength) {
        written += (await handle.write(bytes, written)).bytesWritten;
      }
    },
    close: async () => {
      await handle.sync();
      await handle.close();
    },
  };
}

/**
 * Cuts off what follows the last line break of a file: half a line, left by a machine that stopped
 * while it was written, would spoil the line that is appended next.
 *
 * @returns bytes that were cut off; none where there is no such file
 */
export async function dropUnfinishedLine(path: string): Promise<number> {
  if (!existsSync(path)) return 0;
  const { size } = await stat(path);
  let start = size;
  let end = 0;
  // From the end: the file of a long run is large, its last line is not.
  while (end === 0 && start > 0) {
    const length = Math.min(start, 2 ** 16);
    start -= length;
    const lineBreak = (await readRange(path, { offset: start, length })).lastIndexOf(10);
    if (lineBreak >= 0) end = start + lineBreak + 1;
  }
  if (end < size) await truncate(path, end);
  return size - end;
}

/** Where an atomic folder's files go while it is being written. */
export interface FolderDraft {
  create(file: string): Promise<ByteSink>;
  writeText(file: string, text: string): Promise<void>;
}

const DRAFT_PREFIX = '.draft-';
/**
 * An old folder while the new one takes its name; a prefix of its own, since names are anything.
 */
const REPLACED_PREFIX = '.replaced-';

/**
 * Writes a folder that appears whole or not at all; an existing one of that name is replaced.
 *
 * @returns bytes written
 */
export async function writeFolder(
  path: string,
  write: (draft: FolderDraft) => Promise<void>,
): Promise<number> {
  const parent = dirname(path);
  makeFolder(parent);
  const hidden = (prefix: string): string =>
    join(parent, `${prefix}${basename(path)}-${process.pid}`);
  const draftPath = hidden(DRAFT_PREFIX);
  await rm(draftPath, { recursive: true, force: true });
  await mkdir(draftPath);
  let bytesWritten = 0;
  const create = async (file: string): Promise<ByteSink> => {
    const sink = await createFileSink(join(draftPath, file), 'new');
    return {
      write: (bytes) => {
        bytesWritten += bytes.byteLength;
        return sink.write(bytes);
      },
      close: () => sink.close(),
    };
  };
  try {
    await write({
      create,
      writeText: async (file, text) => {
        const sink = await create(file);
        await sink.write(new TextEncoder().encode(text));
        await sink.close();
      },
    });
    await syncFolder(draftPath);
    await putInPlace(draftPath, { path, replaced: hidden(REPLACED_PREFIX) });
  } catch (error) {
    await rm(draftPath, { recursive: true, force: true });
    throw error;
  }
  return bytesWritten;
}

/** A folder cannot be renamed onto one that has files: for a moment the name stands for nothing. */
async function putInPlace(
  draftPath: string,
  { path, replaced }: { path: string; replaced: string },
): Promise<void> {
  const isReplacing = existsSync(path);
  if (isReplacing) {
    await rm(replaced, { recursive: true, force: true });
    await rename(path, replaced);
  }
  try {
    await rename(draftPath, path);
  } catch (error) {
    if (isReplacing) await rename(replaced, path);
    throw error;
  }
  await syncFolder(dirname(path));
  if (isReplacing) await rm(replaced, { recursive: true, force: true });
}

/** What `recoverFolders` found, by the names of the folders themselves. */
export interface RecoveredFolders {
  /** Half-written, hence removed. */
  readonly removed: readonly string[];
  /** Put back: the process was killed between taking the old one away and naming the new one. */
  readonly restored: readonly string[];
}

/** Tidies up after a killed process: `parent`'s folders are whole again, old or new. */
export async function recoverFolders(parent: string): Promise<RecoveredFolders> {
  const removed: string[] = [];
  const restored: string[] = [];
  if (!existsSync(parent)) return { removed, restored };
  for (const hidden of (await readdir(parent)).sort()) {
    const [, prefix, name] = /^(\.draft-|\.replaced-)(.+)-\d+$/.exec(hidden) ?? [];
    if (name === undefined) continue;
    if (prefix === REPLACED_PREFIX && !existsSync(join(parent, name))) {
      await rename(join(parent, hidden), join(parent, name));
      restored.push(name);
      continue;
    }
    await rm(join(parent, hidden), { recursive: true, force: true });
    if (prefix === DRAFT_PREFIX) removed.push(name);
  }
  await syncFolder(parent);
  return { removed, restored };
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
