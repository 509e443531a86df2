/** Folders that output goes to. */
import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { MoebiusError } from '../base/errors.ts';

/**
 * Makes a folder and those above it that are missing; nothing where it is there. Level by level,
 * because Node's own `recursive` never ends where the system refuses, as below `/proc`.
 *
 * @throws file.noFolder
 */
export function makeFolder(path: string): void {
  try {
    makeLevels(path);
  } catch (cause) {
    throw new MoebiusError('file.noFolder', `there can be no folder ${path}`, {
      values: { path, because: cause instanceof Error ? cause.message : String(cause) },
      hint: 'Name a folder that you may write to.',
      cause,
    });
  }
}

function makeLevels(path: string): void {
  const there = statSync(path, { throwIfNoEntry: false });
  if (there?.isDirectory()) return;
  if (dirname(path) !== path) makeLevels(dirname(path));
  try {
    mkdirSync(path);
  } catch (cause) {
    // Another process may have been quicker.
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw cause;
  }
}
