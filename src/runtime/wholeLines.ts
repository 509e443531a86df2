/**
 * Lines of a file that another process goes on writing: read from a byte on, never half a line.
 *
 * For who follows a file a position is good if a line begins there. If none does, the file is not
 * the one it was (begun anew, or cut), and reading starts over at 0: `from` tells.
 */
import { type FSWatcher, watch } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { MoebiusError } from '../base/errors.ts';

export interface WholeLines {
  readonly bytes: Uint8Array;
  /** Where they begin, and where the next one will. */
  readonly from: number;
  readonly next: number;
  /** Of the file, half a line at its end included. */
  readonly size: number;
}

/** No line of ours is near it; a file that has none is not of ours. */
const LONGEST_LINE = 64 * 2 ** 20;
const LINE_BREAK = 10;
const BLOCK = 2 ** 16;

/** @throws file.line, and the system's error where there is no such file */
export async function readWholeLines(
  path: string,
  { from, maxBytes }: { readonly from: number; readonly maxBytes: number },
): Promise<WholeLines> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    const start = (await isLineStart(handle, from, size)) ? from : 0;
    for (let limit = maxBytes; ; limit *= 2) {
      const bytes = await readSome(handle, start, Math.min(limit, size - start));
      const length = bytes.lastIndexOf(LINE_BREAK) + 1;
      const isAll = bytes.length < limit;
      if (length > 0 || isAll) {
        return { bytes: bytes.subarray(0, length), from: start, next: start + length, size };
      }
      if (limit >= LONGEST_LINE) throw tooLong(path, start);
    }
  } finally {
    await handle.close();
  }
}

/** Where the last whole line of a file ends: behind its last line break. */
export async function lastLineEnd(path: string): Promise<number> {
  const handle = await open(path, 'r');
  try {
    let end = (await handle.stat()).size;
    while (end > 0) {
      const start = Math.max(0, end - BLOCK);
      const lineBreak = (await readSome(handle, start, end - start)).lastIndexOf(LINE_BREAK);
      if (lineBreak >= 0) return start + lineBreak + 1;
      end = start;
    }
    return 0;
  } finally {
    await handle.close();
  }
}

/** The bytes of [from, to); fewer where the file has been cut meanwhile. */
export async function readBytes(
  path: string,
  { from, to }: { readonly from: number; readonly to: number },
): Promise<Uint8Array> {
  const handle = await open(path, 'r');
  try {
    return await readSome(handle, from, to - from);
  } finally {
    await handle.close();
  }
}

/** The lines that lie whole in the last `maxBytes` of a file, without their breaks. */
export async function readLastLines(path: string, maxBytes: number): Promise<readonly string[]> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    const start = Math.max(0, size - maxBytes);
    // From the byte before: a line that begins exactly at the start is whole.
    const from = Math.max(0, start - 1);
    const bytes = await readSome(handle, from, size - from);
    const first = start === 0 ? 0 : bytes.indexOf(LINE_BREAK) + 1;
    if (start > 0 && first === 0) return [];
    const end = bytes.lastIndexOf(LINE_BREAK);
    if (end < first) return [];
    return new TextDecoder().decode(bytes.subarray(first, end)).split('\n');
  } finally {
    await handle.close();
  }
}

async function isLineStart(handle: FileHandle, from: number, size: number): Promise<boolean> {
  if (from === 0 || from > size) return from === 0;
  return (await readSome(handle, from - 1, 1))[0] === LINE_BREAK;
}

/** Fewer bytes where the file has been cut meanwhile. */
async function readSome(handle: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await handle.read(bytes, filled, length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

function tooLong(path: string, offset: number): MoebiusError {
  return new MoebiusError('file.line', `${path} has a line of more than ${LONGEST_LINE} bytes`, {
    values: { path, offset },
    hint: 'Look whether it is a file of lines.',
  });
}

/**
 * Calls whenever the file may have changed: as the system tells, and every `pollSeconds` in any
 * case, for disks whose changes no system tells of.
 *
 * @returns ends it
 */
export function watchFile(
  path: string,
  { pollSeconds, onChange }: { readonly pollSeconds: number; readonly onChange: () => void },
): () => void {
  const timer = setInterval(onChange, pollSeconds * 1000);
  const watcher = watchFolder(path, onChange);
  return () => {
    clearInterval(timer);
    watcher?.close();
  };
}

/** The folder, because a file that is replaced is another one; null where it cannot be watched. */
function watchFolder(path: string, onChange: () => void): FSWatcher | null {
  const name = basename(path);
  try {
    const watcher = watch(dirname(path), (_, changed) => {
      if (changed === null || changed === name) onChange();
    });
    // The folder was removed, or watches ran out: the timer goes on.
    return watcher.on('error', () => watcher.close());
  } catch {
    return null;
  }
}
